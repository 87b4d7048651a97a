/**
 * Binary layouts as tables of offsets: one table a structure, its size asserted, so that
 * src/event/PROTOCOL.md and the code can be read side by side. Reading and writing go through a DataView,
 * little-endian.
 * @module
 */
import { assert } from "./assert.ts";

/** Scalar types of a field and how many bytes each takes. */
export const SCALAR_BYTES = { u8: 1, u16: 2, u32: 4, i32: 4, u64: 8, f64: 8 } as const;
/** A scalar type's name. */
export type Scalar = keyof typeof SCALAR_BYTES;
/** One field: its offset in bytes, its type, how many of it (default 1; `bytes` for raw zones). */
export type Field = readonly [offset: number, type: Scalar | "bytes", count?: number];
/** A structure's fields by name. */
export type Fields = Readonly<Record<string, Field>>;

/** A checked layout. */
export interface Layout<F extends Fields> {
  /** Bytes of the whole structure. */
  readonly sizeBytes: number;
  /** Its fields as they were declared. */
  readonly fields: F;
  /** Each field's offset. */
  readonly at: { readonly [K in keyof F]: number };
}

/**
 * Declares a layout and checks it: fields in order, none overlapping, naturally aligned, the whole as large
 * as told.
 *
 * @param sizeBytes the structure's size as the protocol gives it
 * @param fields name to offset, type and count
 * @returns the offsets by name
 */
export function layout<const F extends Fields>(
  sizeBytes: number,
  fields: F,
): Layout<F> {
  let end = 0;
  const at: Record<string, number> = {};
  for (const name in fields) {
    const [offset, type, count = 1] = fields[name] as Field;
    const bytes = type === "bytes" ? 1 : SCALAR_BYTES[type];
    assert(offset >= end, `field ${name} does not overlap the one before it`);
    assert(offset % bytes === 0, `field ${name} is naturally aligned`);
    end = offset + bytes * count;
    at[name] = offset;
  }
  assert(end <= sizeBytes, `the fields fit ${sizeBytes} bytes`);
  return { sizeBytes, fields, at: at as { readonly [K in keyof F]: number } };
}

const HIGH = 2 ** 32;

/** Reads a u64 as a double: exact below 2^53, the nearest double above. */
export function readU64(view: DataView, offset: number): number {
  return view.getUint32(offset + 4, true) * HIGH + view.getUint32(offset, true);
}

/** Writes a non-negative integer below 2^53 (or a negative one above -2^53, in two's complement) as a u64. */
export function writeU64(view: DataView, offset: number, value: number): void {
  const high = Math.floor(value / HIGH);
  view.setUint32(offset, value - high * HIGH, true);
  view.setUint32(offset + 4, high, true);
}

/** Reads a u64 as a signed double, as guest virtual addresses are held (`ids.ts`). */
export function readS64(view: DataView, offset: number): number {
  return view.getInt32(offset + 4, true) * HIGH + view.getUint32(offset, true);
}

/**
 * Reads a field's number; `u64` as a non-negative double. For people and programs outside the hot paths,
 * which know their fields.
 */
export function readScalar(view: DataView, offset: number, type: Scalar): number {
  switch (type) {
    case "u8":
      return view.getUint8(offset);
    case "u16":
      return view.getUint16(offset, true);
    case "u32":
      return view.getUint32(offset, true);
    case "i32":
      return view.getInt32(offset, true);
    case "u64":
      return readU64(view, offset);
    case "f64":
      return view.getFloat64(offset, true);
  }
}
