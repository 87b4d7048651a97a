/**
 * Endpoint numbers: 0 to 63, by vmid. A VM that comes back gets the number it had; a new one gets the number
 * of its vmid when that is free and was nobody else's, else the lowest that was never used, else the one that
 * was given back longest ago. So a number that a control remembers means the same VM for as long as possible.
 * @module
 */
import { MAX_ENDPOINTS } from "../base/limits.ts";
import type { EndpointId } from "../base/ids.ts";

/** Allocates endpoint numbers. */
export class Slots {
  readonly #used: boolean[] = new Array(MAX_ENDPOINTS).fill(false);
  /** Who had a number last. */
  readonly #lastKey: (string | undefined)[] = new Array(MAX_ENDPOINTS).fill(undefined);
  readonly #freedAt: number[] = new Array(MAX_ENDPOINTS).fill(0);
  #clock = 0;

  /** How many are taken. */
  get taken(): number {
    return this.#used.filter((used) => used).length;
  }

  /**
   * Takes a number.
   *
   * @param vmid the VM's id, 0 = none
   * @param name the VM's name: what it is known by when it has no vmid
   * @returns undefined when all 64 are taken
   */
  take(vmid: number, name: string): EndpointId | undefined {
    const key = keyOf(vmid, name);
    const id = this.#find(vmid, key);
    if (id === undefined) return undefined;
    this.#used[id] = true;
    this.#lastKey[id] = key;
    return id as EndpointId;
  }

  /** Gives a number back; it is remembered whose it was. */
  giveBack(id: EndpointId): void {
    this.#used[id] = false;
    this.#freedAt[id] = ++this.#clock;
  }

  #find(vmid: number, key: string): number | undefined {
    const had = this.#lastKey.indexOf(key);
    if (had >= 0 && !this.#used[had]) return had;
    const isFresh = (id: number): boolean => !this.#used[id] && this.#lastKey[id] === undefined;
    if (vmid > 0 && vmid < MAX_ENDPOINTS && isFresh(vmid)) return vmid;
    for (let id = 0; id < MAX_ENDPOINTS; id++) if (isFresh(id)) return id;
    let oldest: number | undefined;
    for (let id = 0; id < MAX_ENDPOINTS; id++) {
      if (this.#used[id]) continue;
      if (oldest === undefined || (this.#freedAt[id] as number) < (this.#freedAt[oldest] as number)) {
        oldest = id;
      }
    }
    return oldest;
  }
}

function keyOf(vmid: number, name: string): string {
  return vmid > 0 ? `vmid:${vmid}` : `name:${name}`;
}
