/**
 * One connection to the daemon's control socket: sends and receives frames on the program's own thread
 * without blocking it. Waiting is a nonblocking system call, so timers, other sockets and the program's own
 * promises continue.
 *
 * Reading can be paused; then the socket's buffer fills, and the daemon's rules for a slow control apply. It
 * does not interpret frames.
 * @module
 */
import { isPeerGone, ReceiveBatch, sendOne } from "../../ffi/datagram.ts";
import { EventFd } from "../../ffi/event_fd.ts";
import { ERRNO } from "../../ffi/os_error.ts";
import type { OwnedFd } from "../../ffi/owned_fd.ts";
import { IN, OUT, Poller } from "../../ffi/poller.ts";
import { Fault, messageOf } from "../base/fault.ts";
import {
  CLIENT_OUTGOING_FRAMES,
  MAX_BODY_BYTES,
  MAX_FRAME_BYTES,
  MAX_FRAME_FDS,
  RECEIVE_BATCH,
} from "../base/limits.ts";
import { encodeFrame } from "../protocol/frame.ts";
import { receivedDefect, receivedFds } from "../protocol/received.ts";
import type { TransferEvent } from "../event/transfer_event.ts";
import { ClientEvent } from "./client_event.ts";

/** Full batches read per turn, so that the program's timers and other sockets get their time. */
const MOST_BATCHES = 16;
/**
 * A batch of so many bytes is a full one as well: of large frames the socket holds no more than three, and
 * while they are taken in, the daemon sends the next.
 */
const FULL_BYTES = 2 * MAX_BODY_BYTES;
const TAG_SOCKET = 1;
const TAG_WAKE = 2;

/** The receiver of a connection's frames. */
export interface ConnectionSink {
  /** A checked frame. The sink owns the event and its descriptors. */
  onEvent(event: ClientEvent): void;
  /**
   * A checked frame without descriptors, in the receive buffer.
   *
   * @returns false: it was not handled, and is passed as an event
   */
  onFrame?(view: DataView, bytes: Uint8Array, at: number, length: number): boolean;
  /** Whether further frames may be read now. If false, call {@linkcode Connection.wake} when that changes. */
  mayRead(): boolean;
  /**
   * The connection ended: the daemon is gone, or sent something that is not a frame. Called once, and not
   * after {@linkcode Connection.close}.
   */
  onEnd(fault: Fault): void;
}

/** A connected socket and the loop that reads it (the pump). */
export class Connection {
  readonly #socket: OwnedFd;
  readonly #sink: ConnectionSink;
  readonly #poller: Poller = new Poller(2);
  readonly #wake: EventFd = EventFd.create();
  readonly #batch: ReceiveBatch = new ReceiveBatch(RECEIVE_BATCH, MAX_FRAME_BYTES, MAX_FRAME_FDS);
  readonly #scratch: Uint8Array<ArrayBuffer> = new Uint8Array(MAX_FRAME_BYTES);
  readonly #scratchView: DataView<ArrayBuffer> = new DataView(this.#scratch.buffer);
  readonly #outgoing: Uint8Array<ArrayBuffer>[] = [];
  #interest = IN;
  #held: PromiseWithResolvers<void> | undefined;
  #closing = false;
  /** Frames received in the last batch, and their bytes. */
  #received = 0;
  #receivedBytes = 0;
  /** The last reading found large frames one behind the other. */
  #isFlood = false;
  #pump: Promise<void> | undefined;

  /**
   * Takes over a connected socket; nothing is read before {@linkcode Connection.start}.
   *
   * @param socket SEQPACKET and nonblocking; owned from now on
   * @param sink receives the frames
   */
  constructor(socket: OwnedFd, sink: ConnectionSink) {
    this.#socket = socket;
    this.#sink = sink;
    this.#poller.add(socket.fd, IN, TAG_SOCKET);
    this.#poller.add(this.#wake.fd, IN, TAG_WAKE);
  }

  /** The socket, borrowed. */
  get fd(): number {
    return this.#socket.fd;
  }

  /** Whether frames are queued because the socket is full. */
  get congested(): boolean {
    return this.#outgoing.length > 0;
  }

  /** Begins to read. */
  start(): void {
    this.#pump = this.#run();
  }

