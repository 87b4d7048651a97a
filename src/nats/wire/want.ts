/**
 * A reader's want for a host's events: the reader repeats it, and once it has expired the host sends no more
 * events for it.
 * @module
 */
import { ALL_SOURCES, sourceByName, sourceNamesOf } from "../../event/source.ts";
import { countField, readJson, textField, writeJson } from "./json_body.ts";
import { isSession } from "./subjects.ts";

/** How long our readers' wants are valid, ms. */
export const WANT_TTL_MS = 30_000;
/** Interval at which they are repeated, ms. */
export const WANT_AGAIN_MS = 10_000;
const MOST_TTL_MS = 120_000;
const MOST_BYTES = 2048;
const MOST_NAMES = 32;

/** A want. */
export interface Want {
  /** The reader's id, since a user may have many. */
  readonly reader: string;
  /** The wanted sources, bit 1 << source; 0 = none. */
  readonly sources: number;
  /** How long it is valid, ms. */
  readonly ttlMs: number;
}

/** A want as bytes. */
export function writeWant({ reader, sources, ttlMs }: Want): Uint8Array<ArrayBuffer> {
  return writeJson({ v: 1, reader, sources: sourceNamesOf(sources), ttlMs });
}

/** Parses a want; undefined if it is not valid. Unknown sources, from a newer vmsig, are ignored. */
export function readWant(bytes: Uint8Array): Want | undefined {
  const map = readJson(bytes, MOST_BYTES);
  const reader = map === undefined ? undefined : textField(map, "reader", 40);
  const names = map?.["sources"];
  if (map === undefined || reader === undefined || !isSession(reader)) return undefined;
  if (!Array.isArray(names) || names.length > MOST_NAMES) return undefined;
  let sources = 0;
  for (const name of names) {
    const source = typeof name === "string" ? sourceByName(name) : undefined;
    if (source !== undefined) sources |= 1 << source;
  }
  return {
    reader,
    sources: sources & ALL_SOURCES,
    ttlMs: countField(map, "ttlMs", MOST_TTL_MS) ?? WANT_TTL_MS,
  };
}
