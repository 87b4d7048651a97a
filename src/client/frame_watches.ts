/**
 * Which heads this client watches, and how often: the daemon knows one rate of each control and head, and a
 * program may have several loops over the same one.
 * @module
 */
import type { EndpointId } from "../base/ids.ts";
import { assert } from "../base/assert.ts";

/** Rates that are wanted of one head. */
type Rates = number[];

/** The watches of one client. */
export class FrameWatches {
  readonly #rates = new Map<string, Rates>();

  /**
   * One more watches.
   *
   * @returns the rate to ask for now
   */
  add(endpoint: EndpointId, head: number, perSecond: number): number {
    const key = `${endpoint}:${head}`;
    const rates = this.#rates.get(key) ?? [];
    rates.push(perSecond);
    this.#rates.set(key, rates);
    return Math.max(...rates);
  }

  /**
   * One watches no more.
   *
   * @returns the rate to ask for now; 0 when nobody is left
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
