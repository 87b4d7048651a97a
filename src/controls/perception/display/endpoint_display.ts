/**
 * The displays of one endpoint: its heads, what its display adapter tells of them, and who shows head 0: the
 * guest's producer while it is alive, else a display source.
 * @module
 */
import { assert } from "../../../base/assert.ts";
import type { EndpointId } from "../../../base/ids.ts";
import { Fault, messageOf } from "../../../base/fault.ts";
import { NEVER } from "../../../base/clock.ts";
import { CODE, type Code } from "../../../base/codes.ts";
import { MAX_HEADS } from "../../../base/limits.ts";
import { FRAME_DEMAND } from "../../../event/body_layout.ts";
import { DISPLAY_OP, FRAME_SOURCE } from "../../../event/body_number.ts";
import type { TransferEvent } from "../../../event/transfer_event.ts";
import type { EventSink } from "../event_sink.ts";
import type { FramePublisher } from "../frame_publisher.ts";
import { readViewFacts } from "./display_facts.ts";
import type { TextReader } from "./text_reader.ts";
import { HeadDisplay } from "./head_display.ts";

/** What it needs. */
export interface EndpointDisplayOptions {
  /** The endpoint. */
  readonly endpoint: EndpointId;
  /** Takes what is shown. */
  readonly publisher: FramePublisher;
  /** Carries what is asked. */
  readonly sink: EventSink;
  /** This process's pid. */
  readonly pid: number;
  /** Reads texts. */
  readonly texts: TextReader;
}

/** The displays of one endpoint. */
export class EndpointDisplay implements Disposable {
  readonly #options: EndpointDisplayOptions;
  readonly #heads = new Map<number, HeadDisplay>();
  /** Whether the display adapter was asked for the displays and has not answered. */
  #isAsking = false;
  /** The frame that the guest's producer showed last; undefined while it shows none. */
  #producerFrame: number | undefined;

  /** Nothing is known and nothing wanted. */
  constructor(options: EndpointDisplayOptions) {
    this.#options = options;
  }

  /** Whether head 0 was shown by a display source. */
  get hasShown(): boolean {
    return this.#heads.get(0)?.hasShown ?? false;
  }

  /** When it wants {@linkcode step}. */
  get nextNs(): number {
    let nextNs = NEVER;
    for (const head of this.#heads.values()) nextNs = Math.min(nextNs, head.nextNs);
    return nextNs;
  }

  /** A FRAME_DEMAND of this endpoint. */
  onDemand(event: TransferEvent, nowNs: number): void {
    const number = event.words[FRAME_DEMAND.at.head / 4] as number;
    if (number >= MAX_HEADS) return;
    const head = this.#headOf(number);
    if (head.demand.take(event)) head.replaced();
    head.onDemand(nowNs);
    this.#serveProducer();
    this.#askIfNeeded();
  }

  /**
   * The guest's producer shows head 0, or does not any more.
   *
   * @param frameId of its newest frame, 0 before the first
   */
  onProducer(isAlive: boolean, frameId: number): void {
    const was = this.#producerFrame;
    this.#producerFrame = isAlive ? frameId : undefined;
    if ((was === undefined) === isAlive) {
      this.#headOf(0).yield(isAlive);
      const { endpoint, sink } = this.#options;
      const source = isAlive ? FRAME_SOURCE.VGPU : 0;
      const words = isAlive ? "the guest's own producer" : "the guest's producer has stopped or exited";
      sink.ask(endpoint, {
        op: DISPLAY_OP.SOURCE,
        head: 0,
        source,
        code: isAlive ? 0 : CODE["seam-down"],
        words,
      }, ignore);
    }
    this.#serveProducer();
    this.#askIfNeeded();
  }

  /** Goes on as far as it can now. */
  step(nowNs: number): void {
    for (const head of this.#heads.values()) if (nowNs >= head.nextNs) head.step(nowNs);
    this.#askIfNeeded();
  }

  /** Ends it. */
  [Symbol.dispose](): void {
    for (const head of this.#heads.values()) head[Symbol.dispose]();
    this.#heads.clear();
  }

  #headOf(number: number): HeadDisplay {
    assert(number >= 0 && number < MAX_HEADS, "a head beyond the last is left out by who is asked for it");
    let head = this.#heads.get(number);
    if (head === undefined) {
      head = new HeadDisplay({ ...this.#options, head: number });
      this.#heads.set(number, head);
    }
    return head;
  }

  /** A producer's frame is always the newest: who asks for one has it already. */
  #serveProducer(): void {
    const frameId = this.#producerFrame;
    if (frameId !== undefined) this.#heads.get(0)?.serveTextAlone();
    const picture = this.#heads.get(0)?.demand.picture;
    if (frameId === undefined || frameId === 0 || picture?.isWaiting !== true) return;
    const { endpoint, sink } = this.#options;
    const serial = picture.end();
    sink.ask(endpoint, { op: DISPLAY_OP.SERVED, head: 0, serial, code: 0, frameId: frameId >>> 0 }, ignore);
  }

  /** Each head asks for itself: what was known may be of a VM that ran here before. */
  #askIfNeeded(): void {
    if (this.#isAsking || ![...this.#heads.values()].some((head) => head.needsFacts)) return;
    this.#isAsking = true;
    const { endpoint, sink } = this.#options;
    sink.ask(endpoint, { op: DISPLAY_OP.HEADS, head: 0 }, ({ code, body }) => {
      this.#isAsking = false;
      if (code !== CODE.ok) return this.#refuse(code);
      try {
        const facts = readViewFacts(body);
        for (const head of this.#heads.values()) head.onFacts(facts);
      } catch (error) {
        if (!(error instanceof Fault)) throw error;
        sink.say(endpoint, messageOf(error));
        this.#refuse(CODE["protocol-error"]);
      }
    });
  }

  #refuse(code: Code): void {
    for (const head of this.#heads.values()) head.onNoFacts(code);
  }
}

function ignore(): void {}
