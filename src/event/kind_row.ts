/**
 * What a row of the catalogue is made of. Types, and the few shapes that most rows share.
 * @module
 */
import type { InlineLayout } from "./body_layout.ts";
import type { LeaseClass } from "./body_number.ts";
import type { Prio } from "./priority.ts";
import type { Source } from "./source.ts";

/**
 * Which way a kind travels. `handshake`: between a socket and the daemon, never on the bus. `local`: not at
 * all; a client library tells its own program.
 */
export type Way = "up" | "down" | "handshake" | "local";
/** What a kind's body may be. `raw-or-none`: records, or bytes, that did not fit the inline zone. */
export type BodyRule = "none" | "raw" | "raw-or-none" | "cbor";
/** What a command needs: any one of these capabilities, and, where there is one, a lease of this class. */
export interface Need {
  /** Capabilities of which one must be granted. */
  readonly caps: number;
  /** The class of lease that it must be sent under; null = none. */
  readonly lease: LeaseClass | null;
}
/**
 * What it takes to receive (`up`) or to send (`down`) a kind.
 * - `addressed`: an answer to one control's own command, which needs nothing but to be that control.
 * - `operation`: by the number in the first word; an operation without a row does not exist.
 * - `lease-class`: the capability of the lease class in the first word, or one of `also`.
 * - `joined`: nothing; whoever is on the bus may send it.
 */
export type Needs =
  | { readonly by: "any"; readonly caps: number; readonly lease: LeaseClass | null }
  | { readonly by: "addressed" }
  | { readonly by: "operation"; readonly of: ReadonlyMap<number, Need> }
  | { readonly by: "lease-class"; readonly also: number }
  | { readonly by: "joined" }
  | { readonly by: "nobody" };

/** One kind. */
export interface KindRow {
  /** As it travels. */
  readonly number: number;
  /** Which way it travels. */
  readonly way: Way;
  /** The seam it crosses; NONE where several seams emit it and the emitter says which. */
  readonly source: Source;
  /** Its priority when nobody says another: broadcast, and as the answer to one control. */
  readonly prio: { readonly broadcast: Prio; readonly addressed: Prio };
  /** Its inline zone; null where it has no fields. */
  readonly inline: InlineLayout | null;
  /** Its body. */
  readonly body: BodyRule;
  /** Bytes of its body at most; 0 where it has none. */
  readonly bodyBytes: number;
  /** What it takes to receive or to send it. */
  readonly needs: Needs;
  /**
   * Its place, from 1, in what a late subscriber gets of each endpoint's newest events; 0 = it is not kept.
   */
  readonly retained: number;
  /**
   * The u32 field of its inline zone that separates several events of it that are kept of one endpoint, the
   * newest of each, {@linkcode MAX_KEPT_BY} at most. Left out: one is kept.
   */
  readonly retainedBy?: string;
  /** A control with PUBLISH may emit it. */
  readonly publishable: boolean;
  /**
   * Says nothing that the next one of its endpoint does not say as well: what waits is folded without being
   * told to.
   */
  readonly newestOnly: boolean;
  /** A command whose success is in the audit trail; refusals always are. */
  readonly audited: boolean;
  /**
   * File descriptors that it carries at most. One that a control publishes brings as many and no fewer; those
   * of a command are its adapter's to take or to leave.
   */
  readonly fds: number;
}

/** The same priority broadcast and addressed. */
export function same<const P extends Prio>(prio: P): { readonly broadcast: P; readonly addressed: P } {
  return { broadcast: prio, addressed: prio };
}

/** Any one of these capabilities, and a lease where there is a class. */
export function anyOf(caps: number, lease: LeaseClass | null = null): Needs {
  return { by: "any", caps, lease };
}

/** An answer to one control's own command. */
export const ADDRESSED: Needs = { by: "addressed" };
/** Whoever is on the bus may send it. */
export const JOINED: Needs = { by: "joined" };
/** Not for the bus. */
export const NOBODY: Needs = { by: "nobody" };
/** What most kinds are: nothing but an inline zone, for whoever watches. */
export const PLAIN = {
  body: "none",
  bodyBytes: 0,
  retained: 0,
  publishable: false,
  newestOnly: false,
  audited: false,
  fds: 0,
} as const;

/** How many events of one kind and endpoint are kept where a field separates them. */
export const MAX_KEPT_BY = 8;

/** Kinds are below this: tables of the loop are indexed by them. */
export const KIND_LIMIT = 1024;

/** Numbers that once were kinds (inclusive ranges): never to be used again. */
export const RETIRED_KINDS: readonly (readonly [from: number, to: number])[] = [
  [16, 19],
  [32, 36],
  [66, 69],
  [71, 72],
];
