/**
 * Log lines from the loop's thread to standard error, without ever waiting for whoever reads them: a terminal
 * that is held, a pipe that nobody empties, or a journal that is stuck must not hold up the bus. What cannot
 * be written at once waits, in order and within a bound, until the loop says that there is room; beyond that
 * lines are counted, and the number is told in their place. When the reader has gone for good, lines are
 * dropped in silence.
 *
 * The loop is given to it late ({@linkcode LogWriter.watchOn}), because each needs the other: the loop logs
 * from its first turn on, and its start may have something to say, while the writer needs a loop only once a
 * line has to wait. Lines of that time are kept.
 *
 * A line that is said again and again is counted (repeat_filter.ts). Records, the audit trail's lines, are
 * written each time, and have room of their own when others have used up theirs. Those that come together
 * are written by one system call.
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

/** A pipe that can be written takes this much without blocking (PIPE_BUF). */
const MAX_LINE_BYTES = 4096;
/** What may wait: four times what a pipe holds, a few thousand lines. */
const MAX_WAITING_BYTES = 256 << 10;
/** What may wait when it is records that come. */
const MAX_WAITING_RECORD_BYTES = 1 << 20;
/** Waiting lines that are written in one turn of the loop. */
const LINES_PER_TURN = 64;
const EAGAIN = -11;
/** Outcomes of a write beside a number of bytes. */
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
  /** Records that are written together with the next one, and how many bytes and lines they are. */
  readonly #joined = new Uint8Array(MAX_LINE_BYTES);
  #joinedBytes = 0;
  #joinedLines = 0;
  /** The time of the first. */
  #joinedStamp = "";

  /**
   * Writes nothing yet.
   *
   * @param fd borrowed
   * @param journal whether lines begin with a syslog priority
   * @param clock the time by which repeated lines are counted
   * @param stamp what a line begins with when it is written: its time, where the reader gives it none
   */
  constructor(fd: number, journal: boolean, clock: Clock = monotonicClock, stamp: () => string = () => "") {
    this.#fd = fd;
    this.#clock = clock;
    this.#stamp = stamp;
    this.#prefix = journal ? "<4>" : "warn  ";
  }

  /** From now on `loop` tells when there is room again. */
  watchOn(loop: LoopPort): void {
    assert(this.#loop === null, "a log is watched by one loop");
    this.#loop = loop;
    this.#watch();
    this.#arm();
  }

  /** How many lines were lost and not told of yet. */
  get lost(): number {
    return this.#lost;
  }

  /**
   * Writes a line, keeps it until there is room, counts it as the same as one before, or counts it as lost.
   *
   * @param isRecord whether it must not be counted instead of written, and be the last to be lost
   * @param isFollowed of a record: the caller writes another one at once, and both may be written together
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

  /** Called by the loop: the second of a repeated line is over. */
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

  /** Writes a record with those that are joined already, or joins it to them. */
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
    // A caller that failed between two records has left some.
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

  /** Called by the loop when there is room, or the reader has gone. */
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

  /** Writes what waits and still finds room, and lets go of the loop; the descriptor stays open. */
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

  /** Writes or keeps a line. False: more than `mostBytes` would wait. */
  #take(bytes: Uint8Array<ArrayBuffer>, mostBytes: number): boolean {
    let rest = bytes;
    if (this.#waiting.length === 0) {
      const written = this.#put(bytes);
      if (written === FAILED || written === bytes.length) return written !== FAILED;
      // What has begun is ended, bound or not.
      if (written !== LATER) rest = bytes.subarray(written);
    }
    if (rest === bytes && this.#waitingBytes + bytes.length > mostBytes) return false;
    this.#waiting.push(rest);
    this.#waitingBytes += rest.length;
    this.#watch();
    return true;
  }

  /** Writes what finds room: how many bytes, or LATER, or FAILED. */
  #put(bytes: Uint8Array<ArrayBuffer>): number {
    if (this.#isGone) return FAILED;
    try {
      // A file, a closed descriptor and a pipe without a reader have something to tell, too: the write does.
      if (pollNow(this.#fd, OUT) === 0) return LATER;
      const written = writeFrom(this.#fd, bytes, 0, bytes.length);
      if (written === EAGAIN) return LATER;
      if (written < 0) this.#isGone = true;
      return written < 0 ? FAILED : written;
    } catch (error) {
      if (!(error instanceof OsError)) throw error;
      // Closed from the start (2>&-): there is nobody to tell. A disk that is full, a terminal that hung up:
      // the bus goes on.
      if (isOsError(error, "EBADF")) this.#isGone = true;
      return FAILED;
    }
  }
}

/** How many lines end in what could not be written. */
function linesIn(bytes: Uint8Array): number {
  return bytes.reduce((lines, byte) => lines + (byte === 0x0a ? 1 : 0), 0);
}

/** A line as it is written: what is longer than a pipe takes whole is cut. */
function bytesOf(line: string): Uint8Array<ArrayBuffer> {
  const bytes = encoder.encode(line + "\n");
  if (bytes.length <= MAX_LINE_BYTES) return bytes;
  bytes[MAX_LINE_BYTES - 1] = 0x0a;
  return bytes.slice(0, MAX_LINE_BYTES);
}
