/**
 * Input frames on their way to a VM: a few in flight, the rest in order; a motion of the pointer that waits
 * is replaced by the next one. A frame that the VM refuses (it is paused) is reported and left out.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { Fault } from "../../base/fault.ts";
import { INPUT_KIND } from "../../event/body_number.ts";
import { FRAMES_IN_FLIGHT } from "../input_control.ts";
import type { InputRecord } from "../input_record.ts";

/** Frames that wait at most: more than a person types while a VM stalls. */
export const MOST_WAITING = 256;

/** What a queue does with its frames: `waiting` until the lease is granted. */
type QueueState = "waiting" | "sending" | "ended";

/** A queue. */
export class InputQueue {
  readonly #send: (records: readonly InputRecord[]) => Promise<void>;
  readonly #onRefused: (fault: Fault) => void;
  readonly #waiting: (readonly InputRecord[])[] = [];
  #flying = 0;
  #state: QueueState = "waiting";

  /**
   * One that waits until it is opened.
   *
   * @param send sends a frame, and resolves when the VM has taken it
   * @param onRefused told of each frame that it has not
   */
  constructor(send: (records: readonly InputRecord[]) => Promise<void>, onRefused: (fault: Fault) => void) {
    this.#send = send;
    this.#onRefused = onRefused;
  }

  /** Whether nothing waits, and nothing is on its way. */
  get isIdle(): boolean {
    return this.#waiting.length === 0 && this.#flying === 0;
  }

  /** Adds a frame. @returns false when too many wait */
  add(records: readonly InputRecord[]): boolean {
    assert(records.length > 0, "a frame has records");
    const last = this.#waiting.at(-1);
    if (last !== undefined && isMotion(last) && isMotion(records)) this.#waiting.pop();
    else if (this.#waiting.length >= MOST_WAITING) return false;
    this.#waiting.push(records);
    this.#pump();
    return true;
  }

  /** The lease is there: frames may go. */
  open(): void {
    if (this.#state === "waiting") this.#state = "sending";
    this.#pump();
  }

  /** Nothing of what waits is sent any more. */
  end(): void {
    this.#state = "ended";
    this.#waiting.length = 0;
  }

  #pump(): void {
    while (this.#state === "sending" && this.#flying < FRAMES_IN_FLIGHT) {
      const records = this.#waiting.shift();
      if (records === undefined) return;
      this.#flying++;
      this.#send(records)
        .catch((error) => {
          if (!(error instanceof Fault)) throw error;
          if (this.#state !== "ended") this.#onRefused(error);
        })
        .finally(() => {
          this.#flying--;
          this.#pump();
        });
    }
  }
}

function isMotion(records: readonly InputRecord[]): boolean {
  return records.every(({ kind }) => kind === INPUT_KIND.ABS);
}
