/**
 * Packets with descriptors, many a system call, without garbage: two reusable batches over recvmmsg and
 * sendmmsg, and a fast way for one packet. For SOCK_SEQPACKET; a batch also reads a stream, where a "frame"
 * is what was there.
 *
 * A batch's memory is C's as well as ours, so it stays where it is until the batch is disposed of. Bytes are
 * read and written in place: what one receive gave is gone with the next.
 *
 * What it does not do: wait. Would-block and a peer that is gone are answers here, not errors.
 * @module
 */
import { assert } from "../src/base/assert.ts";
import { Mapping } from "./mapping.ts";
import { check, ERRNO, OsError } from "./os_error.ts";
import { closeForeignFd } from "./owned_fd.ts";
import { shim, type ShimSymbols } from "./shim.ts";

const MSG_CTRUNC = 0x8;
const MSG_TRUNC = 0x20;
const HEADER_BYTES = 16;
const FDS_RECEIVED = 3;
const RECORD_HEAD_WORDS = 4;
const LENGTH = 0;
const FLAGS = 1;
const FD_COUNT = 2;
const NO_FD = -1;
const MAX_SEND_FDS = 253;

/** What both kinds of batch share: the block of memory that the shim lays out. */
class Block implements Disposable {
  readonly memory: Mapping;
  readonly address: number;
  readonly words: Int32Array<ArrayBuffer>;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly recordWords: number;

  constructor(frames: number, frameBytes: number, maxFds: number) {
    const c = shim();
    const total = check(c.vmsig_batch_bytes(frames, frameBytes, maxFds), "lay out a batch of packets");
    this.memory = Mapping.anonymous(total);
    this.address = this.memory.address;
    this.recordWords = RECORD_HEAD_WORDS + maxFds;
    const data = c.vmsig_batch_init(this.address, frames, frameBytes, maxFds);
    this.words = new Int32Array(this.memory.buffer, 0, HEADER_BYTES / 4 + frames * this.recordWords);
    this.bytes = new Uint8Array(this.memory.buffer, data, frames * frameBytes);
  }

  [Symbol.dispose](): void {
    this.memory[Symbol.dispose]();
  }
}

/** Receives up to a fixed number of packets at once. */
export class ReceiveBatch implements Disposable {
  /** All frames' bytes, one after another; frame i begins at {@linkcode ReceiveBatch.offset}. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The same bytes as a DataView. */
  readonly view: DataView<ArrayBuffer>;
  /** Frames it can take at once. */
  readonly frames: number;
  /** Bytes a frame may have; a longer packet is cut and marked. */
  readonly frameBytes: number;
  /** Whether the last receive found nothing there. */
  wouldBlock = false;
  /** Whether the last receive found the connection ended, behind the frames it gave. */
  closed = false;
  readonly #shim: ShimSymbols = shim();
  readonly #block: Block;
  readonly #words: Int32Array<ArrayBuffer>;
  // 0 once disposed of: C must not get the address of memory that is gone.
  #address: number;
  readonly #recordWords: number;
  #received = 0;

