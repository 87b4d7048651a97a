/**
 * Writes D-Bus values (D-Bus specification, "Marshaling"), little endian: what vmsig says to QEMU, which is
 * little.
 * @module
 */
import { assert } from "../base/assert.ts";
import { GrowingBytes } from "../base/growing_bytes.ts";
import { checkSignature } from "./signature.ts";

/** A message, or a part of one, that grows; alignment counts from its beginning. */
export class WireWriter {
  readonly #out = new GrowingBytes();

  /** Bytes written. */
  get length(): number {
    return this.#out.length;
  }

  /** What was written. */
  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#out.copy();
  }

  /** Zeros up to a multiple. */
  align(multiple: number): this {
    this.#out.zeros(Math.ceil(this.length / multiple) * multiple - this.length);
    return this;
  }

  /** A byte. */
  u8(value: number): this {
    this.#out.u8(value);
    return this;
  }

  /** A u32. */
  u32(value: number): this {
    this.align(4);
    this.#out.u32(value, true);
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
    this.#out.append(bytes);
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
    const lengthAt = this.length - 4;
    this.align(alignment);
    const from = this.length;
    elements();
    this.#out.setU32(lengthAt, this.length - from, true);
    return this;
  }
}
