/**
 * The numbers by which a program here identifies the endpoints of all hosts: one per endpoint for as long as
 * it exists. A host's own numbers range from 0 to 63, and mean different VMs on different hosts.
 * @module
 */
import type { EndpointId } from "../../base/ids.ts";

/** Maximum number, so that a sender of invented endpoints cannot exhaust this program's memory. */
const MOST = 1 << 20;

/** An endpoint of a host. */
export interface RemotePlace {
  /** Its number here. */
  readonly number: EndpointId;
  /** The host. */
  readonly host: string;
  /** Its number there. */
  readonly endpoint: EndpointId;
  /** Its name there. */
  readonly name: string;
  /** The life of that number; 0 until the roster says. */
  life: number;
  /** The last roster entry. */
  told: string;
}

/** The table. */
export class EndpointNumbers {
  readonly #byKey = new Map<string, RemotePlace>();
  readonly #byNumber = new Map<EndpointId, RemotePlace>();
  #next = 0;

  /** The endpoint with one of our numbers. */
  place(number: EndpointId): RemotePlace | undefined {
    return this.#byNumber.get(number);
  }

  /**
   * The entry of a host's endpoint, which gets a number if it has none; undefined when there are too many.
   */
  of(host: string, endpoint: EndpointId, name: string): RemotePlace | undefined {
    const key = `${endpoint} ${host} ${name}`;
    const known = this.#byKey.get(key);
    if (known !== undefined || this.#byKey.size >= MOST) return known;
    const place = { number: this.#next++ as EndpointId, host, endpoint, name, life: 0, told: "" };
    this.#byKey.set(key, place);
    this.#byNumber.set(place.number, place);
    return place;
  }

  /** The entry of a host's endpoint, if it has a number. */
  find(host: string, endpoint: EndpointId, name: string): RemotePlace | undefined {
    return this.#byKey.get(`${endpoint} ${host} ${name}`);
  }

  /** Releases a number, which is not used again. */
  drop(place: RemotePlace): void {
    this.#byKey.delete(`${place.endpoint} ${place.host} ${place.name}`);
    this.#byNumber.delete(place.number);
  }
}
