/**
 * The perception control: joins the bus, keeps a view of each endpoint whose memory it is given, and steps
 * those views. One thread, no promises; it ends when its bell is rung. When the daemon goes it waits for the
 * next one.
 * @module
 */
import type { EndpointId } from "../../base/ids.ts";
import { EventFd } from "../../../ffi/event_fd.ts";
import { IN, Poller } from "../../../ffi/poller.ts";
import { monotonicClock } from "../../../ffi/clock.ts";
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { NEVER, SECOND } from "../../base/clock.ts";
import { assert } from "../../base/assert.ts";
import { PUBLISHABLE } from "../../access/requirement.ts";
import { CODE, type Code } from "../../base/codes.ts";
import { Fault, messageOf } from "../../base/fault.ts";
import { MAX_DISPLAY_WORDS, MAX_ENDPOINTS } from "../../base/limits.ts";
import { readU64 } from "../../base/layout.ts";
import type { Log } from "../../base/log.ts";
import { DISPLAY_REQUEST, ERROR, MEMCTX, SCREEN_TEXT } from "../../event/body_layout.ts";
import { KIND, type Kind } from "../../event/kind.ts";
import { SOURCE } from "../../event/source.ts";
import { BODY, type TransferEvent } from "../../event/transfer_event.ts";
import { BusConnection, type BusListener } from "./bus_connection.ts";
import { EndpointView } from "./endpoint_view.ts";
import type { Answer, DescriptorWatch, DisplayCommand, EventSink } from "./event_sink.ts";
import { PendingAnswers } from "./pending_answers.ts";

/** How a perception control is set up. */
export interface PerceptionOptions {
  /** The daemon's control socket. */
  readonly socketPath: string;
  /** An eventfd that ends it when it is signalled. */
  readonly bellFd: number;
  /** Whether frames are copied into rings for consumers; true unless told. */
  readonly ring?: boolean;
  /** Whether to wait for another daemon when this one ends; true unless told. */
  readonly reconnect?: boolean;
  /** Told once it is on the bus, each time; with the connection's descriptor, which stays its own. */
  readonly onJoined?: (fd: number) => void;
  /** Called every two seconds at least, for as long as it looks and does not hang. */
  readonly onBeat?: () => void;
}

const RECONNECT_NS = SECOND;
const BEAT_NS = 2 * SECOND;
const NAME = "perception";

/** The control, on the thread that calls {@linkcode run}. */
export class PerceptionLoop implements BusListener, EventSink {
  readonly #options: PerceptionOptions;
  readonly #log: Log;
  readonly #views = new Map<number, EndpointView>();
  readonly #pending = new PendingAnswers();
  /** What was asked while it joined. */
  readonly #early: (() => void)[] = [];
  #connection: BusConnection | undefined;
  #stopped = false;
  /** The last refusal that was told: each frame would be refused alike. */
  #refusal = 0;
  #beatNs = 0;

  /**
   * Sets it up; nothing happens before {@linkcode run}.
   *
   * @param options where and how
   * @param log for people
   */
  constructor(options: PerceptionOptions, log: Log) {
    this.#options = options;
    this.#log = log;
  }

