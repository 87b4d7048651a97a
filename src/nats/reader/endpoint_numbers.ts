/**
 * The numbers by which a program here knows the endpoints of all hosts: one each for as long as the endpoint
 * is there. A host's own numbers go from 0 to 63, and mean another VM on every host.
 * @module
 */
import type { EndpointId } from "../../base/ids.ts";

/** Numbers at most: who makes up endpoints gets no more of this program's memory. */
const MOST = 1 << 20;

/** Where an endpoint is. */
export interface RemotePlace {
  /** Its number here. */
  readonly number: EndpointId;
  /** The host. */
  readonly host: string;
  /** Its number there. */
  readonly endpoint: EndpointId;
  /** Its name there. */
  readonly name: string;
  /** Which life of that number; 0 until the roster tells. */
  life: number;
  /** What was told of it last. */
  told: string;
}

/** The table. */
export class EndpointNumbers {
  readonly #byKey = new Map<string, RemotePlace>();
  readonly #byNumber = new Map<EndpointId, RemotePlace>();
  #next = 0;

  /** Where a number of ours is. */
  place(number: EndpointId): RemotePlace | undefined {
    return this.#byNumber.get(number);
  }

  /** The place of a host's endpoint, with a number that it has or gets; undefined when there are too many. */
  of(host: string, endpoint: EndpointId, name: string): RemotePlace | undefined {
    const key = `${endpoint} ${host} ${name}`;
    const known = this.#byKey.get(key);
    if (known !== undefined || this.#byKey.size >= MOST) return known;
    const place = { number: this.#next++ as EndpointId, host, endpoint, name, life: 0, told: "" };
    this.#byKey.set(key, place);
    this.#byNumber.set(place.number, place);
    return place;
  }

  /** The place of a host's endpoint, if it has a number. */
  find(host: string, endpoint: EndpointId, name: string): RemotePlace | undefined {
    return this.#byKey.get(`${endpoint} ${host} ${name}`);
  }

  /** Lets go of a number: it is not given again. */
  drop(place: RemotePlace): void {
    this.#byKey.delete(`${place.endpoint} ${place.host} ${place.name}`);
    this.#byNumber.delete(place.number);
  }
}
