/**
 * When a VNC client asks for what, as a state machine of its own.
 *
 * A request for changes stands at the server until something changes; one for certain is answered whatever
 * has. RFB numbers neither: a server may answer two requests by one update, and an update may be on its way
 * when a request is sent. So a picture as of now is there with the first update behind a certain request when
 * nothing stood at the server, else with the second, and it is asked again in between in case the first has
 * answered both.
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

/** The requests of one connection. */
export class UpdateRequests {
  #gapNs = NEVER;
  /** When changes may be asked for again. */
  #paceNs = -NEVER;
  #once: "idle" | "wanted" | "asked" = "idle";
  /** Whether everything of the picture was painted since it has its size. */
  #isWhole = false;
  /** Whether a request was sent behind the last update. */
  #isOpen = false;
  /** Updates until one is as new as the last certain request; 0: none is awaited. */
  #awaited = 0;
  #certainNs = NEVER;

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
    if (this.#awaited > 0) return this.#isOpen ? undefined : this.#certain();
    if (!this.#isWhole && this.isWanted) return "everything";
    if (this.#once === "wanted") return "now";
    return this.isWatched && !this.#isOpen && nowNs >= this.#paceNs ? "changes" : undefined;
  }

  #certain(): Request {
    return this.#isWhole ? "now" : "everything";
  }

  /** It was asked. */
  asked(request: Request, nowNs: number): void {
    this.#paceNs = nowNs + (this.isWatched ? this.#gapNs : 0);
    if (request !== "changes") {
      this.#certainNs = nowNs;
      if (this.#awaited === 0) {
        this.#awaited = this.#isOpen ? 2 : 1;
        if (this.#once === "wanted") this.#once = "asked";
      }
    }
    this.#isOpen = true;
  }

  /** An update came that brought pixels. */
  answered(): Answer {
    const isAsked = this.#isOpen;
    this.#isOpen = false;
    if (this.#awaited === 0 || --this.#awaited > 0) return { isAsked, isPicture: false };
    this.#isWhole = true;
    this.#certainNs = NEVER;
    const isPicture = this.#once === "asked";
    if (isPicture) this.#once = "idle";
    return { isAsked, isPicture };
  }

  /** The picture has another size: what was asked for is nothing any more. */
  resized(): void {
    this.#isWhole = false;
    this.#isOpen = false;
    this.#awaited = 0;
    this.#certainNs = NEVER;
    if (this.#once === "asked") this.#once = "wanted";
  }

  /** Something was shown that nobody had asked for: it counts as one of those that are wanted. */
  shown(nowNs: number): void {
    if (this.isWatched) this.#paceNs = nowNs + this.#gapNs;
  }
}
