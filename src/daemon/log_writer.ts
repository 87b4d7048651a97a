/**
 * Writes log lines from the loop's thread to standard error without ever waiting for the reader: a stopped
 * terminal, a pipe that nobody reads, or a stuck journal must not delay the bus. Lines that cannot be written
 * at once are queued, in order and within a limit, until the loop reports that the descriptor is writable;
 * beyond the limit, lines are counted, and the number is written in their place. If the reader is gone for
 * good, lines are dropped silently.
 *
 * The writer gets its loop after construction ({@linkcode LogWriter.watchOn}), because each needs the other:
 * the loop's start may log, and the writer needs a loop only once a line has to be queued. Lines until then
 * are kept.
 *
 * A repeated line is counted (repeat_filter.ts). Records (the audit trail's lines) are always written, and
 * have space of their own when others have used up theirs. Records that come together are written with one
 * system call.
 * @module
 */
import { monotonicClock } from "../../ffi/clock.ts";
import { isOsError, OsError } from "../../ffi/os_error.ts";
import { OUT, pollNow } from "../../ffi/poller.ts";
import { writeFrom } from "../../ffi/stream.ts";
import { assert } from "../base/assert.ts";
import { type Clock, NEVER } from "../base/clock.ts";
import type { FdHandler, LoopPort, TimerHandler } from "../core/adapter_port.ts";
import { RepeatFilter } from "./repeat_filter.ts";

/** A writable pipe accepts this many bytes without blocking (PIPE_BUF). */
const MAX_LINE_BYTES = 4096;
/** Queue limit, bytes: four times a pipe's capacity, a few thousand lines. */
const MAX_WAITING_BYTES = 256 << 10;
/** Queue limit for records, bytes. */
const MAX_WAITING_RECORD_BYTES = 1 << 20;
/** Queued lines written per turn of the loop. */
const LINES_PER_TURN = 64;
const EAGAIN = -11;
/** Results of a write other than a number of bytes. */
const LATER = 0;
const FAILED = -1;
const encoder = new TextEncoder();

/** Writes whole lines to one descriptor. */
export class LogWriter implements FdHandler, TimerHandler, Disposable {
  readonly #fd: number;
  readonly #prefix: string;
  readonly #clock: Clock;
  readonly #stamp: () => string;
  readonly #filter = new RepeatFilter();
  #armedNs = NEVER;
  #loop: LoopPort | null = null;
  readonly #waiting: Uint8Array<ArrayBuffer>[] = [];
  #waitingBytes = 0;
  #watching = false;
  #isGone = false;
  #lost = 0;
  /** Records to be written together with the next one, and their number of bytes and lines. */
  readonly #joined = new Uint8Array(MAX_LINE_BYTES);
  #joinedBytes = 0;
  #joinedLines = 0;
  /** The time of the first of them. */
  #joinedStamp = "";

  /**
   * Starts with an empty queue.
   *
   * @param fd borrowed
   * @param journal whether lines begin with a syslog priority
   * @param clock the clock for repeated lines
   * @param stamp returns the prefix of a line when it is written: the time, unless the reader adds it
   */
  constructor(fd: number, journal: boolean, clock: Clock = monotonicClock, stamp: () => string = () => "") {
    this.#fd = fd;
    this.#clock = clock;
    this.#stamp = stamp;
    this.#prefix = journal ? "<4>" : "warn  ";
  }

