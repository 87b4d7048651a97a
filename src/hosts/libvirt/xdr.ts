/**
 * XDR (RFC 4506), as far as libvirt's calls need it: big-endian words, texts and bytes padded to four.
 * @module
 */
import { GrowingBytes } from "../../base/growing_bytes.ts";

/** Thrown by {@linkcode XdrReader} for data that is not what it should be: the peer is not libvirt. */
export class XdrError extends Error {
  /** The class, as for every error. */
  override name = "XdrError";
}

/** Texts are at most so long: libvirt's own bound of a text. */
export const MAX_XDR_TEXT: number = 4 << 20;

const ENCODER = new TextEncoder();
const DECODER = new TextDecoder();

/** Puts values behind one another. */
export class XdrWriter {
  readonly #out = new GrowingBytes();

  /** A 32-bit word, signed or not. */
  u32(value: number): this {
    this.#out.u32(value, false);
    return this;
  }

  /** A text. */
  text(value: string): this {
    return this.opaque(ENCODER.encode(value));
  }

  /** A text that may be absent. */
  optionalText(value: string | undefined): this {
    return value === undefined ? this.u32(0) : this.u32(1).text(value);
  }

  /** A text that is there as bytes. */
  opaque(bytes: Uint8Array): this {
    return this.u32(bytes.length).fixed(bytes);
  }

  /** Bytes whose number both sides know. */
  fixed(bytes: Uint8Array): this {
    this.#out.append(bytes);
    this.#out.zeros((4 - bytes.length % 4) % 4);
    return this;
  }

  /** All of it; it may be written on. */
  bytes(): Uint8Array<ArrayBuffer> {
    return this.#out.copy();
  }
}

/** Takes values off, each checked against what is left. */
export class XdrReader {
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  #at = 0;

  /** Begins at the first byte. */
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** A 32-bit word. */
  u32(): number {
    return this.#view.getUint32(this.#skip(4));
  }

  /** The same, signed. */
  i32(): number {
    return this.#view.getInt32(this.#skip(4));
  }

  /** A 64-bit number, as far as a double holds it. */
  i64(): number {
    const at = this.#skip(8);
    return this.#view.getInt32(at) * 2 ** 32 + this.#view.getUint32(at + 4);
  }

  /** A text. */
  text(): string {
    return DECODER.decode(this.opaque());
  }

  /** A text as bytes; a view. */
  opaque(): Uint8Array {
    const length = this.u32();
    if (length > MAX_XDR_TEXT) throw new XdrError("a text is too long");
    return this.fixed(length);
  }

  /** A text that may be absent. */
  optionalText(): string | undefined {
    return this.flag() ? this.text() : undefined;
  }

  /** Whether something optional follows. */
  flag(): boolean {
    const word = this.u32();
    if (word > 1) throw new XdrError("a flag is neither 0 nor 1");
    return word === 1;
  }

  /** Bytes whose number both sides know; a view. */
  fixed(length: number): Uint8Array {
    const at = this.#skip(length);
    const bytes = this.#bytes.subarray(at, at + length);
    this.#skip((4 - length % 4) % 4);
    return bytes;
  }

  #skip(length: number): number {
    const at = this.#at;
    if (length > this.#bytes.length - at) throw new XdrError("it ends too early");
    this.#at = at + length;
    return at;
  }
}
