/**
 * Passes the daemon's events to the server. While nobody wants any, none are read. When somebody does, a
 * control of its own joins the daemon, so that the retained events (memory contexts, states of seams) come
 * first, and events that nobody wants are not sent.
 *
 * A frame is sent unchanged, followed by its body. Its descriptors are not sent; the header still has their
 * number, which shows that there were some. Frame rings, and events that request them, are never sent.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { Fault, type FaultCode } from "../../base/fault.ts";
import { type EndpointId, NO_ENDPOINT } from "../../base/ids.ts";
import type { ClientEvent } from "../../client/client_event.ts";
import type { ClientLink, LinkHost } from "../../client/link.ts";
import { OVERRUN } from "../../event/body_layout.ts";
import { KIND, type Kind, kindName } from "../../event/kind.ts";
import type { Prio } from "../../event/priority.ts";
import { type Source, sourceName, sourceNamesOf } from "../../event/source.ts";
import { FRAME } from "../../protocol/frame.ts";
import { AUDIT_SOURCE, NOWHERE } from "../wire/subjects.ts";
import type { EventNumbers, Outlet } from "./event_numbers.ts";
import type { HostView } from "./host_view.ts";
import type { LocalBus } from "./local_bus.ts";
import type { OutQueue } from "./out_queue.ts";

const NEVER: ReadonlySet<number> = new Set([KIND.FRAME_RING, KIND.FRAME_DEMAND]);
const RETRY_MS = 1000;

/** The options of a feed. */
export interface EventFeedOptions {
  /** Counts what is sent. */
  readonly numbers: EventNumbers;
  /** The daemon. */
  readonly bus: LocalBus;
  /** The endpoints. */
  readonly view: HostView;
  /** Where events are sent. */
  readonly queue: OutQueue;
  /** Called when the daemon has dropped events. */
  readonly onOverrun: (lost: number) => void;
  /** Sources that may be sent at all, bit 1 << source. */
  readonly allowed: number;
}

/** The feed. */
export class EventFeed implements LinkHost, AsyncDisposable {
  readonly #options: EventFeedOptions;
  readonly #outlets = new Map<number, Outlet>();
  #wanted = 0;
  #link: ClientLink | undefined;
  #opening: Promise<void> | undefined;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #isEnded = false;

  /** Starts without reading. */
  constructor(options: EventFeedOptions) {
    this.#options = options;
  }

  /** Whether events are read. */
  get isFlowing(): boolean {
    return this.#link !== undefined;
  }

  /** From now on exactly these sources are wanted; resolves when their events flow. */
  async want(sources: number): Promise<void> {
    this.#wanted = sources & this.#options.allowed;
    if (this.#wanted === 0) return await this.#close();
    if (this.#link === undefined) await this.#open();
  }

  /** The names of endpoints have changed. */
  forgetNames(): void {
    this.#outlets.clear();
  }

  /** See {@linkcode LinkHost}. */
  onWelcome(): void {
    // What is granted is visible in what arrives.
  }

  /** See {@linkcode LinkHost}. */
  mayRead(): boolean {
    return this.#options.queue.hasRoom;
  }

  /** The queue has room again. */
  wake(): void {
    this.#link?.wake();
  }

  /** See {@linkcode LinkHost}. */
  onEvent(event: ClientEvent): void {
    const { frame } = event;
    this.onFrame(new DataView(frame.buffer), frame, 0, frame.length);
    if (event.fdCount > 0) event[Symbol.dispose]();
  }

  /**
   * See {@linkcode LinkHost}: an event without descriptors is copied from the receive buffer straight to the
   * batch.
   */
  onFrame(view: DataView, bytes: Uint8Array, at: number, length: number): void {
    const kind = view.getUint16(at + FRAME.kind, true) as Kind;
    const source = view.getUint8(at + FRAME.source) as Source;
    // An OVERRUN is sent to every reader of events.
    if (((this.#wanted >>> source) & 1) === 1 && !NEVER.has(kind) || kind === KIND.OVERRUN) {
      const endpoint = view.getUint32(at + FRAME.endpoint, true) as EndpointId;
      const key = ((endpoint & 0xff) << 16 | kind) * 16 + source;
      let outlet = this.#outlets.get(key);
      if (outlet === undefined) {
        const { numbers, view } = this.#options;
        const place = endpoint === NO_ENDPOINT ? undefined : view.place(endpoint);
        const from = kind === KIND.AUDIT ? AUDIT_SOURCE : sourceName(source);
        outlet = numbers.outlet(place?.token ?? NOWHERE, from, kindName(kind));
        // An endpoint that is not in the view yet gets its name shortly.
        if (place !== undefined || endpoint === NO_ENDPOINT) this.#outlets.set(key, outlet);
      }
      if (kind === KIND.OVERRUN) {
        this.#options.onOverrun(view.getUint32(at + FRAME.inline + OVERRUN.at.lost, true));
      }
      this.#options.queue.push(outlet, bytes, at, length, view.getUint8(at + FRAME.prio) as Prio);
    }
  }

  /** See {@linkcode LinkHost}. */
  onLinkEnd(link: ClientLink): void {
    void link.close();
    if (this.#link === link) this.#link = undefined;
    this.#later();
  }

  /** Stops reading. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isEnded = true;
    clearTimeout(this.#retry);
    await this.#close();
  }

  async #open(): Promise<void> {
    assert(this.#link === undefined, "a feed reads once");
    const { bus, allowed } = this.#options;
    const sources = sourceNamesOf(allowed) as never[];
    this.#opening ??= bus.link(undefined, "vmsig join (events)", { sources }, this).then((link) => {
      if (this.#isEnded || this.#wanted === 0) void link.close();
      else this.#link = link;
    }, (error) => {
      // The daemon is away: retried for as long as anybody wants events.
      if (!(error instanceof Fault) || (error.code as FaultCode) === "bad-argument") throw error;
      this.#later();
    }).finally(() => this.#opening = undefined);
    await this.#opening;
  }

  #later(): void {
    clearTimeout(this.#retry);
    if (this.#isEnded) return;
    this.#retry = setTimeout(() => {
      if (this.#wanted !== 0 && this.#link === undefined) void this.#open();
    }, RETRY_MS);
  }

  async #close(): Promise<void> {
    const link = this.#link;
    this.#link = undefined;
    await link?.close();
  }
}
