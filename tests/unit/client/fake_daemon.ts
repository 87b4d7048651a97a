/**
 * A daemon for tests of the client: it speaks the protocol's frames over a real socket, and a test scripts
 * what it answers. It judges nothing: what a real core would refuse is refused only if the test says so.
 * @module
 */
import type { EndpointId } from "../../../src/base/ids.ts";
import type { Source } from "../../../src/event/source.ts";
import { encode } from "cborg";
import { ReceiveBatch, sendOne } from "../../../ffi/datagram.ts";
import { EventFd } from "../../../ffi/event_fd.ts";
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { IN, Poller } from "../../../ffi/poller.ts";
import { wholeShim } from "../../../ffi/shim.ts";
import { acceptUnix, listenUnix, SOCKET, unlinkSocket } from "../../../ffi/unix_socket.ts";
import { ACT_ACK, ERROR, ROSTER } from "../../../src/event/body_layout.ts";
import { ALL_CAPS } from "../../../src/event/capability.ts";
import { defaultPrio, DIR, SOURCE_OF_KIND } from "../../../src/event/defaults.ts";
import { checkFrame, encodeFrame } from "../../../src/protocol/frame.ts";
import { writeText } from "../../../src/event/inline_text.ts";
import { KIND, type Kind } from "../../../src/event/kind.ts";
import { BODY, EventPool, type TransferEvent } from "../../../src/event/transfer_event.ts";
import { ClientEvent } from "../../../src/client/client_event.ts";
import { MAX_FRAME_BYTES } from "../../../src/base/limits.ts";

// Loaded here and not in a test: older Deno takes a library that a test loads for a leak.
wholeShim();

const TAG_LISTENER = 0;
const TAG_WAKE = 1;

/** What a test scripts. */
export interface Script {
  /** WELCOME's body; the full grant unless told. */
  readonly welcome?: Record<string, unknown>;
  /** REFUSED instead of WELCOME. */
  readonly refuse?: { code: number; reason: string };
  /** Endpoints in the roster, by number. */
  readonly endpoints?: readonly string[];
  /** Endpoints that have a memory context, without any RAM. */
  readonly contexts?: readonly number[];
  /** More that is sent right behind the roster. */
  onJoin?(peer: Peer): void;
  /** Do not answer HELLO at all. */
  readonly mute?: boolean;
  /** A command arrived. */
  onCommand?(command: ClientEvent, peer: Peer): void;
}

/** One connected client, as the daemon sees it. */
export class Peer {
  readonly fd: OwnedFd;
  seq = 0;
  hello: ClientEvent | undefined;
  readonly commands: ClientEvent[] = [];
  readonly #pool = new EventPool();
  readonly #buffer = new Uint8Array(MAX_FRAME_BYTES);

  constructor(fd: OwnedFd) {
    this.fd = fd;
  }

