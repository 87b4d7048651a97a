/**
 * A D-Bus connection without a bus, over a given unix socket: authentication, messages in both directions,
 * and their descriptors. It never blocks, and has no promises or streams, because it runs on a thread that
 * waits in epoll.
 *
 * Why not a library: `@homebridge/dbus-native` 0.7.9, the one that works on Deno, reads messages from a
 * stream in events, buffers each completely (a picture is 4 MB and more), checks neither lengths against the
 * message nor depth nor the number of values, and does not support descriptors.
 *
 * A body that the listener wants in parts goes from the receive buffer to the listener; any other has at most
 * {@linkcode MAX_BODY_BYTES} and is buffered until it is complete.
 * @module
 */
import { ReceiveBatch, sendOne } from "../../../ffi/datagram.ts";
import { ERRNO } from "../../../ffi/os_error.ts";
import { closeConnection, closeForeignFd, OwnedFd } from "../../../ffi/owned_fd.ts";
import { IN, OUT } from "../../../ffi/poller.ts";
import { assert } from "../../base/assert.ts";
import { Fault } from "../../base/fault.ts";
import { AUTH_BEGIN, authRequest, ClientAuth } from "../../dbus/client_auth.ts";
import {
  FIXED_HEAD_BYTES,
  type FixedHead,
  MAX_HEAD_BYTES,
  type MessageHead,
  type OutgoingMessage,
  readFixedHead,
  readHead,
  writeMessage,
} from "../../dbus/message.ts";
import { WireReader } from "../../dbus/wire_reader.ts";

/** Size limit of a buffered body. */
export const MAX_BODY_BYTES = 65_536;
/** Limit of bytes queued for sending; a peer that does not read is disconnected. */
const MAX_OUTPUT_BYTES = 65_536;
const RECEIVE_BYTES = 262_144;
/** Bytes processed per step. */
const STEP_BYTES = 8 * 1024 * 1024;
/** Limit of descriptors that wait for their message. */
const MAX_FDS = 8;

/** The receive buffer, shared by all peers of a thread, which are served one at a time. */
let batch: ReceiveBatch | undefined;

/** Receives a body in parts. */
export interface BodySink {
  /** The next bytes, from `from` to `to`; borrowed for the call. */
  take(bytes: Uint8Array<ArrayBuffer>, from: number, to: number): void;
  /** The body is complete. */
  end(): void;
}

/** The listener of a connection. */
export interface PeerListener {
  /** Authentication is complete: messages can be sent. */
  onReady(): void;
  /**
   * A message has begun: returns how to receive its body.
   *
   * @returns undefined to buffer it, and have `onMessage` called
   */
  sinkOf(head: MessageHead): BodySink | undefined;
  /**
   * A message is complete.
   *
   * @param body its values
   * @param fds its descriptors; those that are not released are closed afterwards
   */
  onMessage(head: MessageHead, body: WireReader, fds: readonly OwnedFd[]): void;
}

/** The options of a {@linkcode DBusPeer}. */
export interface PeerOptions {
  /** A connected unix stream; taken over. */
  readonly socket: OwnedFd;
  /** Our own uid, which the kernel reports to the other side. */
  readonly uid: number;
  /** Size limit of a body that a sink receives. */
  readonly maxSinkBytes: number;
  /** Whom it tells. */
  readonly listener: PeerListener;
}

interface Outgoing {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly fds: readonly OwnedFd[];
  done: number;
}

type Step =
  | { readonly name: "auth"; readonly auth: ClientAuth }
  | { readonly name: "fixed" }
  | { readonly name: "head"; readonly fixed: FixedHead }
  | { readonly name: "body"; readonly head: MessageHead; readonly headBytes: number }
  | { readonly name: "sink"; readonly head: MessageHead; readonly sink: BodySink; left: number }
  | { readonly name: "ended" };

/** A connection to a peer, as its client. */
export class DBusPeer implements Disposable {
  readonly #socket: OwnedFd;
  readonly #listener: PeerListener;
  readonly #maxSinkBytes: number;
  /** A message's header, and its body unless a sink receives it. */
  #store = new Uint8Array(1024);
  #stored = 0;
  #step: Step = { name: "auth", auth: new ClientAuth() };
  #output: Outgoing[] = [];
  #outputBytes = 0;
  #fds: OwnedFd[] = [];
  #serial = 0;

