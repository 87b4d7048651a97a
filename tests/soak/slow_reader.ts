/**
 * A control that does not read for seconds, and then reads everything: what is missing in its numbers must be
 * what OVERRUN says.
 * @module
 */
import { RawControl } from "../bench/raw_control.ts";
import { FRAME } from "../../src/protocol/frame.ts";
import { KIND } from "../../src/event/kind.ts";
import { ALL_SOURCES } from "../../src/event/source.ts";
import type { SoakTally } from "./soak_controls.ts";

/** The slow one. */
export class SlowReader implements Disposable {
  readonly #control: RawControl;
  readonly #tally: SoakTally;
  #next: number | undefined;

  constructor(socket: string, tally: SoakTally) {
    this.#control = new RawControl(socket, ALL_SOURCES);
    this.#tally = tally;
  }

  /** Asks something, and reads until it is answered; checks each number on the way. */
  catchUp(): void {
    const frame = this.#control.frameOf(KIND.CMD_LEASE_STATUS, 0, () => {});
    const corr = new DataView(frame.buffer).getUint32(FRAME.corr, true);
    this.#control.tell(frame);
    let overrun = 0;
    this.#control.await((kind, view) => {
      const seq = view.getUint32(FRAME.seq, true);
      const gap = this.#next === undefined ? 0 : (seq - this.#next) >>> 0;
      if (gap !== overrun) {
        this.#tally.failures.push(`a gap of ${gap} before number ${seq}, and OVERRUN said ${overrun}`);
      }
      this.#next = (seq + 1) >>> 0;
      overrun = 0;
      this.#tally.events++;
      if (kind === KIND.OVERRUN) {
        overrun = view.getUint32(FRAME.inline, true);
        this.#tally.overruns++;
        this.#tally.lost += overrun;
      }
      return view.getUint32(FRAME.corr, true) === corr && kind !== KIND.OVERRUN;
    });
  }

  [Symbol.dispose](): void {
    this.#control[Symbol.dispose]();
  }
}