  /** Sends an UP event; returns what the send returned. */
  send(
    kind: number,
    fill: (event: TransferEvent) => void = () => {},
    fds: readonly number[] = [],
  ): number {
    const event = this.#pool.acquire();
    event.kind = kind as Kind;
    event.dir = DIR.UP;
    event.source = (SOURCE_OF_KIND[kind] ?? 0) as Source;
    event.prio = defaultPrio(kind as Kind, false);
    event.tsNs = 1000;
    event.fds = fds;
    fill(event);
    const handshake = kind === KIND.WELCOME || kind === KIND.REFUSED;
    const length = encodeFrame(
      event,
      handshake ? 0 : this.seq + 1,
      new DataView(this.#buffer.buffer),
      this.#buffer,
      0,
    );
    event.release();
    const sent = sendOne(this.fd.fd, this.#buffer, 0, length, fds);
    if (sent > 0 && !handshake) this.seq++;
    return sent;
  }

  /** Sends bytes as they are. */
  sendRaw(bytes: Uint8Array<ArrayBuffer>): void {
    sendOne(this.fd.fd, bytes, 0, bytes.length);
  }

  /** Answers a command with an ACT_ACK. */
  ack(command: ClientEvent, code = 0): void {
    this.send(KIND.ACT_ACK, (event) => {
      event.endpoint = command.endpoint as EndpointId;
      event.corr = command.corr;
      event.view.setUint32(ACT_ACK.at.ok, code === 0 ? 1 : 0, true);
      event.view.setUint32(ACT_ACK.at.code, code, true);
      event.view.setUint32(ACT_ACK.at.cmdKind, command.kind, true);
    });
  }

  /** Says something of a VM, or to the command whose corr is `detail`. */
  error(endpoint: number, code: number, detail: number, text: string, source = 0): void {
    this.send(KIND.ERROR, (event) => {
      event.endpoint = endpoint as EndpointId;
      event.source = source as Source;
      event.view.setUint32(ERROR.at.code, code, true);
      event.view.setUint32(ERROR.at.detail, detail, true);
      writeText(event.inline, ERROR.at.text, 40, text);
    });
  }

  /** Answers a command with a reply of its own: the first words of the inline zone as told. */
  reply(command: ClientEvent, kind: number, words: readonly number[]): void {
    this.send(kind, (event) => {
      event.endpoint = command.endpoint as EndpointId;
      event.corr = command.corr;
      words.forEach((word, i) => event.words[i] = word);
    });
  }

  /** Sends one roster entry. */
  roster(endpoint: number, name: string, state = 2, seams = 0b1100100): void {
    this.send(KIND.ROSTER, (event) => {
      event.endpoint = endpoint as EndpointId;
      event.view.setUint32(ROSTER.at.state, state, true);
      event.view.setUint32(ROSTER.at.seams, seams, true);
      event.view.setUint32(ROSTER.at.pid, 4000 + endpoint, true);
      event.view.setUint32(ROSTER.at.vmid, 100 + endpoint, true);
      writeText(event.inline, ROSTER.at.name, 32, name);
    });
  }
}

/** The daemon. */
export class FakeDaemon implements AsyncDisposable {
  readonly path: string;
  readonly peers: Peer[] = [];
  readonly #script: Script;
  readonly #listener: OwnedFd;
  readonly #poller = new Poller(16);
  readonly #wake = EventFd.create();
  readonly #batch = new ReceiveBatch(32, MAX_FRAME_BYTES, 8);
  readonly #pump: Promise<void>;
  readonly #directory: string;
  #closing = false;

  constructor(script: Script = {}) {
    this.#script = script;
    this.#directory = Deno.makeTempDirSync({ prefix: "vmsig-client-" });
    this.path = `${this.#directory}/control.sock`;
    this.#listener = listenUnix(this.path, SOCKET.SEQPACKET);
    this.#poller.add(this.#listener.fd, IN, TAG_LISTENER);
    this.#poller.add(this.#wake.fd, IN, TAG_WAKE);
    this.#pump = this.#run();
  }

  /** The only client so far. */
  get peer(): Peer {
    const peer = this.peers[0];
    if (peer === undefined) throw new Error("nobody is connected");
    return peer;
  }

  /** Ends one connection. */
  drop(peer: Peer): void {
    if (peer.fd.closed) return;
    this.#poller.remove(peer.fd.fd);
    peer.fd.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing = true;
    this.#wake.signal();
    await this.#pump;
    for (const peer of this.peers) peer.fd.close();
    this.#batch[Symbol.dispose]();
    this.#poller[Symbol.dispose]();
    this.#wake[Symbol.dispose]();
    this.#listener.close();
    unlinkSocket(this.path);
    Deno.removeSync(this.#directory, { recursive: true });
  }

  async #run(): Promise<void> {
    while (!this.#closing) {
      const ready = await this.#poller.waitAsync(-1);
      for (let i = 0; i < ready; i++) {
        const tag = this.#poller.tag(i);
        if (tag === TAG_WAKE) this.#wake.drain();
        else if (tag === TAG_LISTENER) this.#accept();
        else this.#receive(this.peers[tag - 2] as Peer);
      }
    }
  }

  #accept(): void {
    const fd = acceptUnix(this.#listener.fd);
    if (fd === undefined) return;
    this.peers.push(new Peer(fd));
    this.#poller.add(fd.fd, IN, this.peers.length + 1);
  }

  #receive(peer: Peer): void {
    if (peer.fd.closed) return;
    const frames = this.#batch.receive(peer.fd.fd);
    const closed = this.#batch.closed;
    for (let i = 0; i < frames; i++) {
      const { view } = this.#batch;
      const defect = checkFrame(
        view,
        this.#batch.offset(i),
        this.#batch.length(i),
        this.#batch.fdCount(i),
      );
      if (defect !== "") throw new Error(`the client sent a bad frame: ${defect}`);
      this.#onFrame(peer, new ClientEvent(view, this.#batch.offset(i)));
    }
    if (closed) this.drop(peer);
  }

  #onFrame(peer: Peer, event: ClientEvent): void {
    if (event.kind !== KIND.HELLO) {
      peer.commands.push(event);
      this.#script.onCommand?.(event, peer);
      return;
    }
    peer.hello = event;
    const { mute, refuse, welcome, endpoints = [] } = this.#script;
    if (mute) return;
    if (refuse !== undefined) {
      peer.send(KIND.REFUSED, (refused) => refused.setBody(BODY.CBOR, encode(refuse)));
      this.drop(peer);
      return;
    }
    const body = {
      proto: 1,
      control: 7,
      principal: 1000,
      endpoints: (1n << 64n) - 1n,
      sources: 511,
      caps: ALL_CAPS,
      arb_prio: 10,
      ...welcome,
    };
    peer.send(KIND.WELCOME, (sent) => sent.setBody(BODY.CBOR, encode(body)));
    endpoints.forEach((name, i) => peer.roster(i, name));
    for (const endpoint of this.#script.contexts ?? []) {
      peer.send(KIND.MEMCTX, (context) => context.endpoint = endpoint as EndpointId) as EndpointId;
    }
    this.#script.onJoin?.(peer);
  }
}
