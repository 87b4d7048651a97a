/**
 * A stream socket on the loop: bytes in as they come, bytes out in order however much the other side takes at
 * a time, up to a bound. It gives no meaning to them.
 * @module
 */
import { ERRNO, OsError } from "../../../ffi/os_error.ts";
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { ERR, HUP, IN, OUT } from "../../../ffi/poller.ts";
import { readInto, writeFrom } from "../../../ffi/stream.ts";
import { messageOf } from "../../base/fault.ts";
import type { FdHandler, LoopPort } from "../../core/adapter_port.ts";

const READ_BYTES = 65_536;
/** Reads of one turn, so that a flood leaves the loop to others. */
const READS = 8;
/** Bytes that wait; past it the other side is given up. */
const MAX_UNSENT: number = 32 << 20;
/** For all pipes of a loop: what is read is taken at once. */
const BUFFER = new Uint8Array(READ_BYTES);

/** Told what happens. */
export interface BytePipeUser {
  /** Bytes that came, borrowed for the call. */
  onBytes(bytes: Uint8Array<ArrayBuffer>): void;
  /** It is over, and closed; told once. */
  onEnd(why: string): void;
}

/** The socket. */
export class BytePipe implements FdHandler {
  readonly #socket: OwnedFd;
  readonly #loop: LoopPort;
  readonly #user: BytePipeUser;
  readonly #queue: Uint8Array<ArrayBuffer>[] = [];
  #queued = 0;
  #done = 0;
  #isOpen = true;
  #wantsRoom = false;

  /** Takes a connected, nonblocking socket over. */
  constructor(socket: OwnedFd, loop: LoopPort, user: BytePipeUser) {
    this.#socket = socket;
    this.#loop = loop;
    this.#user = user;
    loop.watch(socket.fd, IN, this);
  }

  /** Sends bytes, which are its own from now on. */
  send(bytes: Uint8Array<ArrayBuffer>): void {
    if (!this.#isOpen) return;
    this.#queue.push(bytes);
    this.#queued += bytes.length;
    if (this.#queued > MAX_UNSENT) return this.#end("the other side takes nothing");
    if (!this.#wantsRoom) this.#flush();
  }

  /** Called by the loop. */
  onReady(events: number): void {
    if ((events & OUT) !== 0) this.#flush();
    if ((events & (IN | HUP | ERR)) === 0) return;
    for (let i = 0; i < READS && this.#isOpen; i++) {
      let got: number;
      try {
        got = readInto(this.#socket.fd, BUFFER, 0, READ_BYTES);
      } catch (error) {
        if (!(error instanceof OsError)) throw error;
        return this.#end(messageOf(error));
      }
      if (got === -ERRNO.EAGAIN) return;
      if (got <= 0) return this.#end("the other side closed it");
      this.#user.onBytes(BUFFER.subarray(0, got));
      if (got < READ_BYTES) return;
    }
  }

  /** What its user threw: it ends, so that it is not called for ever. */
  onFault(error: unknown): void {
    this.#end(messageOf(error));
  }

  /** Ends it; its user is told nothing. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#loop.unwatch(this.#socket.fd);
    this.#socket.close();
  }

  #flush(): void {
    try {
      while (this.#isOpen) {
        const first = this.#queue[0];
        if (first === undefined) break;
        const taken = writeFrom(this.#socket.fd, first, this.#done, first.length - this.#done);
        if (taken === -ERRNO.EAGAIN) break;
        if (taken < 0) return this.#end("the other side is gone");
        this.#done += taken;
        if (this.#done < first.length) continue;
        this.#queue.shift();
        this.#queued -= first.length;
        this.#done = 0;
      }
    } catch (error) {
      if (!(error instanceof OsError)) throw error;
      return this.#end(messageOf(error));
    }
    const wantsRoom = this.#queue.length > 0;
    if (!this.#isOpen || wantsRoom === this.#wantsRoom) return;
    this.#wantsRoom = wantsRoom;
    this.#loop.rewatch(this.#socket.fd, wantsRoom ? IN | OUT : IN);
  }

  #end(why: string): void {
    if (!this.#isOpen) return;
    this.close();
    this.#user.onEnd(why);
  }
}
