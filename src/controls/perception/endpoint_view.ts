/**
 * Perception of one endpoint: its guest's system, and the sources that its pictures come from. It joins them
 * and contains what a guest's structures make them throw; each part is a state machine of its own.
 * @module
 */
import type { EndpointId } from "../../base/ids.ts";
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { NEVER } from "../../base/clock.ts";
import { messageOf } from "../../base/fault.ts";
import type { TransferEvent } from "../../event/transfer_event.ts";
import type { EventSink } from "./event_sink.ts";
import { TextReader } from "./display/text_reader.ts";
import { EndpointDisplay } from "./display/endpoint_display.ts";
import { findSystem } from "./find_system.ts";
import { FramePublisher } from "./frame_publisher.ts";
import { type FindSystem, GuestTracker } from "./guest_tracker.ts";
import { VgpuSource } from "./sources/vgpu_source.ts";

/** What is wanted beside watching. */
export interface EndpointViewOptions {
  /** Whether frames are copied into a ring for consumers. */
  readonly ring: boolean;
  /** This process's pid, which the ring's header names. */
  readonly pid: number;
  /** Finds the guest's system; {@linkcode findSystem} unless told. */
  readonly find?: FindSystem;
}

/** What is seen of one endpoint. */
export class EndpointView implements Disposable {
  readonly #endpoint: EndpointId;
  readonly #sink: EventSink;
  readonly #guest: GuestTracker;
  readonly #vgpu: VgpuSource;
  readonly #display: EndpointDisplay;
  /** When the guest is looked at next. */
  #guestNs = NEVER;
  #wasAlive = false;
  #toldFrame = 0;

  /**
   * A view without a context: it sees nothing yet.
   *
   * @param endpoint the endpoint
   * @param sink takes its events
   * @param options what is wanted beside watching
   */
  constructor(endpoint: EndpointId, sink: EventSink, options: EndpointViewOptions) {
    this.#endpoint = endpoint;
    this.#sink = sink;
    const publisher = new FramePublisher(endpoint, sink);
    const texts = new TextReader(() => this.#guest.system);
    this.#display = new EndpointDisplay({ endpoint, publisher, sink, pid: options.pid, texts });
    this.#vgpu = new VgpuSource({
      publisher,
      ringPid: options.ring ? options.pid : undefined,
      onProducer: (nowNs) => this.#guest.hasten(nowNs),
    });
    this.#guest = new GuestTracker(endpoint, options.find ?? findSystem, this.#vgpu);
  }

  /** When it wants {@linkcode step}; NEVER without a context and without demand. */
  get nextNs(): number {
    return Math.min(this.#guestNs, this.#display.nextNs);
  }

  /** A FRAME_DEMAND of this endpoint. */
  onDemand(event: TransferEvent, nowNs: number): void {
    this.#display.onDemand(event, nowNs);
  }

  /**
   * Takes a MEMCTX: what was seen in the last epoch is gone.
   *
   * @param kcr3 the kernel's root, 0 when the daemon does not know it
   * @param body its body: memsegs
   * @param fds its descriptors; owned from now on
   */
  onContext(kcr3: number, body: Uint8Array, fds: readonly OwnedFd[]): void {
    try {
      this.#guest.onContext(kcr3, body, fds);
    } catch (error) {
      this.#sink.say(this.#endpoint, messageOf(error));
    } finally {
      this.#guestNs = this.#guest.nextNs;
      for (const fd of fds) fd.close();
    }
  }

  /** Takes a MEMCTX_INVALIDATED, or the endpoint's end. */
  onInvalidated(): void {
    this.#guest.forget();
    this.#guestNs = NEVER;
    this.#tellProducer();
  }

  /** Goes on as far as it can now. */
  step(nowNs: number): void {
    if (nowNs >= this.#guestNs) this.#lookIntoGuest(nowNs);
    this.#display.step(nowNs);
  }

  /** Ends it. */
  [Symbol.dispose](): void {
    this.onInvalidated();
    this.#display[Symbol.dispose]();
    this.#vgpu[Symbol.dispose]();
  }

  #lookIntoGuest(nowNs: number): void {
    try {
      this.#guestNs = this.#step(nowNs);
    } catch (error) {
      // RAM that shrank, or a guest's structure that we trip over: this epoch is over for us, the other
      // endpoints are still seen.
      this.#sink.say(this.#endpoint, messageOf(error));
      this.onInvalidated();
    }
    this.#tellProducer();
  }

  #tellProducer(): void {
    const { isAlive, frameId } = this.#vgpu;
    if (isAlive === this.#wasAlive && frameId === this.#toldFrame) return;
    if (isAlive && !this.#wasAlive) this.#vgpu.showRing(this.#display.hasShown);
    this.#wasAlive = isAlive;
    this.#toldFrame = frameId;
    this.#display.onProducer(isAlive, frameId);
  }

  #step(nowNs: number): number {
    const wasRunning = this.#guest.isRunning;
    this.#guest.step(nowNs, this.#vgpu.hasProducer);
    // A system that was just found is looked into next time: others wait for this thread, too.
    if (!wasRunning) return this.#guest.isRunning ? nowNs : this.#guest.nextNs;
    if (!this.#guest.isRunning) return this.#guest.nextNs;
    return this.#vgpu.step(nowNs, this.#guest.nextNs);
  }
}
