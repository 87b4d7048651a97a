/**
 * Writes D-Bus values (D-Bus specification, "Marshaling"), little endian: what vmsig says to QEMU, which is
 * little.
 * @module
 */
import { assert } from "../base/assert.ts";
import { checkSignature } from "./signature.ts";

const FIRST_BYTES = 256;

/** A message, or a part of one, that grows; alignment counts from its beginning. */
export class WireWriter {
  #bytes = new Uint8Array(FIRST_BYTES);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  /** Bytes written. */
  get length(): number {
    return this.#length;
  }

  /** What was written. */
  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#length);
  }

  /** Zeros up to a multiple. */
  align(multiple: number): this {
    const next = Math.ceil(this.#length / multiple) * multiple;
    this.#room(next - this.#length);
    this.#bytes.fill(0, this.#length, next);
    this.#length = next;
    return this;
  }

  /** A byte. */
  u8(value: number): this {
    // First the room, here and below: making it may exchange the bytes and the view.
    const at = this.#room(1);
    this.#bytes[at] = value;
    this.#length += 1;
    return this;
  }

  /** A u32. */
  u32(value: number): this {
    this.align(4);
    const at = this.#room(4);
    this.#view.setUint32(at, value, true);
    this.#length += 4;
    return this;
  }

  /** A text or a path. */
  text(value: string): this {
    const bytes = new TextEncoder().encode(value);
    assert(!bytes.includes(0), "a text on D-Bus has no zero");
    return this.u32(bytes.length).raw(bytes).u8(0);
  }

  /** A signature. */
  signature(value: string): this {
    checkSignature(value);
    const bytes = new TextEncoder().encode(value);
    return this.u8(bytes.length).raw(bytes).u8(0);
  }

  /** Bytes as they are. */
  raw(bytes: Uint8Array): this {
    const at = this.#room(bytes.length);
    this.#bytes.set(bytes, at);
    this.#length += bytes.length;
    return this;
  }

  /**
   * An array.
   *
   * @param alignment of its elements
   * @param elements writes them
   */
  array(alignment: number, elements: () => void): this {
    this.u32(0);
    const lengthAt = this.#length - 4;
    this.align(alignment);
    const from = this.#length;
    elements();
    this.#view.setUint32(lengthAt, this.#length - from, true);
    return this;
  }

  /** Makes room; where it is. */
  #room(length: number): number {
    const needed = this.#length + length;
    if (needed > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(needed, 2 * this.#bytes.length));
      larger.set(this.#bytes.subarray(0, this.#length));
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    return this.#length;
  }
}
