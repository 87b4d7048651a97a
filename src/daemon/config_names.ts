/**
 * Names that occur in several tables of the config: endpoints and sources.
 * @module
 */
import { MAX_NAME_BYTES } from "../base/limits.ts";
import { SOURCE, type Source, sourceByName } from "../event/source.ts";
import type { TableReader } from "../toml/table_reader.ts";

/** What is wrong with an endpoint's name; undefined if it is valid. */
export function nameDefect(name: string): string | undefined {
  if (new TextEncoder().encode(name).length > MAX_NAME_BYTES) {
    return `is longer than the ${MAX_NAME_BYTES} bytes that a name may have`;
  }
  // A name of digits would be read as a number; `pid:N` and `file:PATH` have a meaning to `vmsig mem`.
  if (/^[0-9]+$/.test(name)) return `is ${name}, and a name of digits alone would be taken for a number`;
  if (!/^[\p{L}\p{N}_][\p{L}\p{N}_.+@-]*$/u.test(name)) {
    return `is ${JSON.stringify(name)}, and may have letters, digits and _ . + @ - only`;
  }
  return undefined;
}

/**
 * The number of a source with a given name.
 *
 * @param key the key whose value the name is
 * @throws {Fault} `bad-argument` with file, line and key
 */
export function sourceOf(table: TableReader, key: string, name: string): Source {
  const source = sourceByName(name);
  if (source === undefined || source === SOURCE.NONE) {
    const known = Object.keys(SOURCE).filter((each) => each !== "NONE").join(", ").toLowerCase();
    throw table.fault(key, `has ${name}, and must be of ${known}`);
  }
  return source;
}
