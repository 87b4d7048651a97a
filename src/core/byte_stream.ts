/**
 * A stream of bytes on the loop, a connected socket or a terminal: bytes in as they come, bytes out as far as
 * the other side takes them. What waits to be written is its user's; {@linkcode SendQueue} keeps it.
 *
 * It gives no meaning to bytes, and does not come back by itself.
 * @module
 */
import { assert } from "../base/assert.ts";
import { ERRNO, isOsError, OsError } from "../../ffi/os_error.ts";
import type { OwnedFd } from "../../ffi/owned_fd.ts";
import { ERR, HUP, IN, OUT } from "../../ffi/poller.ts";
import { readInto, writeFrom } from "../../ffi/stream.ts";
import { messageOf } from "../base/fault.ts";
import type { FdHandler, LoopPort } from "./adapter_port.ts";

/** Bytes of one read. */
export const READ_BYTES = 65_536;
/** Reads of one turn, so that a flood leaves the loop to others. */
const READS = 4;
/** For all streams of a thread: what is read is taken at once. */
const BUFFER = new Uint8Array(READ_BYTES);

/** Told what happens at a stream's end. */
export interface StreamUser {
  /** Bytes that came, borrowed for the call. */
  onBytes(bytes: Uint8Array<ArrayBuffer>): void;
  /** Room again for {@linkcode ByteStream.write}, after it took less than all. */
  onRoom(): void;
  /** It is over: the other side ended, or failed. Told once; the stream is closed already. */
  onEnd(why: string): void;
}

/** An open end. */
export class ByteStream implements FdHandler {
  readonly #file: OwnedFd;
  readonly #loop: LoopPort;
  readonly #user: StreamUser;
  readonly #peer: string;
  #interest: number = IN;
  #isOpen = true;

  /**
   * Takes a connected, nonblocking file over.
   *
   * @param peer what the other side is called when it ends: "the VM"
   */
  constructor(file: OwnedFd, loop: LoopPort, user: StreamUser, peer: string) {
    this.#file = file;
    this.#loop = loop;
    this.#user = user;
    this.#peer = peer;
    loop.watch(file.fd, IN, this);
  }

  /** Whether it has not ended. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Whether its bytes are read; see {@linkcode pause}. */
  get isPaused(): boolean {
    return (this.#interest & IN) === 0;
  }

  /** Stops reading, or goes on: the guest waits once the buffers between are full. */
  pause(isPaused: boolean): void {
    this.#want(isPaused ? this.#interest & ~IN : this.#interest | IN);
  }

  /**
   * Writes what fits now. Told by {@linkcode StreamUser.onRoom} when there is room for the rest.
   *
   * @returns bytes taken, 0 to all of them
   */
  write(bytes: Uint8Array<ArrayBuffer>, offset: number): number {
    assert(offset >= 0 && offset <= bytes.length, "what is written lies in its buffer");
    if (!this.#isOpen) return 0;
    let done = 0;
    try {
      while (offset + done < bytes.length) {
        const taken = writeFrom(this.#file.fd, bytes, offset + done, bytes.length - offset - done);
        if (taken < 0) {
          if (taken !== -ERRNO.EAGAIN) this.#end("the other end closed the connection");
          break;
        }
        done += taken;
      }
    } catch (error) {
      if (!(error instanceof OsError)) throw error;
      this.#end(messageOf(error));
    }
    if (this.#isOpen) {
      this.#want(offset + done < bytes.length ? this.#interest | OUT : this.#interest & ~OUT);
    }
    return done;
  }

  /** Called by the loop. */
  onReady(events: number): void {
    assert(this.#isOpen, "a stream that has ended is not watched");
    if ((events & OUT) !== 0) this.#user.onRoom();
    if (!this.#isOpen) return;
    if ((events & IN) !== 0 || (events & (HUP | ERR)) !== 0) this.#read((events & (HUP | ERR)) !== 0);
  }

  /** What its user threw: it ends, so that it is not called for ever. */
  onFault(error: unknown): void {
    this.#end(messageOf(error));
  }

  /** Ends it; its user is told nothing. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#loop.unwatch(this.#file.fd);
    this.#file.close();
  }

  #read(isOver: boolean): void {
    for (let i = 0; i < READS && this.#isOpen; i++) {
      // What is paused keeps what it has; that the other side has gone is told all the same.
      if (this.isPaused && !isOver) return;
      let got: number;
      try {
        got = readInto(this.#file.fd, BUFFER, 0, READ_BYTES);
      } catch (error) {
        if (!(error instanceof OsError)) throw error;
        // EIO is how a terminal says that its other side is closed.
        return this.#end(isOsError(error, "EIO") ? `${this.#peer} closed it` : messageOf(error));
      }
      if (got === -ERRNO.EAGAIN) return;
      if (got <= 0) return this.#end(`${this.#peer} closed it`);
      this.#user.onBytes(BUFFER.subarray(0, got));
      if (got < READ_BYTES && !isOver) return;
    }
  }

  #want(interest: number): void {
    if (!this.#isOpen || interest === this.#interest) return;
    this.#interest = interest;
    this.#loop.rewatch(this.#file.fd, interest);
  }

  #end(why: string): void {
    if (!this.#isOpen) return;
    this.close();
    this.#user.onEnd(why);
  }
}
