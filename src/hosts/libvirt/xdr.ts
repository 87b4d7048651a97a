/**
 * XDR (RFC 4506), as far as libvirt's calls need it: big-endian words, texts and bytes padded to four.
 * @module
 */
import { joinedBytes } from "../../base/joined_bytes.ts";

/** Thrown by {@linkcode XdrReader} for data that is not what it should be: the peer is not libvirt. */
export class XdrError extends Error {
  /** The class, as for every error. */
  override name = "XdrError";
}

/** Texts are at most so long: libvirt's own bound of a text. */
export const MAX_XDR_TEXT: number = 4 << 20;

/** Puts values behind one another. */
export class XdrWriter {
  readonly #parts: Uint8Array[] = [];
  readonly #encoder = new TextEncoder();

  /** A 32-bit word, signed or not. */
  u32(value: number): this {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setUint32(0, value);
    this.#parts.push(bytes);
    return this;
  }

  /** A text. */
  text(value: string): this {
    const bytes = this.#encoder.encode(value);
    return this.u32(bytes.length).fixed(bytes);
  }

  /** A text that may be absent. */
  optionalText(value: string | undefined): this {
    return value === undefined ? this.u32(0) : this.u32(1).text(value);
  }

  /** Bytes whose number both sides know. */
  fixed(bytes: Uint8Array): this {
    this.#parts.push(bytes, new Uint8Array((4 - bytes.length % 4) % 4));
    return this;
  }

  /** All of it. */
  bytes(): Uint8Array<ArrayBuffer> {
    return joinedBytes(this.#parts);
  }
}

/** Takes values off, each checked against what is left. */
export class XdrReader {
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  readonly #decoder = new TextDecoder();
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
    const length = this.u32();
    if (length > MAX_XDR_TEXT) throw new XdrError("a text is too long");
    return this.#decoder.decode(this.fixed(length));
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
