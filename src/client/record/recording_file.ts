/**
 * The files of a recording: one that grows to a bound, is then renamed to FILE.1 (and FILE.1 to FILE.2, …;
 * the oldest goes), and begun anew with a header of its own, so that each can be replayed by itself. What
 * cannot be written whole is cut off again, so that a full disk leaves a good file. All of them are this
 * user's alone: they hold what was typed and seen.
 * @module
 */
import { Fault, messageOf } from "../../base/fault.ts";
import { createPrivate, makePrivate, type PrivateFile } from "./private_file.ts";

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
  #out: PrivateFile;
  #bytes = 0;
  #total = 0;
  #begun = 1;

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
    this.#out = this.#open();
    try {
      this.#write(header());
    } catch (error) {
      this.#out.file.close();
      throw error;
    }
  }

  /** Bytes written, all files together. */
  get totalBytes(): number {
    return this.#total;
  }

  /** How many files were begun. */
  get begun(): number {
    return this.#begun;
  }

  /** Whether it is a device: a file beside it would be nowhere. */
  get isDevice(): boolean {
    return this.#out.isDevice;
  }

  /**
   * Appends one item.
   *
   * @param anew makes what stands in its place when a new file is begun for it: an item that needs one before
   *   it
   */
  append(item: Uint8Array, anew: () => Uint8Array = () => item): void {
    if (this.#out.isDevice || this.#bytes + item.length <= this.#bounds.maxBytes) return this.#write(item);
    this.#rotate();
    this.#write(anew());
  }

  /** Closes it. */
  [Symbol.dispose](): void {
    this.#out.file.close();
  }

  #open(): PrivateFile {
    try {
      const opened = createPrivate(this.#path);
      this.#bytes = 0;
      return opened;
    } catch (error) {
      throw refused(this.#path, error);
    }
  }

  #write(item: Uint8Array): void {
    const { file, isDevice } = this.#out;
    let done = 0;
    try {
      while (done < item.length) done += file.writeSync(item.subarray(done));
    } catch (error) {
      if (done > 0 && !isDevice) file.truncateSync(this.#bytes);
      throw refused(this.#path, error);
    }
    this.#bytes += item.length;
    this.#total += item.length;
  }

  /**
   * The file that is full stays open until the next one is there: what goes wrong in between costs nothing
   * that was written.
   */
  #rotate(): void {
    const { keep } = this.#bounds;
    for (let i = keep; i > 0; i--) {
      renameIfThere(i === 1 ? this.#path : `${this.#path}.${i - 1}`, `${this.#path}.${i}`);
      // One of an earlier vmsig may be open to others.
      makePrivate(`${this.#path}.${i}`);
    }
    const full = this.#out;
    this.#out = this.#open();
    this.#begun++;
    full.file.close();
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
  const remedy = error instanceof Fault ? "" : "; make room, or choose another file";
  return new Fault("refused", `Cannot write the recording ${path}: ${messageOf(error)}${remedy}`, {
    cause: error,
  });
}
