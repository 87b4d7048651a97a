/**
 * A client's link to the daemons of many hosts, over NATS: used by `connect({ nats })` instead of a socket.
 * The roster of all hosts is available from the start; events arrive once a stream is open; a command opens a
 * session with its host.
 * @module
 */
import type { EndpointId } from "../base/ids.ts";
import { assert } from "../base/assert.ts";
import { CODE } from "../base/codes.ts";
import { Fault } from "../base/fault.ts";
import { MAX_FRAME_BYTES, MAX_HEADS } from "../base/limits.ts";
import { ALL_ENDPOINTS } from "../access/grant.ts";
import { ALL_CAPS, capNames } from "../event/capability.ts";
import { KIND, KIND_MAX } from "../event/kind.ts";
import type { Prio } from "../event/priority.ts";
import { ALL_SOURCES, SOURCE, sourceByName } from "../event/source.ts";
import type { TransferEvent } from "../event/transfer_event.ts";
import type { HostEntry } from "../nats/wire/host_entry.ts";
import { ackFrame } from "../nats/wire/made_frames.ts";
import type { NatsOptions } from "../nats/wire/nats_link.ts";
import type { CommandOutcome } from "../nats/wire/outcome.ts";
import type { PictureAbout } from "../nats/wire/picture_parts.ts";
import { RemoteBus, type RemoteBusListener } from "../nats/reader/remote_bus.ts";
import type { RemoteEndpoint } from "../nats/reader/remote_places.ts";
import { encodeFrame, FRAME } from "../protocol/frame.ts";
import { FrameInfo } from "../vgpu/snapshots.ts";
import { ClientEvent } from "./client_event.ts";
import type { SubscribeOptions, Welcome } from "./handshake.ts";
import type { ClientLink, Introduction } from "./link.ts";
import { RemoteInbox } from "./remote_inbox.ts";
import type { RemoteHost } from "./session_state.ts";

/** A link to many hosts. */
export class RemoteLink implements ClientLink, RemoteBusListener {
  /** Frames are never queued here: what the server does not accept is refused at once. */
  readonly congested = false;
  readonly #options: NatsOptions;
  readonly #host: RemoteHost;
  readonly #scratch = new Uint8Array(MAX_FRAME_BYTES);
  readonly #scratchView = new DataView(this.#scratch.buffer);
  /** Frames that arrived before the welcome. */
  #early: (() => void)[] | undefined = [];
  readonly #inbox: RemoteInbox;
  #bus: RemoteBus | undefined;
  #sources = ALL_SOURCES;
  #prioMin: Prio = 0;
  #endpoints: ReadonlySet<number> | undefined;
  #seq = 0;
  #isClosed = false;

  /** Starts without a connection. */
  constructor(options: NatsOptions, host: RemoteHost) {
    this.#options = options;
    this.#host = host;
    this.#inbox = new RemoteInbox({ mayRead: () => host.mayRead(), take: (frame) => this.onFrame(frame) });
  }

  /** See {@linkcode ClientLink}. */
  get lastSeq(): number | undefined {
    return this.#seq === 0 ? undefined : this.#seq;
  }

  /** The known hosts. */
  get hosts(): HostEntry[] {
    return this.#bus?.hosts ?? [];
  }

