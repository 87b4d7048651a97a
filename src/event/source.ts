/**
 * Sources: the logical seam an event crosses. Roles, not drivers: used for routing, for a default priority
 * and for the subscription filter, never to interpret a body.
 * @module
 */

/** Source by name, as numbers travel. */
export const SOURCE = {
  NONE: 0,
  FRAME: 1,
  INPUT: 2,
  CONTROL: 3,
  CORE: 4,
  VMHOST: 5,
  MEMCTX: 6,
  CONSOLE: 7,
  AGENT: 8,
} as const;

/** A source's name. */
export type SourceName = keyof typeof SOURCE;
/** A source's number. */
export type Source = (typeof SOURCE)[SourceName];

/** One past the largest source: the numbers have no gap. */
export const SOURCE_MAX: number = Object.keys(SOURCE).length;
/** The mask with every source's bit. */
export const ALL_SOURCES: number = (1 << SOURCE_MAX) - 1;

const NAMES = Object.keys(SOURCE) as SourceName[];

/** The name of a source number, `source-N` for one that has none. */
export function sourceName(source: number): string {
  return NAMES[source] ?? `source-${source}`;
}

/** The names of the sources whose bits (1 << source) are in a mask. */
export function sourceNamesOf(mask: number): string[] {
  return Array.from({ length: 31 }, (_, source) => source)
    .filter((source) => ((mask >>> source) & 1) === 1).map(sourceName);
}

/** The number of a source by its name, in any case; undefined for an unknown one. */
export function sourceByName(name: string): Source | undefined {
  return SOURCE[name.toUpperCase() as SourceName];
}
