/**
 * The files of a recording: one that grows to a bound, is then renamed to FILE.1 (and FILE.1 to FILE.2, …; the oldest goes), and begun anew with a header of its own, so that each can be
 * replayed by itself. What cannot be written whole is cut off again, so that a full disk leaves a good file.
 * @module
 */
import { Fault, messageOf } from "../../base/fault.ts";

/** How large, and how many. */
export interface RecordingBounds {
  /** Bytes of one file at most. */
  readonly maxBytes: number;
  /** Older files that are kept. */
  readonly keep: number;
}

/** An open recording. */
export class RecordingFile implements Disposable {
  readonly #path: string;
  readonly #bounds: RecordingBounds;
  readonly #header: () => Uint8Array;
  #file: Deno.FsFile;
  #bytes = 0;
  #total = 0;

  /**
   * Begins a recording; a file of this name is overwritten.
   *
   * @param header makes the header of each file, as things are when it is begun
   * @throws {Fault} `refused` when it cannot be written
   */
  constructor(path: string, bounds: RecordingBounds, header: () => Uint8Array) {
    this.#path = path;
    this.#bounds = bounds;
    this.#header = header;
    this.#file = this.#open();
    try {
      this.#write(header());
    } catch (error) {
      this.#file.close();
      throw error;
    }
  }

  /** Bytes written, all files together. */
  get totalBytes(): number {
    return this.#total;
  }

  /** Appends one item. */
  append(item: Uint8Array): void {
    if (this.#bytes + item.length > this.#bounds.maxBytes) this.#rotate();
    this.#write(item);
  }

  /** Closes it. */
  [Symbol.dispose](): void {
    this.#file.close();
  }

  #open(): Deno.FsFile {
    this.#bytes = 0;
    try {
      return Deno.openSync(this.#path, { write: true, create: true, truncate: true });
    } catch (error) {
      throw refused(this.#path, error);
    }
  }

  #write(item: Uint8Array): void {
    let done = 0;
    try {
      while (done < item.length) done += this.#file.writeSync(item.subarray(done));
    } catch (error) {
      if (done > 0) this.#file.truncateSync(this.#bytes);
      throw refused(this.#path, error);
    }
    this.#bytes += item.length;
    this.#total += item.length;
  }

  #rotate(): void {
    this.#file.close();
    const { keep } = this.#bounds;
    try {
      for (let i = keep; i > 0; i--) {
        renameIfThere(i === 1 ? this.#path : `${this.#path}.${i - 1}`, `${this.#path}.${i}`);
      }
    } finally {
      this.#file = this.#open();
    }
    this.#write(this.#header());
  }
}

function renameIfThere(from: string, to: string): void {
  try {
    Deno.renameSync(from, to);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw refused(to, error);
  }
}

function refused(path: string, error: unknown): Fault {
  return new Fault(
    "refused",
    `Cannot write the recording ${path}: ${messageOf(error)}; make room, or choose another file`,
    {
      cause: error,
    },
  );
}
