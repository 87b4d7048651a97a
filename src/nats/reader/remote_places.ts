/**
 * The endpoints of all hosts as a client sees them: each has a number of this program and the name HOST/NAME,
 * and every change causes a ROSTER.
 * @module
 */
import type { EndpointId } from "../../base/ids.ts";
import { ROSTER_STATE, ROSTER_STATE_NAMES } from "../../event/body_number.ts";
import { sourceByName } from "../../event/source.ts";
import type { HostEntry } from "../wire/host_entry.ts";
import { rosterFrame } from "../wire/made_frames.ts";
import { EndpointNumbers, type RemotePlace } from "./endpoint_numbers.ts";

/** An endpoint of the roster. */
export interface RemoteEndpoint {
  /** Its number here. */
  readonly endpoint: EndpointId;
  /** HOST/NAME. */
  readonly name: string;
  /** "up", …; "gone". */
  readonly state: string;
  /** Its seams that are up. */
  readonly seams: readonly string[];
  /** The VM's process on its host. */
  readonly pid: number;
  /** Its number in its host's config. */
  readonly vmid: number;
}

/** The listener of endpoints. */
export interface PlacesListener {
  /** A checked frame with this program's number of the endpoint; owned by the listener. */
  onFrame(frame: Uint8Array<ArrayBuffer>): void;
  /** An entry of the roster changed. */
  onEndpoint(entry: RemoteEndpoint): void;
}

/** The table. */
export class RemotePlaces {
  readonly #listener: PlacesListener;
  readonly #numbers = new EndpointNumbers();
  readonly #hosts = new Map<string, Map<EndpointId, RemotePlace>>();

  /** An empty one. */
  constructor(listener: PlacesListener) {
    this.#listener = listener;
  }

  /** The endpoint with one of our numbers. */
  place(number: EndpointId): RemotePlace | undefined {
    return this.#numbers.place(number);
  }

  /** The current endpoint with a host's number. */
  at(host: string, endpoint: EndpointId): RemotePlace | undefined {
    return this.#hosts.get(host)?.get(endpoint);
  }

  /** The endpoint named in an event, whether it is in the roster or not yet. */
  of(host: string, endpoint: EndpointId, name: string): RemotePlace | undefined {
    return this.#numbers.of(host, endpoint, name);
  }

  /** The number of HOST/NAME; undefined if it does not exist. */
  numberOf(name: string): EndpointId | undefined {
    for (const places of this.#hosts.values()) {
      for (const place of places.values()) if (nameOf(place) === name) return place.number;
    }
    return undefined;
  }

  /** There is a host, or its entry has changed. */
  onHost({ host, endpoints }: HostEntry): void {
    const before = this.#hosts.get(host) ?? new Map<EndpointId, RemotePlace>();
    const now = new Map<EndpointId, RemotePlace>();
    for (const each of endpoints) {
      const place = this.#numbers.of(host, each.endpoint, each.name);
      if (place === undefined) continue;
      place.life = each.life;
      now.set(each.endpoint, place);
    }
    for (const [endpoint, place] of before) if (now.get(endpoint) !== place) this.#gone(place);
    this.#hosts.set(host, now);
    for (const each of endpoints) {
      const place = now.get(each.endpoint);
      if (place !== undefined) this.#tell(place, each);
    }
  }

  /** A host and its endpoints are gone. */
  onHostGone(host: string): void {
    for (const place of this.#hosts.get(host)?.values() ?? []) this.#gone(place);
    this.#hosts.delete(host);
  }

  #gone(place: RemotePlace): void {
    this.#tell(place, { state: "gone", seams: [], pid: 0, vmid: 0 });
    this.#numbers.drop(place);
  }

  #tell(
    place: RemotePlace,
    { state, seams, pid, vmid }: Pick<RemoteEndpoint, "state" | "seams" | "pid" | "vmid">,
  ): void {
    const endpoint = place.number;
    const told = [state, pid, vmid, ...seams].join();
    if (place.told === told) return;
    place.told = told;
    const name = nameOf(place);
    const number = Math.max(ROSTER_STATE_NAMES.indexOf(state), ROSTER_STATE.GONE);
    const mask = seams.reduce((bits, seam) => bits | 1 << (sourceByName(seam) ?? 31), 0) & 0x7fff_ffff;
    this.#listener.onFrame(rosterFrame({ endpoint, state: number, seams: mask, pid, vmid, name }));
    this.#listener.onEndpoint({ endpoint, name, state, seams, pid, vmid });
  }
}

function nameOf({ host, name, endpoint }: RemotePlace): string {
  return `${host}/${name === "" ? endpoint : name}`;
}
