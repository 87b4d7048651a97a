/**
 * A byte stream on the loop, over a connected socket or a terminal: reads as data arrives, and writes as much
 * as the other side accepts. Its user keeps what could not be written yet; {@linkcode SendQueue} does that.
 *
 * It does not interpret the bytes and does not reconnect.
 * @module
 */
import { assert } from "../base/assert.ts";
import { ERRNO, isOsError, OsError } from "../../ffi/os_error.ts";
import type { OwnedFd } from "../../ffi/owned_fd.ts";
import { ERR, HUP, IN, OUT } from "../../ffi/poller.ts";
import { readInto, writeFrom } from "../../ffi/stream.ts";
import { messageOf } from "../base/fault.ts";
import type { FdHandler, LoopPort } from "./adapter_port.ts";

/** Size of one read, bytes. */
export const READ_BYTES = 65_536;
/** Reads per turn, so that a flood leaves time for others. */
const READS = 4;
/** Shared by all streams of a thread, because data is consumed within the call. */
const BUFFER = new Uint8Array(READ_BYTES);

/** The user of a stream. */
export interface StreamUser {
  /** Data that arrived, borrowed for the call. */
  onBytes(bytes: Uint8Array<ArrayBuffer>): void;
  /** There is room again for {@linkcode ByteStream.write}, after it accepted less than all. */
  onRoom(): void;
  /** The other side ended the stream, or it failed. Called once; the stream is closed already. */
  onEnd(why: string): void;
}

/** An open stream. */
export class ByteStream implements FdHandler {
  readonly #file: OwnedFd;
  readonly #loop: LoopPort;
  readonly #user: StreamUser;
  readonly #peer: string;
  #interest: number = IN;
  #isOpen = true;

  /**
   * Takes ownership of a connected, nonblocking file.
   *
   * @param peer the other side's name in the message when it ends: "the VM"
   */
  constructor(file: OwnedFd, loop: LoopPort, user: StreamUser, peer: string) {
    this.#file = file;
    this.#loop = loop;
    this.#user = user;
    this.#peer = peer;
    loop.watch(file.fd, IN, this);
  }

  /** Whether it is open. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Whether it is read from; see {@linkcode pause}. */
  get isPaused(): boolean {
    return (this.#interest & IN) === 0;
  }

  /** Stops or resumes reading; while paused, the guest blocks once the buffers in between are full. */
  pause(isPaused: boolean): void {
    this.#want(isPaused ? this.#interest & ~IN : this.#interest | IN);
  }

  /**
   * Writes what fits now. {@linkcode StreamUser.onRoom} is called when there is room for the rest.
   *
   * @returns number of bytes accepted, from 0 to all of them
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

  /** Its user threw: the stream ends, or the callback would be called for ever. */
  onFault(error: unknown): void {
    this.#end(messageOf(error));
  }

  /** Closes it without calling its user. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#loop.unwatch(this.#file.fd);
    this.#file.close();
  }

  #read(isOver: boolean): void {
    for (let i = 0; i < READS && this.#isOpen; i++) {
      // A paused stream keeps its unread data, but the end of the other side is still reported.
      if (this.isPaused && !isOver) return;
      let got: number;
      try {
        got = readInto(this.#file.fd, BUFFER, 0, READ_BYTES);
      } catch (error) {
        if (!(error instanceof OsError)) throw error;
        // A terminal reports a closed other side as EIO.
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
