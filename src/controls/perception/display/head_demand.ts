/**
 * What is wanted of one head, as FRAME_DEMAND told it last, and which single requests are under way.
 * @module
 */
import { assert } from "../../../base/assert.ts";
import { FRAME_DEMAND } from "../../../event/body_layout.ts";
import {
  DEMAND_DEVICE_SHIFT,
  DEMAND_PICTURE,
  DEMAND_STOPPED,
  DEMAND_TEXT,
} from "../../../event/body_number.ts";
import type { TransferEvent } from "../../../event/transfer_event.ts";

/** A single request's numbers. */
class Once {
  #newest = 0;
  #answered = 0;
  #isWanted = false;
  /** The request that is being served; undefined when none is. */
  #serving: number | undefined;

  take(serial: number, isWanted: boolean): void {
    this.#newest = serial;
    this.#isWanted = isWanted;
  }

  /** Whether some request waits that nothing is done for. */
  get isWaiting(): boolean {
    return this.#isWanted && this.#serving === undefined && this.#answered !== this.#newest;
  }

  /** Whether one is being served. */
  get isServing(): boolean {
    return this.#serving !== undefined;
  }

  begin(): void {
    assert(this.#serving === undefined, "one request is served at a time");
    this.#serving = this.#newest;
  }

  /** Requests up to the returned one are answered now. */
  end(): number {
    const serial = this.#serving ?? this.#newest;
    this.#answered = serial;
    this.#serving = undefined;
    return serial;
  }

  /** What served it is gone: it waits again. */
  again(): void {
    this.#serving = undefined;
  }
}

/** The demand for one head. */
export class HeadDemand {
  /** Pictures per second at most; 0 = none. */
  perSecond = 0;
  /** Whether the VM stands still. */
  isStopped = false;
  /** How often its device became another one; undefined before the first FRAME_DEMAND. */
  #devices: number | undefined;
  /** Single pictures. */
  readonly picture = new Once();
  /** Single texts. */
  readonly text = new Once();

  /** Whether anything is wanted. */
  get isSome(): boolean {
    return this.perSecond > 0 || this.picture.isWaiting || this.picture.isServing || this.text.isWaiting ||
      this.text.isServing;
  }

  /**
   * Takes a FRAME_DEMAND.
   *
   * @returns whether the head's device has changed
   */
  take(event: TransferEvent): boolean {
    const { at } = FRAME_DEMAND;
    const word = (offset: number): number => event.words[offset / 4] as number;
    const flags = word(at.flags);
    this.perSecond = Math.min(240, word(at.perSecond));
    this.isStopped = (flags & DEMAND_STOPPED) !== 0;
    this.picture.take(word(at.onceSerial), (flags & DEMAND_PICTURE) !== 0);
    this.text.take(word(at.textSerial), (flags & DEMAND_TEXT) !== 0);
    const devices = flags >>> DEMAND_DEVICE_SHIFT;
    const isReplaced = this.#devices !== undefined && this.#devices !== devices;
    this.#devices = devices;
    return isReplaced;
  }
}