  /** See {@linkcode ClientLink}. */
  async greet({ name, sub, as = "" }: Introduction): Promise<Welcome> {
    if (as !== "") {
      throw new Fault(
        "not-supported",
        `Cannot join other hosts as ${as}: there one is who the NATS server says; come with that user's credentials`,
      );
    }
    assert(this.#bus === undefined && !this.#isClosed, "a link opens once");
    this.#subscribe(sub);
    const bus = await RemoteBus.open(this.#options, name, this);
    this.#bus = bus;
    this.#host.memory.elsewhere = (endpoint, question, timeoutMs) =>
      bus.askMemory(endpoint, question, timeoutMs);
    if (this.#isClosed) {
      await bus[Symbol.asyncDispose]();
      throw new Fault("unreachable", "the client was closed");
    }
    const welcome: Welcome = {
      control: 0 as Welcome["control"],
      principal: Deno.uid() ?? 0,
      as: "",
      endpoints: ALL_ENDPOINTS,
      sources: this.#sources,
      // Each host decides what it grants, when it answers a command.
      caps: ALL_CAPS,
      capNames: capNames(ALL_CAPS),
      arbPrio: 0,
      kinds: KIND_MAX,
    };
    this.#host.onWelcome(this, welcome);
    const early = this.#early ?? [];
    this.#early = undefined;
    for (const each of early) each();
    return welcome;
  }

  /** See {@linkcode ClientLink}. */
  send(event: TransferEvent, timeoutMs = 5000): void {
    const bus = this.#bus;
    assert(bus !== undefined, "a link that sends was greeted");
    if (event.fds.length > 0) {
      throw new Fault(
        "not-supported",
        "Cannot send descriptors to another host; run this program on that host",
      );
    }
    if (event.kind === KIND.CMD_BARRIER) return this.#barrier(bus, event.corr);
    const length = encodeFrame(event, 0, this.#scratchView, this.#scratch, 0);
    bus.send(this.#scratch.slice(0, length), timeoutMs);
  }

  /** See {@linkcode ClientLink}. */
  wake(): void {
    if (!this.#isClosed) this.#inbox.drain();
  }

  /** See {@linkcode ClientLink}. */
  wantEvents(): void {
    this.#bus?.want(this.#sources);
  }

  /** See {@linkcode ClientLink}. */
  outcomeId(corr: number): string | undefined {
    return this.#bus?.outcomeId(corr);
  }

  /** See {@linkcode ClientLink}. */
  async outcome(of: number | string, timeoutMs: number): Promise<CommandOutcome> {
    assert(this.#bus !== undefined, "a link that asks was greeted");
    return await this.#bus.outcome(of, timeoutMs);
  }

  /** See {@linkcode ClientLink}. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#inbox.clear();
    await this.#bus?.[Symbol.asyncDispose]();
  }

  /** See {@linkcode RemoteBusListener}. */
  onFrame(frame: Uint8Array<ArrayBuffer>): void {
    if (this.#isClosed) return;
    if (this.#early !== undefined) return void this.#early.push(() => this.onFrame(frame));
    const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
    const corr = view.getUint32(FRAME.corr, true);
    if (corr === 0 && !this.#isWanted(view)) return;
    this.#seq = this.#seq === 0xffff_ffff ? 1 : this.#seq + 1;
    view.setUint32(FRAME.seq, this.#seq, true);
    this.#host.onEvent(new ClientEvent(view, 0, [], frame.length === frame.buffer.byteLength));
  }

  /** See {@linkcode RemoteBusListener}. */
  onEvent(frame: Uint8Array<ArrayBuffer>): void {
    if (this.#isClosed) return;
    if (this.#early !== undefined) return void this.#early.push(() => this.onEvent(frame));
    if (this.#isWanted(new DataView(frame.buffer, frame.byteOffset))) this.#inbox.push(frame);
  }

  /** See {@linkcode RemoteBusListener}. */
  onEndpoint(entry: RemoteEndpoint): void {
    if (this.#isClosed) return;
    if (this.#early !== undefined) return void this.#early.push(() => this.onEndpoint(entry));
    this.#host.roster.put(entry);
  }

  /** See {@linkcode RemoteBusListener}. */
  onPicture(endpoint: EndpointId, about: PictureAbout, pixels: Uint8Array<ArrayBuffer>): void {
    if (this.#isClosed || about.head >= MAX_HEADS) return;
    const info = new FrameInfo();
    const { width, height, stride, format, flags, frameId, timestampNs } = about;
    Object.assign(info, { width, height, stride, format, flags, frameId, timestampNs, bytes: pixels.length });
    this.#host.screens.rings.give(endpoint, about.head, {
      info,
      bytes: pixels,
      device: about.device,
    });
    this.#bus?.shown(endpoint);
  }

  #subscribe({ sources, prioMin = 0, endpoints = [] }: SubscribeOptions): void {
    this.#prioMin = prioMin;
    this.#endpoints = endpoints.length === 0 ? undefined : new Set(endpoints);
    if (sources === undefined) return;
    this.#sources = 0;
    for (const name of sources) {
      const source = sourceByName(name);
      if (source === undefined) {
        throw new Fault("bad-argument", `Cannot subscribe to source ${name}: there is none of this name`);
      }
      this.#sources |= 1 << source;
    }
  }

  #isWanted(view: DataView): boolean {
    const kind = view.getUint16(FRAME.kind, true);
    // Events that a session receives about its own leases and screens are not part of the subscription.
    if (kind === KIND.LEASE_REVOKED || kind === KIND.SCREEN_TEXT || kind === KIND.ERROR) return true;
    if (kind === KIND.OVERRUN) return true;
    if (((this.#sources >>> view.getUint8(FRAME.source)) & 1) === 0) return false;
    if (view.getUint8(FRAME.prio) < this.#prioMin && view.getUint8(FRAME.source) !== SOURCE.FRAME) {
      return false;
    }
    return this.#endpoints === undefined || this.#endpoints.has(view.getUint32(FRAME.endpoint, true));
  }

  #barrier(bus: RemoteBus, corr: number): void {
    const answer = (isThere: boolean): void => {
      const code = isThere ? CODE.ok : CODE["timed-out"];
      // Queued behind the others; a client that waits for an answer keeps reading.
      if (!this.#isClosed) {
        this.#inbox.push(ackFrame({ endpoint: 0 as EndpointId, corr, code, cmdKind: KIND.CMD_BARRIER }));
      }
    };
    bus.settled().then(answer, () => answer(false));
  }
}
