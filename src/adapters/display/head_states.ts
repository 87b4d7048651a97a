/**
 * What is known of each head: where its pictures come from, as whoever makes them says. The seam is up while
 * some head has a source or has not been tried.
 * @module
 */
import { MAX_HEADS } from "../../base/limits.ts";
import type { FrameSourceNumber } from "../../event/body_number.ts";

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
    readonly code: number;
    /** What happened: escaped already. */
    readonly why: string;
  };

const UNTRIED: HeadState = { kind: "untried" };

/** The heads of one VM. */
export class HeadStates {
  readonly #states = new Map<number, HeadState>();
  #count = 0;

  /** Heads that QEMU has, and those that a producer shows beyond them. */
  get count(): number {
    let count = this.#count;
    for (const [head, state] of this.#states) {
      if (state.kind === "shown") count = Math.max(count, head + 1);
    }
    return count;
  }

  /** Whether pictures can be had of some head, as far as is known. */
  get isUsable(): boolean {
    for (let head = 0; head < this.count; head++) if (this.of(head).kind !== "lost") return true;
    return false;
  }

  /** A head's state. */
  of(head: number): HeadState {
    return this.#states.get(head) ?? UNTRIED;
  }

  /** QEMU has so many heads; what was known of the others is forgotten. */
  reset(count: number): void {
    this.#count = Math.min(count, MAX_HEADS);
    for (const [head, state] of this.#states) {
      if (state.kind === "lost" || head >= count) this.#states.delete(head);
    }
  }

  /** Nobody makes pictures any more: nothing is known. */
  forget(): void {
    this.#states.clear();
  }

  /** A head's state is another one. */
  set(head: number, state: HeadState): void {
    this.#states.set(head, state);
  }
}