  /** Sets the loop that reports when the descriptor is writable. */
  watchOn(loop: LoopPort): void {
    assert(this.#loop === null, "a log is watched by one loop");
    this.#loop = loop;
    this.#watch();
    this.#arm();
  }

  /** Number of lost lines that have not been reported yet. */
  get lost(): number {
    return this.#lost;
  }

  /**
   * Writes a line, queues it, counts it as a repetition, or counts it as lost.
   *
   * @param isRecord whether the line is never counted as a repetition, and dropped last
   * @param isFollowed for a record: the caller writes another at once, and both may be written together
   */
  write(line: string, isRecord = false, isFollowed = false): void {
    assert(isRecord || !isFollowed, "only records are written together");
    if (this.#isGone) return;
    if (isRecord) return this.#join(line, isFollowed);
    const nowNs = this.#clock.nowNs();
    this.#filter.sweep(nowNs, this.#putRepeated);
    if (this.#filter.admits(line, nowNs)) this.#putLine(line, MAX_WAITING_BYTES);
    else this.#arm();
  }

  /** Called by the loop at the end of the second of a repeated line. */
  onTimer(): void {
    this.#armedNs = NEVER;
    this.#filter.sweep(this.#clock.nowNs(), this.#putRepeated);
    this.#arm();
  }

  readonly #putRepeated = (line: string): void => this.#putLine(line, MAX_WAITING_BYTES);

  #arm(): void {
    const dueNs = this.#filter.deadlineNs;
    if (this.#loop === null || dueNs >= this.#armedNs) return;
    this.#armedNs = dueNs;
    this.#loop.arm(this, dueNs);
  }

  /** Writes a record together with those collected before, or collects it. */
  #join(line: string, isFollowed: boolean): void {
    if (!isFollowed && this.#joinedLines === 0) return this.#putLine(line, MAX_WAITING_RECORD_BYTES);
    const stamp = this.#stamp();
    const text = stamp + line + "\n";
    const encoded = encoder.encodeInto(text, this.#joined.subarray(this.#joinedBytes));
    if (encoded.read < text.length) {
      this.#putJoined();
      const bytes = bytesOf(stamp + line);
      this.#joined.set(bytes);
      this.#joinedBytes = bytes.length;
    } else this.#joinedBytes += encoded.written;
    if (this.#joinedLines === 0) this.#joinedStamp = stamp;
    this.#joinedLines++;
    if (!isFollowed) this.#putJoined();
  }

  #putJoined(): void {
    const lines = this.#joinedLines;
    const bytes = this.#joined.slice(0, this.#joinedBytes);
    this.#joinedBytes = this.#joinedLines = 0;
    if (lines > 0) this.#putBytes(bytes, lines, MAX_WAITING_RECORD_BYTES, this.#joinedStamp);
  }

  #putLine(line: string, mostBytes: number): void {
    // A caller that threw between two records has left some collected.
    this.#putJoined();
    const stamp = this.#stamp();
    this.#putBytes(bytesOf(stamp + line), 1, mostBytes, stamp);
  }

  #putBytes(bytes: Uint8Array<ArrayBuffer>, lines: number, mostBytes: number, stamp: string): void {
    if (this.#lost > 0) {
      const told = bytesOf(
        `${stamp}${this.#prefix}log: ${this.#lost} lines were lost: the reader of this log was too slow`,
      );
      if (!this.#take(told, mostBytes - bytes.length)) {
        this.#lost += lines;
        return;
      }
      this.#lost = 0;
    }
    if (!this.#take(bytes, mostBytes)) this.#lost += lines;
  }

  /** Called by the loop when the descriptor is writable or the reader is gone. */
  onReady(): void {
    for (let i = 0; i < LINES_PER_TURN || this.#isGone; i++) {
      const [bytes] = this.#waiting;
      if (bytes === undefined) break;
      const written = this.#put(bytes);
      if (written === LATER) break;
      this.#waitingBytes -= written === FAILED ? bytes.length : written;
      if (written === FAILED) this.#lost += linesIn(bytes);
      if (written === FAILED || written === bytes.length) this.#waiting.shift();
      else this.#waiting[0] = bytes.subarray(written);
    }
    if (this.#waiting.length === 0) this.#unwatch();
  }

  /** Writes as much of the queue as fits, and detaches from the loop; the descriptor stays open. */
  [Symbol.dispose](): void {
    this.#filter.sweep(NEVER, this.#putRepeated);
    this.#putJoined();
    while (this.#waiting.length > 0) {
      const before = this.#waiting.length;
      this.onReady();
      if (this.#waiting.length === before) break;
    }
    this.#unwatch();
    this.#loop?.disarm(this);
    this.#loop = null;
  }

  #watch(): void {
    if (this.#loop === null || this.#watching || this.#waiting.length === 0) return;
    assert(!this.#isGone, "nothing waits for a reader that has gone");
    this.#loop.watch(this.#fd, OUT, this);
    this.#watching = true;
  }

  #unwatch(): void {
    if (this.#watching) this.#loop?.unwatch(this.#fd);
    this.#watching = false;
  }

  /** Writes or queues a line. False: more than `mostBytes` would be queued. */
  #take(bytes: Uint8Array<ArrayBuffer>, mostBytes: number): boolean {
    let rest = bytes;
    if (this.#waiting.length === 0) {
      const written = this.#put(bytes);
      if (written === FAILED || written === bytes.length) return written !== FAILED;
      // A line that was written in part is completed, even beyond the limit.
      if (written !== LATER) rest = bytes.subarray(written);
    }
    if (rest === bytes && this.#waitingBytes + bytes.length > mostBytes) return false;
    this.#waiting.push(rest);
    this.#waitingBytes += rest.length;
    this.#watch();
    return true;
  }

  /** Writes as much as fits; returns the number of bytes, LATER, or FAILED. */
  #put(bytes: Uint8Array<ArrayBuffer>): number {
    if (this.#isGone) return FAILED;
    try {
      // POLLERR, POLLHUP and POLLNVAL are left to the write, which returns the error.
      if (pollNow(this.#fd, OUT) === 0) return LATER;
      const written = writeFrom(this.#fd, bytes, 0, bytes.length);
      if (written === EAGAIN) return LATER;
      if (written < 0) this.#isGone = true;
      return written < 0 ? FAILED : written;
    } catch (error) {
      if (!(error instanceof OsError)) throw error;
      // Closed from the start (2>&-), a full disk, a terminal that hung up: nobody can be told, and the bus
      // goes on.
      if (isOsError(error, "EBADF")) this.#isGone = true;
      return FAILED;
    }
  }
}

/** Number of lines that end in the part that could not be written. */
function linesIn(bytes: Uint8Array): number {
  return bytes.reduce((lines, byte) => lines + (byte === 0x0a ? 1 : 0), 0);
}

/** A line as it is written: cut to what a pipe accepts at once. */
function bytesOf(line: string): Uint8Array<ArrayBuffer> {
  const bytes = encoder.encode(line + "\n");
  if (bytes.length <= MAX_LINE_BYTES) return bytes;
  bytes[MAX_LINE_BYTES - 1] = 0x0a;
  return bytes.slice(0, MAX_LINE_BYTES);
}
