/**
 * Typed inline bodies: the catalogue's layouts of each kind as TypeScript types, and one reader for all.
 * 64-bit fields are doubles, guest virtual addresses are signed as described in `base/ids.ts`; text is a
 * string; other raw zones are bytes.
 * @module
 */
import { type Field, type Fields, readS64, readScalar, type Scalar } from "../base/layout.ts";
import { CATALOGUE, type KindName, type RowOf } from "../event/catalogue.ts";
import { isTextField, readText, type TextField } from "../event/inline_text.ts";

/** A kind with inline fields. */
export type TypedKind = {
  [N in KindName]: RowOf<N>["inline"] extends null ? never : N;
}[KindName];

/** The layout of a kind's inline fields. */
export type LayoutOf<K extends TypedKind> = Exclude<RowOf<K>["inline"], null>;

/** A field's type: a number, text for names and texts, otherwise bytes. */
export type ValueOf<Name, F> = F extends readonly [number, Scalar, ...unknown[]] ? number
  : Name extends TextField ? string
  : Uint8Array<ArrayBuffer>;

/** The inline fields of a kind by name. */
export type BodyOf<K extends TypedKind> = {
  readonly [N in keyof LayoutOf<K>["fields"]]: ValueOf<N, LayoutOf<K>["fields"][N]>;
};

/**
 * Reads the inline zone of an event.
 *
 * @param name the kind
 * @param view over its 48 bytes
 */
export function readBody<K extends TypedKind>(name: K, view: DataView<ArrayBuffer>): BodyOf<K> {
  const out: Record<string, unknown> = {};
  const fields: Fields = CATALOGUE[name].inline.fields;
  for (const field in fields) out[field] = readField(field, fields[field] as Field, view);
  return out as BodyOf<K>;
}

function readField(name: string, field: Field, view: DataView<ArrayBuffer>): unknown {
  const [offset, type, count = 1] = field;
  if (type === "bytes") {
    const bytes = new Uint8Array(view.buffer, view.byteOffset + offset, count);
    return isTextField(name) ? readText(bytes, 0, count) : bytes;
  }
  return type === "u64" && name === "gva" ? readS64(view, offset) : readScalar(view, offset, type);
}
