/**
 * The pictures of one head, on demand: it chooses a source, runs it while pictures are wanted, and takes the
 * next best when one is lost. A state machine that is told the time.
 *
 *   idle -(wanted)-> opening -> running -(lost)-> opening the next one … -(none is left)-> resting -> opening
 *   any -(the guest's producer shows the head, or what was known of the displays is not so any more)-> idle
 *
 * Without demand it does nothing: no command, no timer, but one for a source whose mere connection costs the
 * VM something, which is closed a while after.
 * @module
 */
import { assert } from "../../../base/assert.ts";
import type { EndpointId } from "../../../base/ids.ts";
import { monotonicClock } from "../../../../ffi/clock.ts";
import { NEVER, SECOND } from "../../../base/clock.ts";
import { CODE, type Code } from "../../../base/codes.ts";
import { FRAME_SOURCE, FRAME_STOPPED, type FrameSourceNumber } from "../../../event/body_number.ts";
import type { DisplaySource } from "../../../display/display_source.ts";
import type { EventSink } from "../event_sink.ts";
import type { FramePublisher } from "../frame_publisher.ts";
import { RingCanvas } from "../ring_canvas.ts";
import { failureOf } from "../sources/source_failure.ts";
import type { SourceRow } from "../sources/source_row.ts";
import { rowsFor } from "../sources/source_rows.ts";
import { headsText, REMOVED, type ViewFacts } from "./display_facts.ts";
import { HeadDemand } from "./head_demand.ts";
import { HeadReports } from "./head_reports.ts";
import { RunningSource } from "./running_source.ts";
import type { TextReader } from "./text_reader.ts";

/** How long all sources rest when none works: twice as long each time. */
const REST_NS = SECOND;
const LONGEST_REST_NS = 30 * SECOND;
/** When a better source is tried again that could not be had yet; somebody must want pictures then. */
const BETTER_GAP_NS = 5 * SECOND;
/** A source that lived so long starts the rests afresh. */
const STEADY_NS = 10 * SECOND;
/** Where a head stands. */
type State =
  | { readonly kind: "idle" }
  /** An answer of the display adapter is waited for. */
  | { readonly kind: "opening"; readonly row: SourceRow }
  | { readonly kind: "running"; readonly running: RunningSource }
  | { readonly kind: "resting"; readonly untilNs: number; readonly code: Code; readonly why: string };

const IDLE: State = { kind: "idle" };
/** Why a head without any source to try shows nothing. */
const NO_SOURCE = "its guest has no live producer";

/** What a head needs of its endpoint. */
export interface HeadDisplayOptions {
  /** The endpoint. */
  readonly endpoint: EndpointId;
  /** The head. */
  readonly head: number;
  /** Takes what it shows. */
  readonly publisher: FramePublisher;
  /** Carries what it asks. */
  readonly sink: EventSink;
  /** This process's pid, for the rings. */
  readonly pid: number;
  /** Reads texts. */
  readonly texts: TextReader;
}

/** One head. */
export class HeadDisplay implements Disposable {
  /** What is wanted of it. */
  readonly demand: HeadDemand = new HeadDemand();
  readonly #options: HeadDisplayOptions;
  readonly #canvas: RingCanvas;
  readonly #reports: HeadReports;
  #facts: ViewFacts | undefined;
  #state: State = IDLE;
  #restNs = REST_NS;
  /** Why better sources are not used, for people. */
  #passed: string[] = [];
  /** The rows that are left to try. */
  #left: readonly SourceRow[] = [];
  /** What was lost last, and is not tried right away. */
  #lost: { readonly row: SourceRow; readonly code: Code; readonly why: string } | undefined;
  /** What its newest frame came from. */
  #shownBy: FrameSourceNumber = FRAME_SOURCE.SCREENDUMP;
  /** When a better source than the one at work may be had. */
  #betterNs = NEVER;
  /** Whether somebody else shows this head. */
  #isYielded = false;
  #wasStopped = false;
  /** Whether the source was asked for a picture that is not there yet. */
  #isAsked = false;

