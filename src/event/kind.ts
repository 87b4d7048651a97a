/**
 * Kinds by name and by number, made from the catalogue: the numbers as constants, and tables indexed by kind,
 * because the core looks them up for every event.
 * @module
 */
import { KIND_MAX, type KindName, type RowOf, ROWS } from "./catalogue.ts";

export { KIND_MAX, type KindName } from "./catalogue.ts";
export { RETIRED_KINDS } from "./kind_row.ts";

/** Kind by name, as numbers travel. NONE is not a kind: an event that has none yet. */
export const KIND: { readonly [N in KindName]: RowOf<N>["number"] } & { readonly NONE: 0 } = numbers();

/** A kind's number. */
export type Kind = RowOf<KindName>["number"] | 0;

function numbers(): { readonly [N in KindName]: RowOf<N>["number"] } & { readonly NONE: 0 } {
  const kinds: Record<string, number> = { NONE: 0 };
  for (const [name, row] of ROWS) kinds[name] = row.number;
  // Copied: V8 keeps an object that was filled by computed keys as a hash table, and looks each constant up.
  return { ...kinds } as { readonly [N in KindName]: RowOf<N>["number"] } & { readonly NONE: 0 };
}

/** What a kind's number means for a table indexed by kind. */
export const CLASS = { UNKNOWN: 0, UP: 1, DOWN: 2, HANDSHAKE: 3, LOCAL: 4 } as const;

const CLASS_OF_WAY = {
  up: CLASS.UP,
  down: CLASS.DOWN,
  handshake: CLASS.HANDSHAKE,
  local: CLASS.LOCAL,
} as const;
const NAME_OF: (string | undefined)[] = new Array(KIND_MAX).fill(undefined);
NAME_OF[KIND.NONE] = "NONE";

/**
 * Kind number to one of {@linkcode CLASS}: which way it may travel. NONE and numbers without a kind are
 * UNKNOWN.
 */
export const KIND_CLASS: Uint8Array = new Uint8Array(KIND_MAX);
for (const [name, row] of ROWS) {
  NAME_OF[row.number] = name;
  KIND_CLASS[row.number] = CLASS_OF_WAY[row.way];
}

/** Which way a kind may travel; UNKNOWN for any number that is not a kind. */
export function kindClass(kind: number): number {
  return kind < KIND_MAX ? KIND_CLASS[kind] ?? CLASS.UNKNOWN : CLASS.UNKNOWN;
}

/** The name of a kind number, `kind-N` for one that has none. */
export function kindName(kind: number): string {
  return NAME_OF[kind] ?? `kind-${kind}`;
}

/** The number of a kind by its name, in any case; undefined for an unknown one. */
export function kindByName(name: string): Kind | undefined {
  const key = name.toUpperCase().replaceAll("-", "_");
  return Object.hasOwn(KIND, key) ? KIND[key as keyof typeof KIND] : undefined;
}
