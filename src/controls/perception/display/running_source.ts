/**
 * A display source at work: it is stepped when its time has come or its descriptor is ready, and what it
 * throws is its own end.
 * @module
 */
import { assert } from "../../../base/assert.ts";
import type { Code } from "../../../base/codes.ts";
import { NEVER, SECOND } from "../../../base/clock.ts";
import type { DisplaySource } from "../../../display/display_source.ts";
import type { ScreenText } from "../../../display/text/screen_text.ts";
import type { DescriptorWatch, EventSink } from "../event_sink.ts";
import { failureOf } from "../sources/source_failure.ts";
import type { SourceRow } from "../sources/source_row.ts";

/** How long a source that costs something is kept when nobody wants pictures. */
const LINGER_NS = 10 * SECOND;

/** Where a source stands. One that ends while it is called into is closed after that call. */
type SourceState = "resting" | "called" | "ending" | "closed";

/** A source that runs. */
export class RunningSource implements Disposable {
  /** What it is. */
  readonly row: SourceRow;
  /** Since when. */
  readonly sinceNs: number;
  readonly #source: DisplaySource;
  readonly #sink: EventSink;
  readonly #onFailed: (code: Code, why: string) => void;
  #watch: DescriptorWatch | undefined;
  #watchedFd = -1;
  #watchedEvents = 0;
  #isReady = false;
  #state: SourceState = "resting";
  /** When it is closed, nobody wanting anything; NEVER while somebody does. */
  #lingerNs = NEVER;

  /**
   * Takes a source over.
   *
   * @param sink waits for its descriptor
   * @param onFailed told when it threw
   */
  constructor(
    row: SourceRow,
    source: DisplaySource,
    sink: EventSink,
    nowNs: number,
    onFailed: (code: Code, why: string) => void,
  ) {
    this.row = row;
    this.sinceNs = nowNs;
    this.#source = source;
    this.#sink = sink;
    this.#onFailed = onFailed;
  }

  /** When it wants {@linkcode step}. */
  get nextNs(): number {
    return this.#isReady ? 0 : Math.min(this.#source.nextNs, this.#lingerNs);
  }

  /** Whether nobody has wanted anything for so long that it is closed. */
  isUnused(nowNs: number): boolean {
    return nowNs >= this.#lingerNs;
  }

  /** Goes on. */
  step(nowNs: number): void {
    this.#isReady = false;
    this.#work(() => this.#source.step(nowNs));
  }

  /**
   * Says how many pictures are wanted.
   *
   * @param isWanted whether anything is, single pictures included
   */
  demand(perSecond: number, isWanted: boolean, nowNs: number): void {
    this.#lingerNs = this.row.costsIdle && !isWanted ? nowNs + LINGER_NS : NEVER;
    this.#work(() => this.#source.demand(perSecond));
  }

  /** Asks for one picture. */
  once(): void {
    this.#work(() => this.#source.once());
  }

  /** The text on the screen, where it is known without a picture. */
  readText(): ScreenText | undefined {
    let text: ScreenText | undefined;
    this.#work(() => text = this.#source.readText?.());
    return text;
  }

  /** What it wants may have changed outside of these calls: an answer was handed to it. */
  changed(): void {
    this.#watchDescriptor();
  }

  /** Ends it, as soon as it is not at work. */
  [Symbol.dispose](): void {
    if (this.#hasEnded) return;
    this.#watch?.[Symbol.dispose]();
    this.#watch = undefined;
    if (this.#state === "called") this.#state = "ending";
    else this.#close();
  }

  /** Calls into the source. It may end while it is at work: it is disposed of behind that. */
  #work(act: () => void): void {
    if (this.#hasEnded) return;
    const isOuter = this.#state === "resting";
    this.#state = "called";
    try {
      act();
    } catch (error) {
      const { code, why } = failureOf(error);
      this.#onFailed(code, why);
    }
    if (!isOuter) return;
    if (this.#hasEnded) return this.#close();
    this.#state = "resting";
    this.#watchDescriptor();
  }

  get #hasEnded(): boolean {
    return this.#state === "ending" || this.#state === "closed";
  }

  #close(): void {
    assert(this.#state !== "closed", "a source is closed once");
    assert(this.#watch === undefined, "the descriptor of a source that has ended is not watched");
    this.#state = "closed";
    this.#source[Symbol.dispose]();
  }

  #watchDescriptor(): void {
    if (this.#hasEnded) return;
    const { fd, events } = this.#source;
    if (fd === this.#watchedFd && events === this.#watchedEvents) return;
    if (fd === this.#watchedFd && this.#watch !== undefined) this.#watch.wait(events);
    else {
      this.#watch?.[Symbol.dispose]();
      this.#watch = fd < 0 ? undefined : this.#sink.watch(fd, events, () => this.#isReady = true);
    }
    this.#watchedFd = fd;
    this.#watchedEvents = events;
  }
}
