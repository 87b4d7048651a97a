/**
 * Reassembles a flattened dump, as written by QEMU's `dump-guest-memory` for kdump formats, and by
 * makedumpfile -F into a pipe. It is a list of "these bytes belong at that offset", big-endian, because its
 * writer cannot seek.
 *
 * The records are indexed once, without copying their contents. An offset may be written again (makedumpfile
 * rewrites its header at the end): the later record counts. Records that overlap otherwise are refused.
 * @module
 */
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { Fault } from "../../base/fault.ts";
import { MAX_DUMP_RECORDS } from "../../base/limits.ts";
import { indexAtOrBelow } from "../sorted_search.ts";
import { cutShort, type DumpBytes, FileBytes } from "./dump_bytes.ts";

const FIRST_RECORD = 4096;
const RECORD_HEAD = 16;
const FIRST_ROOM = 1024;
const HIGH = 2 ** 32;
const UNPACK = "unpack it with makedumpfile -R OUTPUT < INPUT";

/** The bytes of a flattened dump. */
export class FlattenedBytes implements DumpBytes {
  readonly sizeBytes: number;
  readonly #file: FileBytes;
  /** For each record, in order of its target offset: target offset, offset in the file, length. */
  readonly #targets: Float64Array;
  readonly #places: Float64Array;
  readonly #sizes: Float64Array;

  /**
   * Indexes the records.
   *
   * @param fd the file, open for reading; owned from now on, even if this throws
   * @param name its name in messages
   * @throws {Fault} `refused` when it is truncated or inconsistent
   */
  constructor(fd: OwnedFd, name: string) {
    this.#file = new FileBytes(fd, name);
    try {
      const records = sorted(readRecords(this.#file, name), name);
      this.#targets = records.targets;
      this.#places = records.places;
      this.#sizes = records.sizes;
      const last = records.targets.length - 1;
      this.sizeBytes = last < 0 ? 0 : (records.targets[last] as number) + (records.sizes[last] as number);
    } catch (error) {
      fd.close();
      throw error;
    }
  }

  /** Bytes without a record read as zeros. */
  read(at: number, into: Uint8Array<ArrayBuffer>, offset: number, length: number): number {
    const end = Math.min(at + length, this.sizeBytes);
    if (!(at >= 0 && at < end)) return 0;
    into.fill(0, offset, offset + end - at);
    const targets = this.#targets;
    let i = Math.max(0, indexAtOrBelow(targets.length, at, (k) => targets[k] as number));
    for (; i < targets.length && (targets[i] as number) < end; i++) {
      const target = targets[i] as number;
      const from = Math.max(at, target);
      const n = Math.min(end, target + (this.#sizes[i] as number)) - from;
      if (n <= 0) continue;
      const got = this.#file.read((this.#places[i] as number) + from - target, into, offset + from - at, n);
      if (got < n) return from - at + got;
    }
    return end - at;
  }

  verify(): void {
    this.#file.verify();
  }

  /** Closes the file. */
  [Symbol.dispose](): void {
    this.#file[Symbol.dispose]();
  }
}

interface Records {
  readonly targets: Float64Array;
  readonly places: Float64Array;
  readonly sizes: Float64Array;
}

function readRecords(file: FileBytes, name: string): Records {
  const head = new Uint8Array(RECORD_HEAD);
  const view = new DataView(head.buffer);
  let targets = new Float64Array(FIRST_ROOM);
  let places = new Float64Array(FIRST_ROOM);
  let sizes = new Float64Array(FIRST_ROOM);
  let count = 0;
  for (let at = FIRST_RECORD;;) {
    if (file.read(at, head, 0, RECORD_HEAD) < RECORD_HEAD) throw cutShort(name, "its flattened form");
    const target = view.getInt32(0) * HIGH + view.getUint32(4);
    const size = view.getInt32(8) * HIGH + view.getUint32(12);
    if (target === -1 && size === -1) break;
    at += RECORD_HEAD;
    if (!(target >= 0 && size > 0 && target + size < Number.MAX_SAFE_INTEGER)) {
      throw refused(name, "one of its records belongs nowhere");
    }
    if (at + size > file.sizeBytes) throw cutShort(name, "its flattened form");
    if (count === MAX_DUMP_RECORDS) throw refused(name, `it has more than ${count} records; ${UNPACK}`);
    if (count === targets.length) {
      targets = doubled(targets);
      places = doubled(places);
      sizes = doubled(sizes);
    }
    targets[count] = target;
    places[count] = at;
    sizes[count++] = size;
    at += size;
  }
  return {
    targets: targets.subarray(0, count),
    places: places.subarray(0, count),
    sizes: sizes.subarray(0, count),
  };
}

function doubled(numbers: Float64Array): Float64Array<ArrayBuffer> {
  const out = new Float64Array(numbers.length * 2);
  out.set(numbers);
  return out;
}

/** By target offset; of several records for one offset the last one is kept. */
function sorted({ targets, places, sizes }: Records, name: string): Records {
  const order = Uint32Array.from(targets, (_, i) => i);
  order.sort((a, b) => (targets[a] as number) - (targets[b] as number) || a - b);
  const kept: number[] = [];
  let end = 0;
  for (const i of order) {
    const target = targets[i] as number;
    const size = sizes[i] as number;
    const last = kept[kept.length - 1];
    if (last !== undefined && targets[last] === target && sizes[last] === size) {
      kept[kept.length - 1] = i;
      continue;
    }
    if (target < end) throw refused(name, `its records overlap; ${UNPACK}`);
    kept.push(i);
    end = target + size;
  }
  const pick = (from: Float64Array) => Float64Array.from(kept, (i) => from[i] as number);
  return { targets: pick(targets), places: pick(places), sizes: pick(sizes) };
}

function refused(name: string, why: string): Fault {
  return new Fault("refused", `Cannot open ${name}: ${why}`);
}
