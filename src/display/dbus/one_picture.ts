/**
 * One current picture from a display that sends nothing while nothing changes. QEMU checks for changes every
 * 30 ms while there is a listener; so when its main loop has answered, twice that time has passed, and it has
 * answered again, all earlier changes have been sent.
 * @module
 */
import { MS, NEVER } from "../../base/clock.ts";

/** Two checks, and a margin. */
const SETTLE_NS = 65 * MS;
/** The answer and the last picture come over two sockets, which QEMU writes from one thread. */
const DRAIN_NS = 3 * MS;

type Stage = "idle" | "wanted" | "asked" | "settling" | "asked-again" | "draining";

/** The next step: ask QEMU's main loop, or show the picture. */
export type OnePictureStep = "ask" | "show" | undefined;

/** The steps to one picture. */
export class OnePicture {
  #stage: Stage = "idle";
  #untilNs = NEVER;

  /** Whether one is wanted. */
  get isWanted(): boolean {
    return this.#stage !== "idle";
  }

  /** When {@linkcode OnePicture.next} has something to do; NEVER when only an answer brings it on. */
  get nextNs(): number {
    return this.#untilNs;
  }

  /** Requests a current picture. */
  want(): void {
    this.#stage = "wanted";
    this.#untilNs = NEVER;
  }

  /** The picture is no longer complete: starts again. */
  restart(): void {
    if (this.isWanted) this.want();
  }

  /** QEMU's main loop has answered. */
  answered(nowNs: number): void {
    if (this.#stage === "asked") this.#wait("settling", nowNs + SETTLE_NS);
    else if (this.#stage === "asked-again") this.#wait("draining", nowNs + DRAIN_NS);
  }

  /**
   * Takes the next step.
   *
   * @param isWhole whether there is a picture
   */
  next(isWhole: boolean, nowNs: number): OnePictureStep {
    if (!isWhole || this.#stage === "idle") return undefined;
    if (this.#stage === "wanted") {
      this.#wait("asked", NEVER);
      return "ask";
    }
    if (nowNs < this.#untilNs) return undefined;
    if (this.#stage === "settling") {
      this.#wait("asked-again", NEVER);
      return "ask";
    }
    this.#wait("idle", NEVER);
    return "show";
  }

  #wait(stage: Stage, untilNs: number): void {
    this.#stage = stage;
    this.#untilNs = untilNs;
  }
}
