/**
 * What is known of each head: where its pictures come from, as the control that makes them says. The seam is
 * up while some head has a source or has not been tried.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { CODE, type Code } from "../../base/codes.ts";
import { MAX_HEADS } from "../../base/limits.ts";
import { FRAME_SOURCE, type FrameSourceNumber } from "../../event/body_number.ts";

/** A head's source. */
export type HeadState =
  /** Nobody has asked for a picture yet. */
  | { readonly kind: "untried" }
  | {
    readonly kind: "shown";
    /** What its pictures come from. */
    readonly source: FrameSourceNumber;
    /** Why this one: escaped already. */
    readonly why: string;
  }
  | {
    readonly kind: "lost";
    /** One of the protocol's codes. */
    readonly code: Code;
    /** What happened: escaped already. */
    readonly why: string;
  };

const UNTRIED: HeadState = { kind: "untried" };
const REMOVED: HeadState = { kind: "lost", code: CODE["bad-argument"], why: "its device was removed" };

/** The heads of one VM. */
export class HeadStates {
  readonly #states = new Map<number, HeadState>();
  /** By head, whether QEMU has its device. */
  #devices: readonly boolean[] = [];

  /** Heads that QEMU has, and those that a producer shows beyond them. */
  get count(): number {
    let count = this.#devices.length;
    for (const [head, state] of this.#states) if (isProducer(state)) count = Math.max(count, head + 1);
    return count;
  }

  /** Whether there is such a head: its device was not removed, or a producer shows it. */
  isThere(head: number): boolean {
    return this.#devices[head] === true || isProducer(this.of(head));
  }

  /** Whether pictures can be had of some head, as far as is known. */
  get isUsable(): boolean {
    for (let head = 0; head < this.count; head++) if (this.of(head).kind !== "lost") return true;
    return false;
  }

  /** A head's state. */
  of(head: number): HeadState {
    return this.#states.get(head) ?? (this.#devices[head] === false ? REMOVED : UNTRIED);
  }

  /**
   * QEMU has these heads; what was known of those that it does not have, or that are another device's now, is
   * forgotten. What a producer shows it shows without any device.
   *
   * @param devices by head, whether its device is there
   * @param changed the heads whose device has changed
   */
  reset(devices: readonly boolean[], changed: readonly number[]): void {
    assert(devices.length <= MAX_HEADS, "heads are bounded");
    this.#devices = devices;
    for (const [head, state] of this.#states) {
      if (isProducer(state)) continue;
      if (state.kind === "lost" || devices[head] !== true || changed.includes(head)) {
        this.#states.delete(head);
      }
    }
  }

  /** Nobody makes pictures any more: nothing is known. */
  forget(): void {
    this.#states.clear();
  }

  /** A head's state has changed. */
  set(head: number, state: HeadState): void {
    this.#states.set(head, state);
  }
}

/** Whether a head is shown by the guest's own producer: it needs no device of QEMU's. */
export function isProducer(state: HeadState): boolean {
  return state.kind === "shown" && state.source === FRAME_SOURCE.VGPU;
}