  /**
   * Allocates the memory, once.
   *
   * @param frames packets a receive takes at most
   * @param frameBytes bytes of the longest packet
   * @param maxFds descriptors of a packet at most; the kernel closes the rest and the frame is marked
   */
  constructor(frames: number, frameBytes: number, maxFds: number) {
    this.#block = new Block(frames, frameBytes, maxFds);
    this.#words = this.#block.words;
    this.#address = this.#block.address;
    this.#recordWords = this.#block.recordWords;
    this.bytes = this.#block.bytes;
    this.view = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.byteLength);
    this.frames = frames;
    this.frameBytes = frameBytes;
  }

  /**
   * Takes what is there. Descriptors of the receive before that nobody took are closed.
   *
   * An empty packet cannot be told from the end of the connection, and counts as that.
   *
   * @param fd a connected socket, borrowed
   * @returns how many frames; with 0, `wouldBlock` or `closed` says why
   * @throws {OsError} anything but EAGAIN, EINTR and ECONNRESET
   */
  receive(fd: number): number {
    assert(this.#address !== 0, "a batch is not used after it was disposed of");
    this.closeFds();
    this.wouldBlock = false;
    this.closed = false;
    const n = this.#shim.vmsig_batch_receive(fd, this.#address);
    if (n <= 0) return this.#nothing(n);
    this.#received = n;
    // At the end of a connection the kernel fills the whole batch with packets of no bytes.
    for (let i = 0; i < n; i++) {
      if (this.#words[this.#record(i) + LENGTH] === 0) {
        this.closed = true;
        return i;
      }
    }
    return n;
  }

  #nothing(result: number): number {
    this.#received = 0;
    if (result === -ERRNO.EAGAIN || result === -ERRNO.EINTR) this.wouldBlock = true;
    else if (result === -ERRNO.ECONNRESET) this.closed = true;
    else check(result, "recvmmsg");
    return 0;
  }

  #record(i: number): number {
    return HEADER_BYTES / 4 + i * this.#recordWords;
  }

  /** Where frame i begins in `bytes` and `view`. */
  offset(i: number): number {
    return i * this.frameBytes;
  }

  /** Bytes of frame i. */
  length(i: number): number {
    return this.#words[this.#record(i) + LENGTH] ?? 0;
  }

  /** Whether frame i was longer than `frameBytes`, and was cut. */
  truncated(i: number): boolean {
    return ((this.#words[this.#record(i) + FLAGS] ?? 0) & MSG_TRUNC) !== 0;
  }

  /** Whether frame i brought more descriptors than fit (or than this process may open), and lost some. */
  fdsTruncated(i: number): boolean {
    return ((this.#words[this.#record(i) + FLAGS] ?? 0) & MSG_CTRUNC) !== 0;
  }

  /** How many descriptors frame i brought, taken ones included. */
  fdCount(i: number): number {
    return this.#words[this.#record(i) + FD_COUNT] ?? 0;
  }

  /**
   * Takes descriptor k of frame i: the caller owns it from now on. Asserts that it is there and was not
   * taken.
   */
  takeFd(i: number, k: number): number {
    assert(i < this.#received && k < this.fdCount(i), "a taken descriptor was received");
    const at = this.#record(i) + RECORD_HEAD_WORDS + k;
    const fd = this.#words[at] ?? NO_FD;
    assert(fd !== NO_FD, "a descriptor is taken once");
    this.#words[at] = NO_FD;
    return fd;
  }

  /** Closes every descriptor that was not taken. */
  closeFds(): void {
    if (this.#received === 0) return;
    if ((this.#words[FDS_RECEIVED] ?? 0) > 0) {
      for (let i = 0; i < this.#received; i++) this.#closeFdsOf(i);
    }
    this.#received = 0;
  }

  #closeFdsOf(i: number): void {
    const first = this.#record(i) + RECORD_HEAD_WORDS;
    for (let at = first; at < first + this.fdCount(i); at++) {
      const fd = this.#words[at] ?? NO_FD;
      if (fd === NO_FD) continue;
      this.#words[at] = NO_FD;
      closeForeignFd(fd);
    }
  }

  /** Closes what was not taken and gives the memory back. */
  [Symbol.dispose](): void {
    this.closeFds();
    this.#address = 0;
    this.#block[Symbol.dispose]();
  }
}

/** Collects packets and sends them at once. */
export class SendBatch implements Disposable {
  /** All frames' bytes; the next frame is written at {@linkcode SendBatch.offset}. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The same bytes as a DataView. */
  readonly view: DataView<ArrayBuffer>;
  /** Frames it can hold. */
  readonly frames: number;
  /** Bytes a frame may have. */
  readonly frameBytes: number;
  /** Whether the last send found the peer gone; what was not sent never will be. */
  closed = false;
  readonly #shim: ShimSymbols = shim();
  readonly #block: Block;
  readonly #words: Int32Array<ArrayBuffer>;
  // 0 once disposed of: C must not get the address of memory that is gone.
  #address: number;
  readonly #recordWords: number;
  readonly #maxFds: number;
  #count = 0;
  #sent = 0;

  /**
   * Allocates the memory, once.
   *
   * @param frames packets it holds at most
   * @param frameBytes bytes of the longest packet
   * @param maxFds descriptors of a packet at most
   */
  constructor(frames: number, frameBytes: number, maxFds: number) {
    this.#block = new Block(frames, frameBytes, maxFds);
    this.#words = this.#block.words;
    this.#address = this.#block.address;
    this.#recordWords = this.#block.recordWords;
    this.#maxFds = maxFds;
    this.bytes = this.#block.bytes;
    this.view = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.byteLength);
    this.frames = frames;
    this.frameBytes = frameBytes;
  }

  /** Forgets all frames, sent or not. */
  begin(): void {
    this.#count = 0;
    this.#sent = 0;
    this.closed = false;
  }

  /** Frames appended since {@linkcode SendBatch.begin}. */
  get count(): number {
    return this.#count;
  }

  /** Frames appended and not yet sent. */
  get pending(): number {
    return this.#count - this.#sent;
  }

  /** Whether no further frame fits. */
  get full(): boolean {
    return this.#count === this.frames;
  }

  /** Where frame i begins in `bytes` and `view`; without i, where the next one is to be written. */
  offset(i: number = this.#count): number {
    return i * this.frameBytes;
  }

  /**
   * Adds the frame that was just written at {@linkcode SendBatch.offset}.
   *
   * @param length its bytes
   * @param fds descriptors that go with it, borrowed: they must stay open until it is sent
   */
  append(length: number, fds?: ArrayLike<number>): void {
    assert(this.#count < this.frames, "a frame is appended to a batch with room");
    assert(length > 0 && length <= this.frameBytes, "a frame fits its place");
    const record = HEADER_BYTES / 4 + this.#count * this.#recordWords;
    this.#words[record + LENGTH] = length;
    this.#words[record + FD_COUNT] = 0;
    if (fds !== undefined) {
      assert(fds.length <= this.#maxFds, "a frame's descriptors fit the batch");
      for (let k = 0; k < fds.length; k++) this.#words[record + RECORD_HEAD_WORDS + k] = fds[k] ?? NO_FD;
      this.#words[record + FD_COUNT] = fds.length;
    }
    this.#count++;
  }

  /**
   * Sends what was not sent yet, as far as the socket takes it. Call it again for the rest.
   *
   * @param fd a connected socket, borrowed
   * @returns how many frames went; 0 when it would block or, with `closed`, when the peer is gone
   * @throws {OsError} EMSGSIZE when a frame is larger than the socket can ever take, EBADF when one of its
   *   fds is closed
   */
  send(fd: number): number {
    assert(this.#address !== 0, "a batch is not used after it was disposed of");
    if (this.#sent === this.#count) return 0;
    const n = this.#shim.vmsig_batch_send(fd, this.#address, this.#sent, this.#count);
    if (n > 0) {
      this.#sent += n;
      return n;
    }
    if (isPeerGone(n)) this.closed = true;
    else if (n !== -ERRNO.EAGAIN && n !== -ERRNO.EINTR) check(n, "sendmmsg");
    return 0;
  }

  /** Gives the memory back. */
  [Symbol.dispose](): void {
    this.#address = 0;
    this.#block[Symbol.dispose]();
  }
}

const FDS = new Int32Array(MAX_SEND_FDS);

/**
 * Sends one packet (or, on a stream, as much of it as fits) with one system call; never raises SIGPIPE.
 *
 * @param fd a connected socket, borrowed
 * @param bytes where the packet is
 * @param offset its first byte in `bytes`
 * @param length its bytes
 * @param fds descriptors that go with it, borrowed
 * @returns bytes sent; -EAGAIN, -EPIPE, -ECONNRESET or -ENOTCONN when it would block or the peer is gone
 * @throws {OsError} anything else
 */
export function sendOne(
  fd: number,
  bytes: Uint8Array<ArrayBuffer>,
  offset: number,
  length: number,
  fds?: ArrayLike<number>,
): number {
  if (offset < 0 || length < 0 || offset + length > bytes.length) {
    throw new RangeError("what is sent lies in its buffer");
  }
  let n: number;
  if (fds === undefined || fds.length === 0) {
    n = shim().vmsig_send(fd, bytes, offset, length);
  } else {
    assert(fds.length <= MAX_SEND_FDS, "a packet's descriptors are few enough for the kernel");
    for (let k = 0; k < fds.length; k++) FDS[k] = fds[k] ?? NO_FD;
    n = shim().vmsig_send_fds(fd, bytes, offset, length, FDS, fds.length);
  }
  if (n >= 0 || n === -ERRNO.EAGAIN || isPeerGone(n)) return n;
  throw new OsError("send", n);
}

/** Whether a negative result of a send says that the peer is gone. */
export function isPeerGone(result: number): boolean {
  return result === -ERRNO.EPIPE || result === -ERRNO.ECONNRESET || result === -ERRNO.ENOTCONN;
}
