/**
 * The host's end of a byte channel, open: a unix socket that QEMU serves, or a terminal of the host's. Bytes
 * in as they come, bytes out in order as far as the other side takes them.
 *
 * QEMU says itself where the end is, so who is there is asked of the kernel: the socket's server and the
 * terminal's owner must be the user that runs QEMU. Else a VM of one user would have the daemon read, and
 * type into, another user's terminal.
 *
 * It gives no meaning to bytes, and does not come back by itself.
 * @module
 */
import { FILE_SYSTEM, fileSystemOf, OPEN, reopen, statFd } from "../../../ffi/memfd.ts";
import { ERRNO, isOsError, OsError } from "../../../ffi/os_error.ts";
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { ERR, HUP, IN, OUT } from "../../../ffi/poller.ts";
import { readInto, writeFrom } from "../../../ffi/stream.ts";
import { connectUnix, peerCredentials, SOCKET } from "../../../ffi/unix_socket.ts";
import { assert } from "../../base/assert.ts";
import { CODE, type Code } from "../../base/codes.ts";
import { messageOf } from "../../base/fault.ts";
import type { FdHandler, LoopPort } from "../../core/adapter_port.ts";
import type { ChannelPlace } from "./channel_listing.ts";

/** Bytes of one read. */
export const READ_BYTES = 65_536;
/** Reads of one turn, so that a flood leaves the loop to others. */
const READS = 4;

/** Told what happens at a channel's end. */
export interface ChannelUser {
  /** Bytes that came, borrowed for the call. */
  onBytes(bytes: Uint8Array<ArrayBuffer>): void;
  /** Room again for {@linkcode ChannelStream.write}, after it took less than all. */
  onRoom(): void;
  /** It is over: the other side ended, or failed. Told once; the stream is closed already. */
  onEnd(why: string): void;
}

/** An end that could not be opened. */
export interface ChannelRefusal {
  /** The protocol's code. */
  readonly code: Code;
  /** What is in the way, and what to do. */
  readonly why: string;
}

/** An open end. */
export class ChannelStream implements FdHandler {
  readonly #file: OwnedFd;
  readonly #loop: LoopPort;
  readonly #user: ChannelUser;
  readonly #buffer: Uint8Array<ArrayBuffer>;
  #interest: number = IN;
  #isOpen = true;

  private constructor(file: OwnedFd, loop: LoopPort, user: ChannelUser, buffer: Uint8Array<ArrayBuffer>) {
    assert(buffer.length >= READ_BYTES, "a read has room");
    this.#file = file;
    this.#loop = loop;
    this.#user = user;
    this.#buffer = buffer;
    loop.watch(file.fd, IN, this);
  }

  /**
   * Opens an end.
   *
   * @param place where, as QEMU says
   * @param uid who runs QEMU, by the kernel's word; -1 = not known, and then nothing is opened
   * @param buffer where bytes are read to; may be shared by all streams of a loop
   * @returns the refusal when it cannot be had
   */
  static open(
    place: ChannelPlace,
    { uid, loop, user, buffer }: {
      readonly uid: number;
      readonly loop: LoopPort;
      readonly user: ChannelUser;
      readonly buffer: Uint8Array<ArrayBuffer>;
    },
  ): ChannelStream | ChannelRefusal {
    if (place.kind === "other") return { code: CODE["not-supported"], why: place.why };
    if (uid < 0) return { code: CODE["not-supported"], why: "who runs the VM is not known" };
    try {
      const file = place.kind === "unix" ? connectTo(place.path, uid) : openTerminal(place.path, uid);
      return "code" in file ? file : new ChannelStream(file, loop, user, buffer);
    } catch (error) {
      if (!(error instanceof OsError)) throw error;
      const code = isOsError(error, "EACCES") ? CODE.refused : CODE["seam-down"];
      return { code, why: messageOf(error) };
    }
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
   * Writes what fits now. Told by {@linkcode ChannelUser.onRoom} when there is room for the rest.
   *
   * @returns bytes taken, 0 to all of them
   */
  write(bytes: Uint8Array<ArrayBuffer>, offset: number): number {
    if (!this.#isOpen) return 0;
    let done = 0;
    try {
      while (offset + done < bytes.length) {
        const taken = writeFrom(this.#file.fd, bytes, offset + done, bytes.length - offset - done);
        if (taken < 0) {
          if (taken !== -ERRNO.EAGAIN) this.#end("the other side is gone");
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
        got = readInto(this.#file.fd, this.#buffer, 0, READ_BYTES);
      } catch (error) {
        if (!(error instanceof OsError)) throw error;
        // EIO is how a terminal says that its other side is closed.
        return this.#end(isOsError(error, "EIO") ? "the VM closed it" : messageOf(error));
      }
      if (got === -ERRNO.EAGAIN) return;
      if (got <= 0) return this.#end("the VM closed it");
      this.#user.onBytes(this.#buffer.subarray(0, got));
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

function connectTo(path: string, uid: number): OwnedFd | ChannelRefusal {
  const socket = connectUnix(path, SOCKET.STREAM);
  const peer = peerCredentials(socket.fd);
  if (peer.uid === uid) return socket;
  socket.close();
  return { code: CODE.refused, why: `uid ${peer.uid} listens on ${path}, and uid ${uid} runs the VM` };
}

function openTerminal(path: string, uid: number): OwnedFd | ChannelRefusal {
  const file = reopen(path, OPEN.READ_WRITE | OPEN.NONBLOCK | OPEN.NOCTTY);
  const { isCharacterDevice, uid: owner } = statFd(file.fd);
  if (isCharacterDevice && owner === uid && fileSystemOf(file.fd) === FILE_SYSTEM.DEVPTS) return file;
  file.close();
  return {
    code: CODE.refused,
    why: `${path} is not a terminal of uid ${uid}, who runs the VM, but of uid ${owner}`,
  };
}
