/**
 * The memory of `vmsig record --memory`: when a memory context of an endpoint is announced, its RAM is copied
 * into a file beside the recording: `FILE.NAME.ram`, and `FILE.NAME.ram.2` and so on for later systems, up to
 * {@linkcode MAX_COPIES} per VM, so that a VM which reboots for ever does not fill the disk. Untouched pages,
 * and pages of zeros, are holes in it. A running guest changes while it is copied, and the copy is marked
 * accordingly: stop the VM first for a consistent copy.
 * @module
 */
import { fchmod, ftruncate, OPEN, reopen, seekData, seekHole, statFd } from "../../../ffi/memfd.ts";
import { preadInto, pwriteFrom } from "../../../ffi/stream.ts";
import { Fault, messageOf } from "../../base/fault.ts";
import { readU64, writeU64 } from "../../base/layout.ts";
import { MEMCTX } from "../../event/body_layout.ts";
import { encodeRecordedEvent } from "../../event/recording.ts";
import type { ClientEvent } from "../client_event.ts";
import { createPrivate } from "../record/private_file.ts";

/** Bytes of a memseg (src/event/PROTOCOL.md). */
const SEGMENT_BYTES = 32;
/** Maximum number of copies of one VM's memory. */
export const MAX_COPIES = 8;
const PIECE_BYTES = 4 << 20;
const PAGE_BYTES = 4096;

/** A copy that was made. */
export interface MemoryCopy {
  /** Where it is. */
  readonly path: string;
  /** Its size. */
  readonly bytes: number;
  /** Number of bytes written; the rest is holes. */
  readonly writtenBytes: number;
  /** Whether the VM was, or may have been, running meanwhile: then the copy is not consistent. */
  readonly isMoving: boolean;
  /** The MEMCTX as it is recorded. */
  readonly item: Uint8Array;
}

/** The options of a copy. */
export interface MemoryCopyOptions {
  /** The endpoint's name: letters, digits and a few signs. */
  readonly name: string;
  /** Which copy of this endpoint it is, from 1. */
  readonly nth: number;
  /** Aborts it. */
  readonly signal: AbortSignal;
  /** Whether the VM is known to be paused now; asked before and after. */
  readonly hasStood: () => Promise<boolean>;
}

/**
 * Copies the RAM of a MEMCTX.
 *
 * @param recording the recording's path
 * @throws {Fault} `refused` when it cannot be read or written; `interrupted`; no file is left then
 */
export async function copyMemory(
  event: ClientEvent,
  recording: string,
  { name, nth, signal, hasStood }: MemoryCopyOptions,
): Promise<MemoryCopy> {
  const path = `${recording}.${name}.ram${nth === 1 ? "" : `.${nth}`}`;
  try {
    const { file, isDevice } = createPrivate(path);
    using _closing = { [Symbol.dispose]: () => file.close() };
    if (isDevice) throw new Fault("refused", "it is a device; name a plain file with -o");
    // With a descriptor of the shim, for positioned writes; nobody writes to it later.
    using out = reopen(path, OPEN.READ_WRITE | OPEN.NOFOLLOW);
    const body = event.body.slice();
    const copy = new Copy(out.fd, signal);
    const stoodBefore = await hasStood();
    const view = new DataView(body.buffer);
    for (let at = 0; at + SEGMENT_BYTES <= body.length; at += SEGMENT_BYTES) {
      const bytes = readU64(view, at + 16);
      const fdIndex = view.getUint32(at + 24, true);
      if (fdIndex >= event.fdCount) {
        throw new Fault("protocol-error", "its context names a file that did not come");
      }
      const placed = await copy.segment(event.fd(fdIndex), readU64(view, at + 8), bytes);
      writeU64(view, at + 8, placed);
      view.setUint32(at + 24, 0, true);
    }
    const isMoving = !stoodBefore || !await hasStood();
    ftruncate(out.fd, copy.bytes);
    fchmod(out.fd, 0o400);
    const inline = event.inline.slice();
    new DataView(inline.buffer).setUint32(MEMCTX.at.nfd, 1, true);
    const memory = { file: path.slice(path.lastIndexOf("/") + 1), bytes: copy.bytes, moving: isMoving };
    const { kind, source, prio, endpoint, seq, corr, tsNs, bodyFormat } = event;
    const head = { kind, source, prio, endpoint, seq, corr, tsNs, inline, bodyFormat };
    const item = encodeRecordedEvent({ ...head, body, fds: 1, memory });
    return { path, bytes: copy.bytes, writtenBytes: copy.writtenBytes, isMoving, item };
  } catch (error) {
    if (!(error instanceof Fault)) removeIfThere(path);
    else if (error.code === "interrupted" || error.code === "protocol-error") removeIfThere(path);
    const code = error instanceof Fault ? error.code : "refused";
    throw new Fault(code, `Cannot copy the memory of ${name} to ${path}: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

class Copy {
  readonly #out: number;
  readonly #signal: AbortSignal;
  readonly #piece = new Uint8Array(PIECE_BYTES);
  bytes = 0;
  writtenBytes = 0;

  constructor(out: number, signal: AbortSignal) {
    this.#out = out;
    this.#signal = signal;
  }

  /** @returns where the segment lies in the copy */
  async segment(fd: number, from: number, bytes: number): Promise<number> {
    const placed = this.bytes;
    const end = from + bytes;
    if (statFd(fd).sizeBytes < end) throw new Fault("protocol-error", "its file is smaller than announced");
    // A descriptor with its own position, since the event's may be shared.
    using file = reopen(fd, OPEN.READ_ONLY);
    for (let at = from; at < end;) {
      const data = seekData(file.fd, at);
      if (data < 0 || data >= end) break;
      const hole = Math.min(seekHole(file.fd, data), end);
      for (at = data; at < hole;) {
        const length = preadInto(file.fd, this.#piece, 0, Math.min(PIECE_BYTES, hole - at), at);
        if (length === 0) throw new Fault("protocol-error", "its file was truncated");
        this.#write(length, placed + at - from);
        at += length;
        // Lets the connection be read, and Ctrl-C be handled.
        await new Promise((resolve) => setTimeout(resolve, 0));
        if (this.#signal.aborted) throw new Fault("interrupted", "interrupted");
      }
    }
    this.bytes += bytes;
    return placed;
  }

  /** Writes what is read, by runs of pages that are not all zeros. */
  #write(length: number, place: number): void {
    const words = new BigUint64Array(this.#piece.buffer, 0, Math.floor(length / 8));
    const isZero = (at: number): boolean => {
      if (at + PAGE_BYTES > length) return false;
      for (let i = at / 8; i < (at + PAGE_BYTES) / 8; i++) if (words[i] !== 0n) return false;
      return true;
    };
    for (let at = 0; at < length;) {
      if (isZero(at)) {
        at += PAGE_BYTES;
        continue;
      }
      let end = Math.min(at + PAGE_BYTES, length);
      while (end < length && !isZero(end)) end = Math.min(end + PAGE_BYTES, length);
      for (let done = at; done < end;) {
        done += pwriteFrom(this.#out, this.#piece, done, end - done, place + done);
      }
      this.writtenBytes += end - at;
      at = end;
    }
  }
}

function removeIfThere(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
