/**
 * Log lines from the loop's thread to standard error, without ever waiting for whoever reads them: a terminal that is held, a pipe that nobody empties, or a journal that is stuck must not hold up the
 * bus. What cannot be written at once is counted, and told before the first line that there is room for; when the reader has gone for good, lines are dropped in silence.
 * @module
 */
import { isOsError, OsError } from "../../ffi/os_error.ts";
import { OUT, Poller } from "../../ffi/poller.ts";
import { writeFrom } from "../../ffi/stream.ts";

/** A pipe that can be written takes this much without blocking (PIPE_BUF). */
const MAX_LINE_BYTES = 4096;
const EAGAIN = -11;
const encoder = new TextEncoder();

/** Writes whole lines to one descriptor. */
export class LogWriter implements Disposable {
  readonly #fd: number;
  readonly #prefix: string;
  readonly #poller: Poller = new Poller(1);
  /** A file takes every write, and cannot be polled. */
  #isFile = false;
  #isGone = false;
  #lost = 0;

  /**
   * Writes nothing yet.
   *
   * @param fd borrowed
   * @param journal whether lines begin with a syslog priority
   */
  constructor(fd: number, journal: boolean) {
    this.#fd = fd;
    this.#prefix = journal ? "<4>" : "warn  ";
    try {
      this.#poller.add(fd, OUT, 0);
    } catch (error) {
      if (isOsError(error, "EPERM")) this.#isFile = true;
      // Closed from the start (2>&-): there is nobody to tell.
      else if (isOsError(error, "EBADF")) this.#isGone = true;
      else throw error;
    }
  }

  /** How many lines were lost and not told of yet. */
  get lost(): number {
    return this.#lost;
  }

  /** Writes a line, or counts it. */
  write(line: string): void {
    if (this.#isGone) return;
    if (this.#lost > 0) {
      const told = `${this.#prefix}log: ${this.#lost} lines were lost: whoever reads this log was too slow`;
      if (!this.#put(told)) {
        this.#lost++;
        return;
      }
      this.#lost = 0;
    }
    if (!this.#put(line)) this.#lost++;
  }

  /** Lets go of the descriptor; it stays open. */
  [Symbol.dispose](): void {
    this.#poller[Symbol.dispose]();
  }

  #put(line: string): boolean {
    if (!this.#isFile && this.#poller.wait(0) === 0) return false;
    const bytes = encoder.encode(line + "\n");
    const length = Math.min(bytes.length, MAX_LINE_BYTES);
    bytes[length - 1] = 0x0a;
    try {
      const written = writeFrom(this.#fd, bytes, 0, length);
      if (written === EAGAIN) return false;
      if (written < 0) this.#isGone = true;
    } catch (error) {
      if (!(error instanceof OsError)) throw error;
      // A disk that is full, a terminal that hung up: the bus goes on.
      return false;
    }
    return true;
  }
}