  /** Starts authentication. */
  constructor({ socket, uid, listener, maxSinkBytes }: PeerOptions) {
    this.#socket = socket;
    this.#listener = listener;
    this.#maxSinkBytes = maxSinkBytes;
    this.#add(authRequest(uid), []);
  }

  /** The socket, borrowed; -1 once it is disposed of. */
  get fd(): number {
    return this.#socket.closed ? -1 : this.#socket.fd;
  }

  /** epoll's bits that it waits for. */
  get events(): number {
    if (this.#step.name === "ended") return 0;
    return this.#output.length === 0 ? IN : IN | OUT;
  }

  /** Whether messages can be sent. */
  get isReady(): boolean {
    return this.#step.name !== "auth" && this.#step.name !== "ended";
  }

  /**
   * Sends a message as soon as the socket has room.
   *
   * @param fds descriptors to send with it; owned from now on
   * @returns its serial number
   * @throws {Fault} `seam-down` when the other side does not read
   */
  send(message: Omit<OutgoingMessage, "serial" | "fds">, fds: readonly OwnedFd[] = []): number {
    assert(this.isReady, "a message is sent once the other side has let us in");
    const serial = this.#serial = this.#serial % 0xffff_fffe + 1;
    this.#add(writeMessage({ ...message, serial, ...(fds.length > 0 ? { fds: fds.length } : {}) }), fds);
    this.flush();
    return serial;
  }

  /**
   * Sends queued bytes, and processes received ones, up to a limit.
   *
   * @returns number of bytes received; undefined when the other side is gone
   * @throws {Fault} for violations of the protocol by the other side
   */
  run(): number | undefined {
    if (!this.flush()) return undefined;
    const reader = batch ??= new ReceiveBatch(1, RECEIVE_BYTES, MAX_FDS);
    for (let came = 0;;) {
      if (this.#step.name === "ended" || came >= STEP_BYTES) return came;
      const frames = reader.receive(this.#socket.fd);
      if (frames === 0) return reader.closed ? undefined : came;
      const length = reader.length(0);
      this.#takeFds(reader);
      this.#use(reader.bytes, length);
      came += length;
    }
  }

  /** Sends queued bytes; false when the other side is gone. */
  flush(): boolean {
    for (let next = this.#output[0]; next !== undefined; next = this.#output[0]) {
      const { bytes, fds, done } = next;
      const sent = sendOne(
        this.#socket.fd,
        bytes,
        done,
        bytes.length - done,
        done === 0 ? fds.map((each) => each.fd) : [],
      );
      if (sent === -ERRNO.EAGAIN) return true;
      if (sent < 0) return false;
      next.done += sent;
      this.#outputBytes -= sent;
      if (next.done < bytes.length) continue;
      for (const fd of fds) fd.close();
      this.#output.shift();
    }
    return true;
  }

  /** Stops sending and receiving; the socket stays open until this is disposed of. */
  end(): void {
    this.#step = { name: "ended" };
  }

  /** Closes the connection and what came over it. */
  [Symbol.dispose](): void {
    this.end();
    for (const { fds } of this.#output) for (const fd of fds) fd.close();
    this.#output = [];
    this.#closeFds(this.#fds.splice(0));
    if (!this.#socket.closed) closeConnection(this.#socket.release());
  }

  #add(bytes: Uint8Array<ArrayBuffer>, fds: readonly OwnedFd[]): void {
    this.#output.push({ bytes, fds, done: 0 });
    this.#outputBytes += bytes.length;
    if (this.#outputBytes > MAX_OUTPUT_BYTES) {
      throw new Fault("seam-down", "Cannot answer the D-Bus peer: it does not read what it is sent");
    }
  }

  #takeFds(reader: ReceiveBatch): void {
    const count = reader.fdCount(0);
    for (let k = 0; k < count; k++) this.#fds.push(new OwnedFd(reader.takeFd(0, k)));
    if (reader.fdsTruncated(0) || this.#fds.length > MAX_FDS) {
      throw new Fault("protocol-error", "Cannot read a D-Bus message: it carries too many descriptors");
    }
  }

  #use(bytes: Uint8Array<ArrayBuffer>, length: number): void {
    for (let at = 0; at < length && this.#step.name !== "ended";) at += this.#one(bytes, at, length);
  }

  #one(bytes: Uint8Array<ArrayBuffer>, at: number, to: number): number {
    const step = this.#step;
    switch (step.name) {
      case "auth":
        return this.#authenticate(step.auth, bytes, at, to);
      case "fixed":
        return this.#collect(bytes, at, to, FIXED_HEAD_BYTES, () => this.#fixedCame());
      case "head":
        return this.#collect(bytes, at, to, step.fixed.headBytes, () => this.#headCame(step.fixed));
      case "body": {
        const { head, headBytes } = step;
        return this.#collect(
          bytes,
          at,
          to,
          headBytes + head.bodyBytes,
          () => this.#bodyCame(head, headBytes),
        );
      }
      case "sink": {
        const used = Math.min(step.left, to - at);
        step.left -= used;
        step.sink.take(bytes, at, at + used);
        if (step.left === 0) this.#sinkEnds(step.head, step.sink);
        return used;
      }
      case "ended":
        return to - at;
    }
  }

  #authenticate(auth: ClientAuth, bytes: Uint8Array<ArrayBuffer>, at: number, to: number): number {
    const used = auth.feed(bytes, at, to);
    if (!auth.isDone) return used;
    this.#step = { name: "fixed" };
    this.#add(new Uint8Array(new TextEncoder().encode(AUTH_BEGIN)), []);
    this.#listener.onReady();
    return used;
  }

