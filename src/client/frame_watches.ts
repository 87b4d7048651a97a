/**
 * The heads that this client watches, and how often: the daemon has one rate per control and head, whereas a
 * program may have several loops for the same one.
 * @module
 */
import type { EndpointId } from "../base/ids.ts";
import { assert } from "../base/assert.ts";

/** The requested rates of one head. */
type Rates = number[];

/** The watches of one client. */
export class FrameWatches {
  readonly #rates = new Map<string, Rates>();

  /**
   * Adds a loop.
   *
   * @returns the rate to request now
   */
  add(endpoint: EndpointId, head: number, perSecond: number): number {
    const key = `${endpoint}:${head}`;
    const rates = this.#rates.get(key) ?? [];
    rates.push(perSecond);
    this.#rates.set(key, rates);
    return Math.max(...rates);
  }

  /**
   * Removes a loop.
   *
   * @returns the rate to request now; 0 when none is left
   */
  remove(endpoint: EndpointId, head: number, perSecond: number): number {
    const key = `${endpoint}:${head}`;
    const rates = this.#rates.get(key) ?? [];
    const at = rates.indexOf(perSecond);
    assert(at >= 0, "who watches no more has watched");
    rates.splice(at, 1);
    if (rates.length > 0) return Math.max(...rates);
    this.#rates.delete(key);
    return 0;
  }
}
