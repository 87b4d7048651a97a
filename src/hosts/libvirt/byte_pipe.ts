/**
 * A unix stream socket on the loop whose user hands bytes and descriptors over at once: what the other side
 * does not take yet waits here, up to a bound. Descriptors that come are its user's.
 * @module
 */
import { ReceiveBatch, sendOne } from "../../../ffi/datagram.ts";
import { OsError } from "../../../ffi/os_error.ts";
import { closeForeignFd, type OwnedFd } from "../../../ffi/owned_fd.ts";
import { ERR, HUP, IN, OUT } from "../../../ffi/poller.ts";
import { messageOf } from "../../base/fault.ts";
import type { FdHandler, LoopPort } from "../../core/adapter_port.ts";

/** Bytes that wait; past it the other side is given up. */
const MAX_UNSENT: number = 32 << 20;
const READ_BYTES = 65_536;
/** Descriptors that one message of a stream may bring. */
const MAX_FDS = 8;
/** Reads of one turn, so that a flood leaves the loop to others. */
const READS = 4;
/** For all pipes of a thread: what is read is taken at once. */
let batch: ReceiveBatch | undefined;

/** Told what happens. */
export interface BytePipeUser {
  /**
   * Bytes that came, borrowed for the call.
   *
   * @param fds descriptors that came with the last of them; the user closes them
   */
  onBytes(bytes: Uint8Array<ArrayBuffer>, fds: readonly number[]): void;
  /** It is over: the other side ended, or failed. Told once; the pipe is closed already. */
  onEnd(why: string): void;
  /** All that waited has gone. Absent: of no interest. */
  onDrained?(): void;
}

/** A descriptor on its way. */
export interface SentFile {
  /** Its number, until it is closed. */
  readonly fd: number;
  /** Closes this process's copy. */
  close(): void;
}

interface Unsent {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Goes with the first byte, and is closed when it has gone. */
  readonly file: SentFile | undefined;
  offset: number;
}

const NONE: readonly number[] = [];

/** The socket. */
export class BytePipe implements FdHandler {
  readonly #socket: OwnedFd;
  readonly #loop: LoopPort;
  readonly #user: BytePipeUser;
  readonly #unsent: Unsent[] = [];
  #unsentBytes = 0;
  #interest = IN;
  #isOpen = true;

  /** Takes a connected, nonblocking unix stream socket over. */
  constructor(socket: OwnedFd, loop: LoopPort, user: BytePipeUser) {
    this.#socket = socket;
    this.#loop = loop;
    this.#user = user;
    loop.watch(socket.fd, IN, this);
  }

  /** Bytes that the other side has not taken yet. */
  get unsentBytes(): number {
    return this.#unsentBytes;
  }

  /**
   * Sends bytes, which are its own from now on.
   *
   * @param file goes with the first byte; its own from now on
   */
  send(bytes: Uint8Array<ArrayBuffer>, file?: SentFile): void {
    if (!this.#isOpen) return file?.close();
    this.#unsent.push({ bytes, file, offset: 0 });
    this.#unsentBytes += bytes.length;
    if (this.#unsentBytes > MAX_UNSENT) return this.#end("the other side takes nothing");
    if (this.#unsent.length === 1) this.#flush();
  }

  /** Stops reading, or goes on. */
  pause(isPaused: boolean): void {
    this.#want(isPaused ? this.#interest & ~IN : this.#interest | IN);
  }

  /** Ends it; its user is told nothing. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#loop.unwatch(this.#socket.fd);
    this.#socket.close();
    for (const { file } of this.#unsent.splice(0)) file?.close();
    this.#unsentBytes = 0;
  }

  /** Called by the loop. */
  onReady(events: number): void {
    if ((events & OUT) !== 0) this.#flush();
    const isOver = (events & (HUP | ERR)) !== 0;
    if ((events & IN) !== 0 || isOver) this.#read(isOver);
  }

  /** What its user threw: it ends, so that it is not called for ever. */
  onFault(error: unknown): void {
    this.#end(messageOf(error));
  }

  #read(isOver: boolean): void {
    const reader = batch ??= new ReceiveBatch(1, READ_BYTES, MAX_FDS);
    for (let i = 0; i < READS && this.#isOpen; i++) {
      // What is paused keeps what it has; that the other side has gone is told all the same.
      if ((this.#interest & IN) === 0 && !isOver) return;
      try {
        if (reader.receive(this.#socket.fd) === 0) {
          if (!reader.wouldBlock) {
            this.#end("libvirtd closed the connection; start it, if it does not come back");
          }
          return;
        }
      } catch (error) {
        if (!(error instanceof OsError)) throw error;
        return this.#end(messageOf(error));
      }
      const count = reader.fdCount(0);
      const fds = count === 0 ? NONE : Array.from({ length: count }, (_, k) => reader.takeFd(0, k));
      const length = reader.length(0);
      this.#user.onBytes(reader.bytes.subarray(0, length), fds);
      // A short read has emptied the socket, or ends at a descriptor: the next turn tells of more.
      if (length < READ_BYTES && !isOver) return;
    }
  }

  #flush(): void {
    while (this.#isOpen) {
      const first = this.#unsent[0];
      if (first === undefined) break;
      const { bytes, offset, file } = first;
      let sent: number;
      try {
        const fds = file === undefined || offset > 0 ? undefined : [file.fd];
        sent = sendOne(this.#socket.fd, bytes, offset, bytes.length - offset, fds);
      } catch (error) {
        if (!(error instanceof OsError)) throw error;
        return this.#end(messageOf(error));
      }
      // A peer that is gone is told by the end of the stream, which is read next.
      if (sent <= 0) return this.#want(this.#interest | OUT);
      file?.close();
      first.offset += sent;
      this.#unsentBytes -= sent;
      if (first.offset === bytes.length) this.#unsent.shift();
    }
    this.#want(this.#interest & ~OUT);
    if (this.#isOpen) this.#user.onDrained?.();
  }

  #want(interest: number): void {
    if (!this.#isOpen || interest === this.#interest) return;
    this.#interest = interest;
    this.#loop.rewatch(this.#socket.fd, interest);
  }

  #end(why: string): void {
    if (!this.#isOpen) return;
    this.close();
    this.#user.onEnd(why);
  }
}

/** Closes descriptors that came and that nobody takes. */
export function closeForeign(fds: readonly number[]): void {
  for (const fd of fds) closeForeignFd(fd);
}
