/**
 * A received event as named fields, for `watch --json`, `record` and other output: the header's fields, the
 * inline fields, and the body: a CBOR map's entries are merged in, memory segments are listed, and for
 * anything else the size is given.
 * @module
 */
import { decodeBounded, EVENT_CBOR } from "../event/bounded_cbor.ts";
import { hexOfBytes } from "../base/hex.ts";
import { readU64 } from "../base/layout.ts";
import { messageOf } from "../base/fault.ts";
import { type Described, describeInline } from "../event/describe.ts";
import {
  MIGRATION_WAY_NAMES,
  ROSTER_STATE_NAMES,
  SNAPSHOT_OP_NAMES,
  SNAPSHOT_STATE_NAMES,
  VM_DETAIL_NAMES,
  VM_STATE_NAMES,
} from "../event/body_number.ts";
import { KIND } from "../event/kind.ts";
import { BODY } from "../event/transfer_event.ts";
import type { ClientEvent } from "./client_event.ts";

/** Size of one memory segment (src/event/PROTOCOL.md, "memseg"), bytes. */
export const MEMSEG_BYTES = 32;

const MAX_DEPTH = 8;
const MAX_RAW_BYTES = 64;

/** One run of guest memory in one of the descriptors of a MEMCTX. */
export interface MemorySegment {
  /** Guest-physical address of its first byte. */
  readonly gpa: number;
  /** Its offset in the file. */
  readonly fileOffset: number;
  /** Its size, bytes. */
  readonly bytes: number;
  /** Index of the event's descriptor. */
  readonly fdIndex: number;
}

/** The segments in the raw body of a MEMCTX. */
export function memorySegments(event: ClientEvent): MemorySegment[] {
  const view = new DataView(event.body.buffer, event.body.byteOffset, event.body.byteLength);
  const segments: MemorySegment[] = [];
  for (let at = 0; at + MEMSEG_BYTES <= view.byteLength; at += MEMSEG_BYTES) {
    segments.push({
      gpa: readU64(view, at),
      fileOffset: readU64(view, at + 8),
      bytes: readU64(view, at + 16),
      fdIndex: view.getUint32(at + 24, true),
    });
  }
  return segments;
}

/** The fields of an event's inline zone and body, by name in camelCase. */
export function describeBody(event: ClientEvent): Record<string, Described> {
  const fields = describeInline(event.kind, event.inline);
  if (event.body.length === 0) return fields;
  if (event.bodyFormat === BODY.CBOR) return { ...fields, ...describeCbor(event.body) };
  if (event.kind === KIND.MEMCTX) {
    const segments = memorySegments(event).map(({ gpa, fileOffset, bytes, fdIndex }) => ({
      gpa: "0x" + gpa.toString(16),
      fileOffset,
      bytes,
      fdIndex,
    }));
    return { ...fields, segments };
  }
  const short = event.body.subarray(0, MAX_RAW_BYTES);
  return { ...fields, bodyBytes: event.body.length, body: hexOfBytes(short) };
}

/** A whole event: the header's fields, then the body's. Printed by `watch --json`. */
export function describeEvent(event: ClientEvent): Record<string, Described> {
  return {
    kind: event.kindName,
    source: event.sourceName,
    prio: event.prioName,
    endpoint: event.endpoint,
    seq: event.seq,
    corr: event.corr,
    tsNs: event.tsNs,
    ...withoutHeaderNames(describeBody(event)),
    ...namesOf(event),
    ...(event.fdCount > 0 ? { fds: event.fdCount } : {}),
  };
}

// Body fields with the name of a header field get a prefix (an AUDIT has a kind and an endpoint of its own, a
// cursor a seq).
const HEADER_NAMES: ReadonlySet<string> = new Set([
  "kind",
  "source",
  "prio",
  "endpoint",
  "seq",
  "corr",
  "tsNs",
]);

function withoutHeaderNames(fields: Record<string, Described>): Record<string, Described> {
  const out: Record<string, Described> = {};
  for (const name in fields) {
    const key = HEADER_NAMES.has(name) ? `body${name.charAt(0).toUpperCase()}${name.slice(1)}` : name;
    out[key] = fields[name] as Described;
  }
  return out;
}

// The names of numbers, in addition to the numbers.
function namesOf(event: ClientEvent): Record<string, string> {
  const vm = event.as("VM_LIFECYCLE");
  if (vm !== undefined) {
    return { stateName: VM_STATE_NAMES[vm.state] ?? "", detailName: VM_DETAIL_NAMES[vm.detail] ?? "" };
  }
  const snapshot = event.as("SNAPSHOT");
  if (snapshot !== undefined) {
    return {
      opName: SNAPSHOT_OP_NAMES[snapshot.op] ?? "",
      stateName: SNAPSHOT_STATE_NAMES[snapshot.state] ?? "",
    };
  }
  const migration = event.as("MIGRATION");
  if (migration !== undefined) return { wayName: MIGRATION_WAY_NAMES[migration.way] ?? "" };
  const roster = event.as("ROSTER");
  if (roster !== undefined) return { stateName: ROSTER_STATE_NAMES[roster.state] ?? "" };
  return {};
}

function describeCbor(body: Uint8Array): Record<string, Described> {
  try {
    const value = plain(decodeBounded(body, EVENT_CBOR), 0);
    if (typeof value === "object" && !Array.isArray(value)) return value as Record<string, Described>;
    return { body: value };
  } catch (error) {
    return { bodyBytes: body.length, bodyError: messageOf(error) };
  }
}

function plain(value: unknown, depth: number): Described {
  if (depth > MAX_DEPTH) return "…";
  switch (typeof value) {
    case "number":
      return Number.isFinite(value) ? value : String(value);
    case "string":
    case "boolean":
      return value;
    case "bigint":
      return "0x" + value.toString(16);
    case "object": {
      if (value === null) return "null";
      if (value instanceof Uint8Array) return hexOfBytes(value);
      if (Array.isArray(value)) return value.map((item) => plain(item, depth + 1));
      const out: Record<string, Described> = {};
      for (const [key, item] of Object.entries(value)) out[key] = plain(item, depth + 1);
      return out;
    }
    default:
      return String(value);
  }
}