  /**
   * Sends an event as a frame, at once or as soon as the socket has room. The event is borrowed.
   *
   * @throws {Fault} `busy` when too many frames are queued; `unreachable` when the daemon is gone
   */
  send(event: TransferEvent): void {
    const length = encodeFrame(event, 0, this.#scratchView, this.#scratch, 0);
    this.#sendFrame(this.#scratch, length, event.fds);
  }

  #sendFrame(frame: Uint8Array<ArrayBuffer>, length: number, fds?: ArrayLike<number>): void {
    if (this.#outgoing.length === 0) {
      const result = sendOne(this.#socket.fd, frame, 0, length, fds);
      if (result >= 0) return;
      if (isPeerGone(result)) throw gone();
    }
    if (fds !== undefined && fds.length > 0) {
      throw new Fault("busy", "Cannot send descriptors now: the socket is full; read events and try again");
    }
    if (this.#outgoing.length >= CLIENT_OUTGOING_FRAMES) {
      throw new Fault(
        "busy",
        `Cannot send: ${CLIENT_OUTGOING_FRAMES} frames wait for the daemon already; await answers before sending more`,
      );
    }
    this.#outgoing.push(frame.slice(0, length));
    this.wake();
  }

  /** Makes the pump check again whether it may read and what it has to send. */
  wake(): void {
    if (this.#closing) return;
    // A pump that waits for the socket is already able to read: waking its thread would only cost each
    // command two thread switches.
    if (this.#held !== undefined) this.#release();
    else if (this.#outgoing.length > 0) this.#wake.signal();
  }

  #release(): void {
    this.#held?.resolve();
    this.#held = undefined;
  }

  /**
   * Sends a complete frame, and polls for at most mostMs until something is received: an answer is then
   * available sooner than by waking the waiting thread, which is not woken for it.
   *
   * @param mostMs a fraction of a millisecond
   * @throws {Fault} as {@linkcode Connection.send}
   */
  ask(frame: Uint8Array<ArrayBuffer>, mostMs: number): void {
    if (!this.#isIdle) return this.#sendFrame(frame, frame.length);
    this.#poller.modify(this.#socket.fd, 0, TAG_SOCKET);
    try {
      this.#sendFrame(frame, frame.length);
      this.#readSoon(mostMs);
    } finally {
      // This also reads what arrived in the meantime.
      if (!this.#closing) this.#poller.modify(this.#socket.fd, this.#interest = IN, TAG_SOCKET);
    }
  }

  /** Whether the pump waits only for the next frame. */
  get #isIdle(): boolean {
    const isWaiting = !this.#closing && this.#held === undefined && this.#outgoing.length === 0;
    return isWaiting && this.#interest === IN && this.#sink.mayRead();
  }

  /** Reads what is there; false when the pump is to continue. */
  #receiveSoon(): boolean {
    if (this.#closing || !this.#sink.mayRead()) return false;
    try {
      // The end is left to the pump, which finds it as well.
      return !this.#receive();
    } catch (error) {
      this.#end(error instanceof Fault ? error : new Fault("refused", messageOf(error), { cause: error }));
      return false;
    }
  }

  #readSoon(mostMs: number): void {
    const untilMs = performance.now() + mostMs;
    do {
      if (!this.#receiveSoon() || this.#received > 0) return;
    } while (performance.now() < untilMs);
  }

  /** Ends the pump and closes the socket. A second call does nothing. */
  async close(): Promise<void> {
    if (!this.#closing) {
      this.#closing = true;
      this.#release();
      this.#wake.signal();
    }
    await this.#pump;
    if (this.#socket.closed) return;
    this.#batch[Symbol.dispose]();
    this.#poller[Symbol.dispose]();
    this.#wake[Symbol.dispose]();
    this.#socket.close();
  }

  async #run(): Promise<void> {
    try {
      while (!this.#closing) {
        if (this.#outgoing.length > 0) this.#flush();
        if (this.#sink.mayRead()) {
          if (this.#receiveAll()) {
            this.#end(gone());
            return;
          }
          if (this.#closing) return;
          if (this.#isFlood) {
            // More comes while the program looks at this: to wait for it on a thread takes four switches.
            await new Promise<void>((resolve) => setImmediate(resolve));
            continue;
          }
          this.#watch();
          await this.#poller.waitAsync(-1);
          this.#wake.drain();
        } else {
          this.#held = Promise.withResolvers();
          await this.#held.promise;
        }
      }
    } catch (error) {
      this.#end(error instanceof Fault ? error : new Fault("refused", messageOf(error), { cause: error }));
    }
  }

  #end(fault: Fault): void {
    if (!this.#closing) this.#sink.onEnd(fault);
  }

  #watch(): void {
    const interest = this.#outgoing.length > 0 ? IN | OUT : IN;
    if (interest === this.#interest) return;
    this.#interest = interest;
    this.#poller.modify(this.#socket.fd, interest, TAG_SOCKET);
  }

  #flush(): void {
    let sent = 0;
    for (const frame of this.#outgoing) {
      const result = sendOne(this.#socket.fd, frame, 0, frame.length);
      if (result === -ERRNO.EAGAIN) break;
      // A daemon that is gone may have said why: its last frames are read before the end is reported.
      sent++;
    }
    this.#outgoing.splice(0, sent);
  }

  /**
   * Reads what is there. Waiting costs more than a batch, so reading one frame at a time could not keep up
   * with a daemon that writes fast. Returns true when the daemon has closed the connection.
   */
  #receiveAll(): boolean {
    this.#isFlood = false;
    for (let i = 0; i < MOST_BATCHES; i++) {
      if (this.#receive()) return true;
      const isFlood = this.#receivedBytes >= FULL_BYTES;
      this.#isFlood ||= isFlood;
      const isFull = this.#received === RECEIVE_BATCH || isFlood;
      if (this.#closing || !isFull || !this.#sink.mayRead()) return false;
    }
    return false;
  }

  /** Reads one batch; true when the daemon has closed the connection. */
  #receive(): boolean {
    const batch = this.#batch;
    const frames = batch.receive(this.#socket.fd);
    this.#received = frames;
    this.#receivedBytes = 0;
    for (let i = 0; i < frames; i++) {
      const defect = receivedDefect(batch, i);
      if (defect !== "") {
        throw new Fault(
          "protocol-error",
          `Cannot understand the daemon: ${defect}; is it a vmsig daemon of this version?`,
        );
      }
      const at = batch.offset(i);
      this.#receivedBytes += batch.length(i);
      const isTaken = batch.fdCount(i) === 0 &&
        this.#sink.onFrame?.(batch.view, batch.bytes, at, batch.length(i)) === true;
      if (isTaken) continue;
      this.#sink.onEvent(new ClientEvent(batch.view, at, receivedFds(batch, i)));
    }
    return batch.closed;
  }
}

function gone(): Fault {
  return new Fault(
    "unreachable",
    "Cannot continue: the daemon closed the connection; check its log, and connect again when it runs",
  );
}