  /**
   * Watches until the bell is rung.
   *
   * @throws {Fault} when it cannot join and is not to wait, and when the daemon does not admit it
   */
  run(): void {
    const { socketPath, bellFd, reconnect = true } = this.#options;
    while (!this.#stopped) {
      try {
        using connection = BusConnection.open(
          socketPath,
          NAME,
          1 << SOURCE.MEMCTX | 1 << SOURCE.CORE | 1 << SOURCE.FRAME,
          bellFd,
          this,
        );
        this.#connection = connection;
        this.#refusal = 0;
        this.#options.onJoined?.(connection.fd);
        for (const ask of this.#early.splice(0)) ask();
        this.#watch(connection);
      } catch (error) {
        const patient = reconnect && error instanceof Fault && error.code !== "not-admitted";
        if (!patient) throw error;
        this.#log.debug(messageOf(error));
      } finally {
        this.#connection = undefined;
        this.#pending.clear();
        this.#early.length = 0;
        for (const view of this.#views.values()) view[Symbol.dispose]();
        this.#views.clear();
      }
      if (!reconnect) return;
      if (!this.#stopped) this.#rest();
    }
  }

  /** An event of the bus. */
  onEvent(event: TransferEvent, fds: readonly OwnedFd[]): void {
    if (event.kind === KIND.MEMCTX && event.endpoint < MAX_ENDPOINTS) {
      const kcr3 = readU64(event.view, MEMCTX.at.kcr3);
      this.#viewOf(event.endpoint).onContext(kcr3, event.bodyView(), fds);
      return;
    }
    if (event.kind === KIND.ACT_ACK || event.kind === KIND.DISPLAY) return this.#pending.take(event, fds);
    for (const fd of fds) fd.close();
    if (event.kind === KIND.FRAME_DEMAND && event.endpoint < MAX_ENDPOINTS) {
      this.#viewOf(event.endpoint).onDemand(event, monotonicClock.nowNs());
    } else if (event.kind === KIND.ERROR && event.source === SOURCE.FRAME) this.#pending.takeWords(event);
    else if (event.kind === KIND.MEMCTX_INVALIDATED) this.#views.get(event.endpoint)?.onInvalidated();
    else if (event.kind === KIND.ROSTER && event.view.getUint32(0, true) === 0) this.#drop(event.endpoint);
    else if (event.kind === KIND.ERROR && PUBLISHABLE.has(event.view.getUint32(ERROR.at.detail, true))) {
      // Other errors are the adapters', told to everybody.
      if (event.source === SOURCE.CORE) this.#onRefused(event.view.getUint32(ERROR.at.code, true) as Code);
    }
  }

  /** A view's event. */
  publish(kind: Kind, endpoint: EndpointId, inline: Uint8Array, fd: number, body?: Uint8Array): void {
    this.#connection?.publish(kind, endpoint, inline, fd, body);
  }

  publishText(endpoint: EndpointId, head: number, body: Uint8Array): void {
    this.#connection?.send(KIND.SCREEN_TEXT, endpoint, -1, (event) => {
      event.words[SCREEN_TEXT.at.head / 4] = head;
      event.setBody(BODY.CBOR, body);
    });
  }

  ask(endpoint: EndpointId, command: DisplayCommand, then: (answer: Answer) => void): void {
    const connection = this.#connection;
    if (connection === undefined) {
      // What is retained comes before the connection is ours.
      assert(command.fd === undefined, "nothing with a descriptor is asked while joining");
      this.#early.push(() => this.ask(endpoint, command, then));
      return;
    }
    if (connection.closed) return;
    const corr = this.#pending.add(endpoint, then);
    connection.send(KIND.CMD_DISPLAY, endpoint, command.fd ?? -1, (event) => {
      const { at } = DISPLAY_REQUEST;
      event.corr = corr;
      event.words[at.op / 4] = command.op;
      event.words[at.head / 4] = command.head;
      event.words[at.serial / 4] = command.serial ?? 0;
      event.words[at.code / 4] = command.code ?? 0;
      event.words[at.frameId / 4] = command.frameId ?? 0;
      event.words[at.source / 4] = command.source ?? 0;
      if (command.words !== undefined && command.words !== "") {
        event.setBody(BODY.RAW, cutUtf8(command.words, MAX_DISPLAY_WORDS));
      }
    });
  }

  watch(fd: number, events: number, onReady: () => void): DescriptorWatch {
    const connection = this.#connection;
    assert(connection !== undefined, "descriptors are watched while there is a connection");
    return connection.watch(fd, events, onReady);
  }

  /** A view's words. */
  say(endpoint: EndpointId, text: string): void {
    this.#log.warn(text, { endpoint });
  }

  #onRefused(code: Code): void {
    // A refusal for an endpoint that has just gone is expected. The daemon reports a right that its rules
    // have taken away when it reads them.
    if (code === this.#refusal || code === CODE["no-endpoint"] || code === CODE["no-capability"]) return;
    this.#refusal = code;
    this.#log.warn("the daemon refuses what perception publishes", { code });
  }

  #watch(connection: BusConnection): void {
    while (!connection.closed && !this.#stopped) {
      let nextNs = this.#options.onBeat === undefined ? NEVER : this.#beatNs;
      for (const view of this.#views.values()) nextNs = Math.min(nextNs, view.nextNs);
      connection.turn(nextNs, this);
      this.#stopped = EventFd.borrow(this.#options.bellFd).drain() > 0;
      const nowNs = monotonicClock.nowNs();
      for (const view of this.#views.values()) view.step(nowNs);
      this.#beat(nowNs);
    }
  }

  #beat(nowNs: number): void {
    if (nowNs < this.#beatNs) return;
    this.#beatNs = nowNs + BEAT_NS;
    this.#options.onBeat?.();
  }

  #rest(): void {
    this.#beat(monotonicClock.nowNs());
    using poller = new Poller(1);
    poller.add(this.#options.bellFd, IN, 0);
    poller.waitNs(RECONNECT_NS);
    this.#stopped = EventFd.borrow(this.#options.bellFd).drain() > 0;
  }

  #viewOf(endpoint: EndpointId): EndpointView {
    let view = this.#views.get(endpoint);
    if (view === undefined) {
      view = new EndpointView(endpoint, this, { ring: this.#options.ring ?? true, pid: Deno.pid });
      this.#views.set(endpoint, view);
    }
    return view;
  }

  #drop(endpoint: EndpointId): void {
    this.#views.get(endpoint)?.[Symbol.dispose]();
    this.#pending.forget(endpoint);
    this.#views.delete(endpoint);
  }
}

/** As many whole characters as fit. */
function cutUtf8(text: string, mostBytes: number): Uint8Array {
  const room = new Uint8Array(mostBytes);
  return room.subarray(0, new TextEncoder().encodeInto(text, room).written);
}
