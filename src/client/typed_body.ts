/**
 * Inline bodies with types: the layout tables of `event/body_layout.ts` as TypeScript types, and one reader for all. 64-bit fields are doubles,
 * guest virtual addresses signed as `base/ids.ts` says; text is a string; other raw zones are bytes.
 * @module
 */
import { type Field, type Fields, readS64, readScalar, type Scalar } from "../base/layout.ts";
import * as table from "../event/body_layout.ts";
import { readText } from "../event/inline_text.ts";

/** The kinds that have inline fields, with their layouts. */
export const TYPED_LAYOUTS = {
  SEAM_UP: table.SEAM,
  SEAM_DOWN: table.SEAM,
  ERROR: table.ERROR,
  CURSOR_STATE: table.CURSOR,
  ACT_ACK: table.ACT_ACK,
  VM_LIFECYCLE: table.VM_STATE,
  LEASE_GRANTED: table.LEASE_GRANTED,
  LEASE_DENIED: table.LEASE,
  LEASE_RELEASED: table.LEASE,
  LEASE_REVOKED: table.LEASE,
  LEASE_STATUS: table.LEASE_STATUS,
  INPUT_HELD: table.INPUT_HELD,
  CMD_INPUT: table.INPUT,
  CMD_LIFECYCLE: table.OPERATION,
  CMD_VM: table.OPERATION,
  CMD_ACQUIRE: table.ACQUIRE,
  CMD_RELEASE: table.LEASE,
  CMD_LEASE_STATUS: table.LEASE,
  CMD_MEMWRITE: table.MEMWRITE,
  MEMCTX: table.MEMCTX,
  MEMCTX_INVALIDATED: table.MEMCTX_INVALIDATED,
  ROSTER: table.ROSTER,
  FRAME_INFO: table.FRAME_INFO,
  VGPU_STATUS: table.VGPU_STATUS,
  FRAME_RING: table.FRAME_RING,
  OVERRUN: table.OVERRUN,
} as const;

/** A kind with inline fields. */
export type TypedKind = keyof typeof TYPED_LAYOUTS;

/** A field's type: numbers, text for names and texts, else bytes. */
export type ValueOf<Name, F> = F extends readonly [number, Scalar, ...unknown[]] ? number
  : Name extends "name" | "text" ? string
  : Uint8Array<ArrayBuffer>;

/** The inline fields of a kind by name. */
export type BodyOf<K extends TypedKind> = {
  readonly [N in keyof (typeof TYPED_LAYOUTS)[K]["fields"]]: ValueOf<
    N,
    (typeof TYPED_LAYOUTS)[K]["fields"][N]
  >;
};

/**
 * Reads the inline zone of an event.
 *
 * @param name the kind
 * @param view over its 48 bytes
 */
export function readBody<K extends TypedKind>(name: K, view: DataView<ArrayBuffer>): BodyOf<K> {
  const out: Record<string, unknown> = {};
  const fields: Fields = TYPED_LAYOUTS[name].fields;
  for (const field in fields) out[field] = readField(field, fields[field] as Field, view);
  return out as BodyOf<K>;
}

function readField(name: string, field: Field, view: DataView<ArrayBuffer>): unknown {
  const [offset, type, count = 1] = field;
  if (type === "bytes") {
    const bytes = new Uint8Array(view.buffer, view.byteOffset + offset, count);
    return name === "name" || name === "text" ? readText(bytes, 0, count) : bytes;
  }
  return type === "u64" && name === "gva" ? readS64(view, offset) : readScalar(view, offset, type);
}