  /** A head that nobody looks at. */
  constructor(options: HeadDisplayOptions) {
    this.#options = options;
    const { publisher, head, endpoint, sink } = options;
    this.#reports = new HeadReports(sink, endpoint, head, this.demand);
    this.#canvas = new RingCanvas(options.pid, {
      onRing: (ring) => publisher.ring(ring, { head, runEpoch: 0, device: this.#facts?.heads[head] ?? "" }),
      onFrame: (info) => publisher.frame(info, { source: this.#shownBy, head, runEpoch: 0 }),
      ...publisher.pointerOf(head),
    });
  }

  /** Whether it needs to know the endpoint's displays, and does not. */
  get needsFacts(): boolean {
    return this.#facts === undefined && this.#state.kind === "idle" && this.demand.isSome && !this.#isYielded;
  }

  /** Whether it has shown a picture. */
  get hasShown(): boolean {
    return this.#canvas.frameId > 0;
  }

  /** When it wants {@linkcode step}. */
  get nextNs(): number {
    const state = this.#state;
    if (state.kind === "running") return state.running.nextNs;
    if (state.kind === "resting") return this.demand.isSome ? state.untilNs : NEVER;
    return state.kind === "idle" && this.#canStart ? 0 : NEVER;
  }

  /** Its demand has changed. */
  onDemand(nowNs: number): void {
    const { demand } = this;
    if (this.#isYielded) return;
    if (nowNs >= this.#betterNs && demand.isSome && this.#state.kind === "running") this.#stop();
    if (this.#state.kind === "running") this.#apply(this.#state.running, nowNs);
    else if (this.#state.kind === "resting" && nowNs < this.#state.untilNs) {
      // Behind that time all is tried again, also for who asks once and again and never watches.
      this.#refuseWaiting(this.#state.code, this.#state.why);
    }
    if (demand.isStopped !== this.#wasStopped) this.#onStopped(demand.isStopped);
  }

  /** The endpoint's displays are known, or known anew. */
  onFacts(facts: ViewFacts): void {
    this.#facts = facts;
    if (this.#state.kind === "resting") this.#state = IDLE;
  }

  /** Its device was removed or replaced: forgets what was known of it. */
  replaced(): void {
    this.#stop();
    this.#facts = undefined;
    this.#lost = undefined;
    this.#restNs = REST_NS;
    // What a producer shows has nothing to do with QEMU's devices.
    if (!this.#isYielded) this.#canvas[Symbol.dispose]();
  }

  /** Nothing can be known of the endpoint's displays now. */
  onNoFacts(code: Code): void {
    if (this.needsFacts) this.#rest(code, "the VM's monitor does not report its displays");
  }

  /** Somebody else shows this head from now on, or does not any more. */
  yield(isYielded: boolean): void {
    if (isYielded === this.#isYielded) return;
    this.#isYielded = isYielded;
    this.#stop();
    this.#canvas[Symbol.dispose]();
    this.#restNs = REST_NS;
  }

  /** Somebody else shows this head: its text is what a console says, or none. */
  serveTextAlone(): void {
    if (!this.demand.text.isWaiting) return;
    const read = this.#options.texts.ofConsole();
    if (read === undefined) {
      this.#reports.noText("the guest's own producer shows it, and no console can be read");
    } else this.#reports.text(read);
  }

  /** Goes on as far as it can now. */
  step(nowNs: number): void {
    const state = this.#state;
    if (state.kind === "running") {
      if (state.running.isUnused(nowNs)) this.#stop();
      else state.running.step(nowNs);
      return;
    }
    if (state.kind === "resting" && nowNs >= state.untilNs && this.demand.isSome) {
      // The VM may be another one by now: its displays are asked for anew.
      this.#state = IDLE;
      this.#facts = undefined;
    }
    if (this.#state.kind !== "idle" || !this.#canStart) return;
    if (this.#isRefused(this.#facts as ViewFacts)) return;
    this.#passed = [];
    const lost = this.#lost;
    // What was lost while it ran may be had again: a viewer's place at a VNC server, for one.
    this.#betterNs = lost === undefined ? NEVER : nowNs + BETTER_GAP_NS;
    this.#lost = undefined;
    this.#left = rowsFor((this.#facts as ViewFacts).display).filter((row) => row !== lost?.row);
    if (lost !== undefined) this.#passed.push(lost.why);
    this.#openNext(lost?.code ?? CODE["not-supported"], NO_SOURCE);
  }

  /** Ends it; readers keep what they have mapped. */
  [Symbol.dispose](): void {
    this.#stop();
    this.#canvas[Symbol.dispose]();
  }

  get #canStart(): boolean {
    return this.#facts !== undefined && this.demand.isSome && !this.#isYielded;
  }

  /** Whether QEMU does not have this head any more, which who waits is told. */
  #isRefused({ heads }: ViewFacts): boolean {
    const { head } = this.#options;
    if (heads[head] !== undefined) return false;
    if (heads.length === 0) this.#rest(CODE["not-supported"], "the VM has no display");
    else this.#rest(CODE["bad-argument"], head < heads.length ? REMOVED : headsText(heads.length));
    return true;
  }

  /** Opens the best of the rows that are left; `code` and `why` are of the one before. */
  #openNext(code: Code, why: string): void {
    const { head, sink, endpoint } = this.#options;
    const facts = this.#facts as ViewFacts;
    let row = this.#left[0];
    while (row !== undefined && this.#passOver(row, facts)) row = this.#left[0];
    if (row === undefined) return this.#rest(code, this.#passed.length > 0 ? this.#passed.join("; ") : why);
    const chosen = row;
    this.#left = this.#left.slice(1);
    const opening: State = { kind: "opening", row: chosen };
    this.#state = opening;
    const listener = {
      onLost: (lostCode: Code, lostWhy: string) => this.#onLost(chosen, lostCode, lostWhy),
      onPicture: () => this.#onPicture(chosen),
    };
    const isCurrent = (): boolean => {
      const state = this.#state;
      return state === opening || (state.kind === "running" && state.running.row === chosen);
    };
    try {
      chosen.open({
        head,
        facts,
        canvas: this.#canvas,
        listener,
        ask: (command, then) =>
          sink.ask(endpoint, { ...command, head }, (answer) => {
            if (isCurrent()) then(answer);
            else for (const fd of answer.fds) fd.close();
          }),
        paintsAs: (source) => this.#shownBy = source,
        onChanged: () => {
          if (this.#state.kind === "running") this.#state.running.changed();
        },
      }, (opened) => {
        if (this.#state !== opening) {
          if (opened.ok) opened.source[Symbol.dispose]();
          return;
        }
        if (opened.ok) this.#start(chosen, opened.source);
        else this.#onLost(chosen, opened.code, opened.why);
      });
    } catch (error) {
      const failure = failureOf(error);
      this.#onLost(chosen, failure.code, failure.why);
    }
  }

  /** Passes a row over that is not fit, and notes why. */
  #passOver(row: SourceRow, facts: ViewFacts): boolean {
    const why = row.unfit(facts, this.#options.head);
    if (why === "") return false;
    this.#passed.push(`${row.kind}: ${why}`);
    this.#left = this.#left.slice(1);
    return true;
  }

  #start(row: SourceRow, source: DisplaySource): void {
    assert(
      this.#state.kind === "opening" && this.#state.row === row,
      "the source that was opened last is started",
    );
    const nowNs = monotonicClock.nowNs();
    const { sink } = this.#options;
    const onFailed = (code: Code, why: string) => this.#onLost(row, code, why);
    const running = new RunningSource(row, source, sink, nowNs, onFailed);
    this.#state = { kind: "running", running };
    this.#shownBy = row.number;
    const isChosen = this.#facts?.display !== "auto";
    const why = isChosen ? "the config says so" : ["the best available", ...this.#passed].join("; ");
    this.#reports.source(row.number, CODE.ok, why);
    this.#apply(running, nowNs);
    // A watcher of a VM that is stopped already gets its last picture.
    const { isStopped, perSecond } = this.demand;
    if (isStopped && perSecond > 0 && this.#isRunning(row)) this.#askOnce(running);
  }

  /** Lets the source know what is wanted of it. */
  #apply(running: RunningSource, nowNs: number): void {
    const { demand } = this;
    running.demand(demand.isStopped ? 0 : demand.perSecond, demand.isSome, nowNs);
    if (this.#isRunning(running.row)) this.#serve(running);
  }

  #serve(running: RunningSource): void {
    const { picture, text } = this.demand;
    const known = text.isWaiting ? running.readText() : undefined;
    if (known !== undefined) this.#reports.text(known);
    if (this.#isAsked || !this.#isRunning(running.row)) return;
    if (!picture.isWaiting && !text.isWaiting) return;
    if (picture.isWaiting) picture.begin();
    // What is not known without a picture is read out of one.
    if (text.isWaiting) text.begin();
    this.#askOnce(running);
  }

  #askOnce(running: RunningSource): void {
    if (this.#isAsked) return;
    this.#isAsked = true;
    running.once();
  }

  #isRunning(row: SourceRow): boolean {
    return this.#state.kind === "running" && this.#state.running.row === row;
  }

  #onPicture(row: SourceRow): void {
    const state = this.#state;
    if (state.kind !== "running" || state.running.row !== row) return;
    const { picture, text } = this.demand;
    this.#isAsked = false;
    if (picture.isServing) this.#reports.picture(this.#canvas.frameId);
    if (text.isServing) {
      const { texts } = this.#options;
      const read = texts.ofPicture(this.#canvas) ?? texts.ofConsole();
      if (read === undefined) this.#reports.noText("there is no text on the screen that can be read");
      else this.#reports.text(read);
    }
    this.#serve(state.running);
  }

  #onLost(row: SourceRow, code: Code, why: string): void {
    const state = this.#state;
    const isOpening = state.kind === "opening" && state.row === row;
    if (!isOpening && !this.#isRunning(row)) return;
    this.#again();
    if (state.kind === "opening") {
      if (code === CODE.busy) this.#betterNs = monotonicClock.nowNs() + BETTER_GAP_NS;
      this.#passed.push(`${row.kind}: ${why}`);
      return this.#openNext(code, why);
    }
    if (state.kind === "running") {
      if (monotonicClock.nowNs() - state.running.sinceNs >= STEADY_NS) this.#restNs = REST_NS;
      state.running[Symbol.dispose]();
    }
    this.#reports.source(0, code, `${row.kind}: ${why}`);
    // The next best, after a look at what there is now; without one, all rest.
    this.#state = IDLE;
    this.#facts = undefined;
    this.#lost = { row, code, why: `${row.kind}: ${why}` };
  }

  /** No source works: those who wait are told, and all is tried again later. */
  #rest(code: Code, why: string): void {
    assert(this.#state.kind !== "running", "a head that rests has no source");
    this.#reports.source(0, code, why);
    this.#state = { kind: "resting", untilNs: monotonicClock.nowNs() + this.#restNs, code, why };
    this.#restNs = Math.min(2 * this.#restNs, LONGEST_REST_NS);
    this.#refuseWaiting(code, why);
  }

  #refuseWaiting(code: Code, why: string): void {
    const { picture, text } = this.demand;
    this.#again();
    if (picture.isWaiting) this.#reports.noPicture(code, why);
    if (!text.isWaiting) return;
    const read = this.#options.texts.ofConsole();
    if (read === undefined) this.#reports.noText(why, code);
    else this.#reports.text(read);
  }

  /** What was asked for is to be asked for anew: its source is gone. */
  #again(): void {
    this.#isAsked = false;
    this.demand.picture.again();
    this.demand.text.again();
  }

  #onStopped(isStopped: boolean): void {
    this.#wasStopped = isStopped;
    this.#canvas.mark(isStopped ? FRAME_STOPPED : 0);
    const state = this.#state;
    if (state.kind !== "running") return;
    // The last picture before it stopped.
    if (isStopped && this.demand.perSecond > 0) this.#askOnce(state.running);
  }

  #stop(): void {
    if (this.#state.kind === "running") this.#state.running[Symbol.dispose]();
    this.#state = IDLE;
    this.#again();
  }
}
