/**
 * RAM in this process's memory: for tests, examples and images that a caller already has in memory. Pages
 * count as held if they are declared so (by default all are), so that "a hole is never touched" can be
 * tested: a hole's bytes may be poisoned and must never appear.
 * @module
 */
import type { RamPort, RamSegment } from "./ram_port.ts";

const PAGE_BYTES = 4096;

/** In-memory RAM of one or several segments. */
export class SyntheticRam implements RamPort {
  readonly segments: readonly RamSegment[];
  readonly description = "synthetic RAM";
  readonly #views: readonly DataView<ArrayBuffer>[];
  readonly #holes = new Set<number>();
  /** Number of requests for a hole's presence; read by tests. */
  asked = 0;
  /** Set by a test: {@linkcode verify} throws it. */
  broken: Error | undefined;

  /**
   * RAM full of zeros.
   *
   * @param segments where RAM is; each is allocated here
   */
  constructor(segments: readonly { readonly gpa: number; readonly sizeBytes: number }[]) {
    this.segments = segments.map(({ gpa, sizeBytes }) => ({
      gpa,
      sizeBytes,
      mapped: { buffer: new ArrayBuffer(sizeBytes), byteOffset: 0 },
    }));
    this.#views = this.segments.map((s) => new DataView((s.mapped as { buffer: ArrayBuffer }).buffer));
  }

  /** Declares a page a hole (its bytes stay as they are, and must not be seen) or held again. */
  setHole(gpa: number, hole: boolean): void {
    if (hole) this.#holes.add(Math.floor(gpa / PAGE_BYTES));
    else this.#holes.delete(Math.floor(gpa / PAGE_BYTES));
  }

  /** Stores a u64 given as two halves. */
  put64(gpa: number, hi: number, lo: number): void {
    const [view, at] = this.#at(gpa);
    view.setUint32(at, lo, true);
    view.setUint32(at + 4, hi, true);
  }

  /** Stores a u64 given as a (signed) number. */
  putNumber(gpa: number, value: number): void {
    const hi = Math.floor(value / 2 ** 32);
    this.put64(gpa, hi, value - hi * 2 ** 32);
  }

  /** Stores a u32. */
  put32(gpa: number, value: number): void {
    const [view, at] = this.#at(gpa);
    view.setUint32(at, value, true);
  }

  /** Stores bytes, which must lie within one segment. */
  putBytes(gpa: number, bytes: Uint8Array): void {
    const [view, at] = this.#at(gpa);
    new Uint8Array(view.buffer, at, bytes.length).set(bytes);
  }

  /** The bytes at an address, as a view: what is written to it is in RAM. */
  bytes(gpa: number, length: number): Uint8Array<ArrayBuffer> {
    const [view, at] = this.#at(gpa);
    return new Uint8Array(view.buffer, at, length);
  }

  /** Stores UTF-8 text and a NUL. */
  putText(gpa: number, text: string): void {
    this.putBytes(gpa, new TextEncoder().encode(text + "\0"));
  }

  nextData(gpa: number, end: number): number {
    return this.#next(gpa, end, false);
  }

  nextHole(gpa: number, end: number): number {
    return this.#next(gpa, end, true);
  }

  fetch(_gpa: number, _into: Uint8Array<ArrayBuffer>): boolean {
    return false;
  }

  verify(): void {
    if (this.broken !== undefined) throw this.broken;
  }

  /** Nothing to do: the buffers are garbage-collected. */
  [Symbol.dispose](): void {}

  #next(gpa: number, end: number, hole: boolean): number {
    this.asked++;
    if (this.#holes.size === 0) return hole ? end : Math.min(gpa, end);
    for (let at = gpa; at < end; at = (Math.floor(at / PAGE_BYTES) + 1) * PAGE_BYTES) {
      if (this.#holes.has(Math.floor(at / PAGE_BYTES)) === hole) return at;
    }
    return end;
  }

  #at(gpa: number): [DataView<ArrayBuffer>, number] {
    const i = this.segments.findIndex((s) => gpa >= s.gpa && gpa < s.gpa + s.sizeBytes);
    const segment = this.segments[i];
    const view = this.#views[i];
    if (segment === undefined || view === undefined) throw new RangeError(`no synthetic RAM at ${gpa}`);
    return [view, gpa - segment.gpa];
  }
}
