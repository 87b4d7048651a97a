/**
 * Reads D-Bus values out of a message (D-Bus specification, "Marshaling"), in either order of bytes. Every
 * length is checked against what is there before anything is taken; what can be nested is bounded; the number
 * of values that one message can make is bounded by {@linkcode MAX_VALUES}.
 * @module
 */
import { assert } from "../base/assert.ts";
import { Fault } from "../base/fault.ts";
import { checkSignature, endOfType } from "./signature.ts";

/** A value as WireReader.value gives it; 64-bit numbers are doubles, an array of bytes its bytes. */
export type DBusValue =
  | number
  | boolean
  | string
  | Uint8Array<ArrayBuffer>
  | readonly DBusValue[]
  | ReadonlyMap<string | number | boolean, DBusValue>;

/** Values in one message: QEMU's longest has some dozens. */
export const MAX_VALUES = 4096;
/** Variants within variants. */
const MAX_VARIANTS = 16;
const DECODER = new TextDecoder("utf-8", { fatal: true });
const ALIGNMENT: Readonly<Record<string, number>> = {
  ...{ y: 1, g: 1, v: 1, n: 2, q: 2 },
  ...{ b: 4, i: 4, u: 4, s: 4, o: 4, h: 4, a: 4 },
  ...{ x: 8, t: 8, d: 8, "(": 8, "{": 8 },
};

/** A place in a message. */
export class WireReader {
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #view: DataView<ArrayBuffer>;
  readonly #isLittle: boolean;
  readonly #end: number;
  #at: number;
  #valuesLeft = MAX_VALUES;
  #variants = 0;

  /**
   * Begins to read.
   *
   * @param bytes where the values are; alignment counts from its beginning
   * @param from the first byte
   * @param to behind the last one
   */
  constructor(bytes: Uint8Array<ArrayBuffer>, isLittle: boolean, from: number, to: number) {
    assert(from >= 0 && from <= to && to <= bytes.length, "what is read lies in its bytes");
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#isLittle = isLittle;
    this.#at = from;
    this.#end = to;
  }

  /** Where it is. */
  get position(): number {
    return this.#at;
  }

  /** Skips to a multiple; the bytes between have to be zero. */
  align(multiple: number): void {
    const next = Math.ceil(this.#at / multiple) * multiple;
    if (next > this.#end) throw wrong("it ends within a value");
    for (; this.#at < next; this.#at++) if (this.#bytes[this.#at] !== 0) throw wrong("padding is not zero");
  }

  /** A byte. */
  u8(): number {
    return this.#bytes[this.#take(1, 1)] as number;
  }

  /** A u32. */
  u32(): number {
    return this.#view.getUint32(this.#take(4, 4), this.#isLittle);
  }

  /** An i32. */
  i32(): number {
    return this.#view.getInt32(this.#take(4, 4), this.#isLittle);
  }

  /** A text or a path. */
  text(): string {
    return this.#text(this.u32());
  }

  /** A signature, checked. */
  signature(): string {
    const signature = this.#text(this.u8());
    checkSignature(signature);
    return signature;
  }

  /**
   * A value of one complete type.
   *
   * @param signature checked
   * @param at where in it the type begins
   */
  value(signature: string, at = 0): DBusValue {
    if (this.#valuesLeft-- <= 0) throw wrong("it has too many values");
    switch (signature.charAt(at)) {
      case "y":
        return this.u8();
      case "b":
        return this.#boolean();
      case "n":
        return this.#view.getInt16(this.#take(2, 2), this.#isLittle);
      case "q":
        return this.#view.getUint16(this.#take(2, 2), this.#isLittle);
      case "i":
        return this.i32();
      case "u":
      case "h":
        return this.u32();
      case "x":
        return Number(this.#view.getBigInt64(this.#take(8, 8), this.#isLittle));
      case "t":
        return Number(this.#view.getBigUint64(this.#take(8, 8), this.#isLittle));
      case "d":
        return this.#view.getFloat64(this.#take(8, 8), this.#isLittle);
      case "s":
      case "o":
        return this.text();
      case "g":
        return this.signature();
      case "v":
        return this.#variant();
      case "a":
        return this.#array(signature, at + 1);
      default:
        assert(signature.charAt(at) === "(", "a checked signature has no other type");
        return this.#structure(signature, at + 1);
    }
  }

  /**
   * The beginning of an array: where its bytes end.
   *
   * @param alignment of its elements
   */
  arrayEnd(alignment: number): number {
    const length = this.u32();
    this.align(alignment);
    if (length > this.#end - this.#at) throw wrong("an array is longer than its message");
    return this.#at + length;
  }

  #array(signature: string, at: number): DBusValue {
    const element = signature.charAt(at);
    const end = this.arrayEnd(ALIGNMENT[element] ?? 1);
    if (element === "y") return this.#bytes.slice(this.#at, this.#at = end);
    const isDictionary = element === "{";
    const map = new Map<string | number | boolean, DBusValue>();
    const list: DBusValue[] = [];
    while (this.#at < end) {
      if (isDictionary) this.#entry(signature, at, map);
      else list.push(this.value(signature, at));
    }
    if (this.#at !== end) throw wrong("an array ends within an element");
    return isDictionary ? map : list;
  }

  #entry(signature: string, at: number, into: Map<string | number | boolean, DBusValue>): void {
    this.align(8);
    // A key is a basic type: one character, and never an array.
    const key = this.value(signature, at + 1) as string | number | boolean;
    into.set(key, this.value(signature, at + 2));
  }

  #structure(signature: string, at: number): DBusValue[] {
    this.align(8);
    const fields: DBusValue[] = [];
    for (let next = at; signature.charAt(next) !== ")"; next = endOfType(signature, next)) {
      fields.push(this.value(signature, next));
    }
    return fields;
  }

  #variant(): DBusValue {
    const signature = this.signature();
    if (signature === "" || endOfType(signature, 0) !== signature.length) {
      throw wrong("a variant does not have one type");
    }
    if (++this.#variants > MAX_VARIANTS) throw wrong("variants are nested too deeply");
    const value = this.value(signature);
    this.#variants--;
    return value;
  }

  #boolean(): boolean {
    const value = this.u32();
    if (value > 1) throw wrong("a boolean is neither true nor false");
    return value === 1;
  }

  #text(length: number): string {
    const at = this.#take(1, length + 1);
    const bytes = this.#bytes.subarray(at, at + length);
    if (this.#bytes[at + length] !== 0 || bytes.includes(0)) throw wrong("a text does not end with its zero");
    try {
      return DECODER.decode(bytes);
    } catch {
      throw wrong("a text is not UTF-8");
    }
  }

  /** Where the next value is; it is behind that from now on. */
  #take(alignment: number, length: number): number {
    this.align(alignment);
    if (length > this.#end - this.#at) throw wrong("it ends within a value");
    const at = this.#at;
    this.#at += length;
    return at;
  }
}

function wrong(why: string): Fault {
  return new Fault("protocol-error", `Cannot read a D-Bus message: ${why}`);
}
