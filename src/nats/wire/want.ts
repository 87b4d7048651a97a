/**
 * What a reader wants of a host's events: it says so again and again, and a host that has not heard it for
 * the time that it named sends nothing for it any more.
 * @module
 */
import { ALL_SOURCES, sourceByName, sourceNamesOf } from "../../event/source.ts";
import { countField, readJson, textField, writeJson } from "./json_body.ts";
import { isSession } from "./subjects.ts";

/** How long a want holds, ms, as our readers say it. */
export const WANT_TTL_MS = 30_000;
/** How often they say it. */
export const WANT_AGAIN_MS = 10_000;
const MOST_TTL_MS = 120_000;
const MOST_BYTES = 2048;
const MOST_NAMES = 32;

/** A want. */
export interface Want {
  /** Which reader: one user may have many. */
  readonly reader: string;
  /** Which sources, bit 1 << source; 0 = nothing any more. */
  readonly sources: number;
  /** For how long, ms. */
  readonly ttlMs: number;
}

/** A want as bytes. */
export function writeWant({ reader, sources, ttlMs }: Want): Uint8Array<ArrayBuffer> {
  return writeJson({ v: 1, reader, sources: sourceNamesOf(sources), ttlMs });
}

/** The want that stands there; undefined when it is none. An unknown source is one of a newer vmsig. */
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
