/**
 * Decides when a VNC client requests what; a state machine of its own.
 *
 * A request for changes stands at the server until something changes; one for certain is answered whatever
 * has. RFB numbers neither: a server may answer two requests by one update or by two, and an update may be on
 * its way when a request is sent. So this counts the most updates that may still come for what was asked
 * before: a picture as of now is there with the update behind those. One that does not have the pixel that
 * was asked for is known to be an earlier one; while that is not known, it is asked again, because the server
 * may have answered all by one. What counts as still to come is forgotten a second after the last certain
 * request: it was answered by then.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { NEVER, SECOND } from "../../base/clock.ts";

/**
 * What to ask for. `everything`: all of the picture, whatever has changed; `now`: what has changed, and one
 * pixel in any case; `changes`: what has changed, once something has.
 */
export type Request = "everything" | "now" | "changes";

/** What an update was for. */
export interface Answer {
  /** Whether it was asked for. */
  readonly isAsked: boolean;
  /** Whether it is the one picture that somebody waits for. */
  readonly isPicture: boolean;
}

/** How long a server may take for what it has to answer, as far as counting goes. */
const SETTLED_NS = SECOND;
/** More are not counted: each makes one picture as of now an update slower. */
const MAX_OPEN = 3;

/** The requests of one connection. */
export class UpdateRequests {
  #gapNs = NEVER;
  /** When changes may be asked for again. */
  #paceNs = -NEVER;
  #once: "idle" | "wanted" | "asked" = "idle";
  /** How much of the picture was asked for and painted since it has its size. */
  #picture: "unasked" | "asked" | "whole" = "unasked";
  /** Whether a request was sent behind the last update. */
  #isOpen = false;
  /** The most updates that what was asked may still bring. */
  #open = 0;
  /** Updates until one is as new as the picture that is awaited; 0: none is. */
  #awaited = 0;
  /** Whether it has to be asked again for it. */
  #isAgain = false;
  #certainNs = NEVER;
  #lastCertainNs = -NEVER;

  /** Whether a request may stand at the server. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Whether pictures are wanted as they change. */
  get isWatched(): boolean {
    return this.#gapNs !== NEVER;
  }

  /** Whether any picture is wanted. */
  get isWanted(): boolean {
    return this.isWatched || this.#once !== "idle";
  }

  /** When an update was asked for that has to come; NEVER while none was. */
  get certainNs(): number {
    return this.#certainNs;
  }

  /** When {@linkcode UpdateRequests.next} may have something to ask though nothing came; NEVER for not. */
  get nextNs(): number {
    return this.isWatched && !this.#isOpen ? this.#paceNs : NEVER;
  }

  /** When what came unasked may be shown: at the pace of the rest. */
  get showNs(): number {
    return this.isWatched ? this.#paceNs : NEVER;
  }

  /** How many pictures a second are wanted; 0: none. */
  demand(perSecond: number): void {
    assert(perSecond >= 0 && perSecond <= 240, "a rate of pictures is 0 to 240 a second");
    const gapNs = perSecond === 0 ? NEVER : SECOND / perSecond;
    // What was slower does not hold up what is faster.
    if (gapNs < this.#gapNs) this.#paceNs = -NEVER;
    this.#gapNs = gapNs;
  }

  /** One picture as of now is wanted. */
  once(): void {
    this.#once = "wanted";
  }

  /** What is to be asked now, if anything; followed by {@linkcode UpdateRequests.asked}. */
  next(nowNs: number): Request | undefined {
    if (this.#picture === "unasked") return this.isWanted ? "everything" : undefined;
    if (this.#once === "wanted" || this.#isAgain) return this.#picture === "whole" ? "now" : "everything";
    return this.isWatched && !this.#isOpen && nowNs >= this.#paceNs ? "changes" : undefined;
  }

  /** It was asked. */
  asked(request: Request, nowNs: number): void {
    if (nowNs - this.#lastCertainNs > SETTLED_NS) this.#open = this.#isOpen ? 1 : 0;
    this.#open = Math.min(this.#open + 1, MAX_OPEN);
    this.#isOpen = true;
    this.#paceNs = nowNs + (this.isWatched ? this.#gapNs : 0);
    if (request === "changes") return;
    this.#isAgain = false;
    this.#certainNs = this.#lastCertainNs = nowNs;
    if (request === "everything" && this.#picture === "unasked") this.#picture = "asked";
    if (this.#once !== "wanted") return;
    this.#once = "asked";
    this.#awaited = this.#open;
  }

  /**
   * An update came that brought pixels.
   *
   * @param hasProbe whether the pixel of the last request for `now` is among them; true for `everything`
   */
  answered(hasProbe: boolean): Answer {
    const isAsked = this.#isOpen;
    this.#open = Math.max(0, this.#open - 1);
    // The request for now is still to be answered; and where the size has changed in the middle, the rest of
    // that update is not a picture.
    if (this.#awaited > 0 && !(hasProbe && this.#picture !== "unasked")) {
      this.#awaited = Math.max(1, this.#awaited - 1);
      return { isAsked, isPicture: false };
    }
    this.#isOpen = false;
    if (this.#picture === "asked") this.#picture = "whole";
    this.#certainNs = NEVER;
    if (this.#awaited === 0) return { isAsked, isPicture: false };
    this.#awaited--;
    this.#isAgain = this.#awaited > 0;
    const isPicture = this.#awaited === 0 && this.#once === "asked";
    if (isPicture) this.#once = "idle";
    return { isAsked, isPicture };
  }

  /** The picture has another size: everything is to be asked for, and whatever answers it will do. */
  resized(): void {
    this.#picture = "unasked";
    this.#isOpen = false;
    this.#isAgain = false;
    this.#certainNs = NEVER;
  }

  /** Something was shown that nobody had asked for: it counts as one of those that are wanted. */
  shown(nowNs: number): void {
    if (this.isWatched) this.#paceNs = nowNs + this.#gapNs;
  }
}
