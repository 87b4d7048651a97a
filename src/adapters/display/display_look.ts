/**
 * When a VM's monitor is asked for its displays: one question at a time; once more when something changed
 * while it was asked; and for who asks after a head that is not known, once a second at most.
 * @module
 */
import { SECOND } from "../../base/clock.ts";
import type { QmpLink } from "../../qemu/monitor/qmp_link.ts";
import { type DisplayAnswer, probeDisplays } from "./display_probe.ts";

/** How often somebody who asks after an unknown head has the monitor asked. */
const GAP_NS = SECOND;

type State =
  | { readonly kind: "resting" }
  /** Asked; `again`: what comes may be old by now. */
  | { readonly kind: "asking"; again: boolean };

const RESTING: State = { kind: "resting" };

/** The looks at one VM's displays. */
export class DisplayLook {
  readonly #link: QmpLink;
  readonly #onFound: (answer: DisplayAnswer | undefined) => void;
  #state: State = RESTING;
  #nextNs = 0;

  /**
   * Nothing is asked yet.
   *
   * @param onFound told what the monitor says; undefined when it says nothing
   */
  constructor(link: QmpLink, onFound: (answer: DisplayAnswer | undefined) => void) {
    this.#link = link;
    this.#onFound = onFound;
  }

  /** Whether an answer will come. */
  get isAsking(): boolean {
    return this.#state.kind === "asking";
  }

  /** The displays may be others: asks for them. */
  begin(): void {
    if (this.#state.kind === "asking") {
      this.#state.again = true;
      return;
    }
    const asking: State = { kind: "asking", again: false };
    this.#state = asking;
    probeDisplays(this.#link, (answer) => {
      // Of an earlier connection.
      if (this.#state !== asking) return;
      this.#state = RESTING;
      if (asking.again && this.#link.isUp) this.begin();
      else this.#onFound(answer);
    });
  }

  /** Somebody wants what is not known: asks, unless that was done just now; whether an answer will come. */
  beginForAsker(nowNs: number): boolean {
    if (this.isAsking) return true;
    if (nowNs < this.#nextNs) return false;
    this.#nextNs = nowNs + GAP_NS;
    this.begin();
    return this.isAsking;
  }

  /** The monitor is lost: no answer comes. */
  lost(): void {
    this.#state = RESTING;
  }
}