  /** Appends bytes to the buffer until it has that many. */
  #collect(
    bytes: Uint8Array<ArrayBuffer>,
    at: number,
    to: number,
    wanted: number,
    whole: () => void,
  ): number {
    const used = Math.min(wanted - this.#stored, to - at);
    if (wanted > this.#store.length) {
      const larger = new Uint8Array(wanted);
      larger.set(this.#store.subarray(0, this.#stored));
      this.#store = larger;
    }
    this.#store.set(bytes.subarray(at, at + used), this.#stored);
    this.#stored += used;
    if (this.#stored === wanted) whole();
    return used;
  }

  #fixedCame(): void {
    const fixed = readFixedHead(this.#store, 0, Math.max(MAX_BODY_BYTES, this.#maxSinkBytes));
    this.#step = { name: "head", fixed };
    if (fixed.headBytes === FIXED_HEAD_BYTES) this.#headCame(fixed);
  }

  #headCame(fixed: FixedHead): void {
    const head = readHead(this.#store, fixed);
    if (head.fds > this.#fds.length) {
      throw new Fault("protocol-error", "Cannot read a D-Bus message: its descriptors are missing");
    }
    const sink = this.#listener.sinkOf(head);
    if (sink !== undefined) {
      this.#step = { name: "sink", head, sink, left: head.bodyBytes };
      if (head.bodyBytes === 0) this.#sinkEnds(head, sink);
      return;
    }
    if (head.bodyBytes > MAX_BODY_BYTES) {
      throw new Fault("too-large", `Cannot read a D-Bus message: it has ${head.bodyBytes} bytes`);
    }
    this.#step = { name: "body", head, headBytes: fixed.headBytes };
    if (head.bodyBytes === 0) this.#bodyCame(head, fixed.headBytes);
  }

  #sinkEnds(head: MessageHead, sink: BodySink): void {
    this.#next();
    this.#closeFds(this.#fds.splice(0, head.fds));
    sink.end();
  }

  #bodyCame(head: MessageHead, headBytes: number): void {
    const fds = this.#fds.splice(0, head.fds);
    const body = new WireReader(this.#store, head.isLittle, headBytes, headBytes + head.bodyBytes);
    this.#next();
    try {
      this.#listener.onMessage(head, body, fds);
    } finally {
      this.#closeFds(fds);
    }
  }

  #next(): void {
    this.#stored = 0;
    // The listener may have disposed of it.
    if (this.#step.name !== "ended") this.#step = { name: "fixed" };
  }

  #closeFds(fds: readonly OwnedFd[]): void {
    for (const fd of fds) if (!fd.closed) closeForeignFd(fd.release());
  }
}

assert(MAX_HEAD_BYTES <= MAX_BODY_BYTES, "a head is stored where a body is");
