/**
 * Selects events from those that the client receives. It only narrows what the subscription and the grant let
 * through.
 * @module
 */
import { Fault } from "../base/fault.ts";
import { kindByName, type KindName } from "../event/kind.ts";
import type { Prio } from "../event/priority.ts";
import { sourceByName, type SourceName } from "../event/source.ts";
import type { ClientEvent } from "./client_event.ts";

/** A filter; omitted properties do not restrict. */
export interface EventFilter {
  /** Kinds, by name (any case) or number. */
  readonly kinds?: readonly (KindName | Lowercase<KindName> | number)[];
  /** Sources, by name (any case) or number. */
  readonly sources?: readonly (SourceName | Lowercase<SourceName> | number)[];
  /** Endpoints, by number. */
  readonly endpoints?: readonly number[];
  /** The lowest priority class that is wanted. */
  readonly prioMin?: Prio;
  /** Any further condition. */
  readonly where?: (event: ClientEvent) => boolean;
}

/**
 * A filter as one function.
 *
 * @throws {Fault} `bad-argument` for a kind or source that does not exist
 */
export function matcherOf(filter: EventFilter): (event: ClientEvent) => boolean {
  const kinds = numbers(filter.kinds, kindByName, "kind");
  const sources = numbers(filter.sources, sourceByName, "source");
  const endpoints = filter.endpoints === undefined ? undefined : new Set(filter.endpoints);
  const { prioMin = 0, where } = filter;
  return (event) =>
    event.prio >= prioMin &&
    (kinds === undefined || kinds.has(event.kind)) &&
    (sources === undefined || sources.has(event.source)) &&
    (endpoints === undefined || endpoints.has(event.endpoint)) &&
    (where === undefined || where(event));
}

function numbers(
  wanted: readonly (string | number)[] | undefined,
  byName: (name: string) => number | undefined,
  what: string,
): Set<number> | undefined {
  if (wanted === undefined) return undefined;
  return new Set(wanted.map((item) => {
    const number = typeof item === "number" ? item : byName(item);
    if (number === undefined) {
      throw new Fault("bad-argument", `Cannot filter by ${what} ${item}: there is none of this name`);
    }
    return number;
  }));
}
