/**
 * What a kind has by default, made from the catalogue: the seam it belongs to and its priority. Tables
 * indexed by kind, because the core looks both up for every event.
 * @module
 */
import type { TransferEvent } from "./transfer_event.ts";
import { ROWS } from "./catalogue.ts";
import { type Kind, KIND_MAX } from "./kind.ts";
import { PRIO, type Prio } from "./priority.ts";
import { SOURCE, type Source } from "./source.ts";

export { DIR, type Dir } from "./direction.ts";

/** Kind to the seam it crosses; 0 where several seams emit it and the emitter says which. */
export const SOURCE_OF_KIND: Uint8Array = new Uint8Array(KIND_MAX);
/** The seam that a kind crosses; NONE where several seams emit it and the emitter says which. */
export function sourceOfKind(kind: number): Source {
  return (SOURCE_OF_KIND[kind] ?? SOURCE.NONE) as Source;
}
/** Kind to its default priority, when broadcast. */
const PRIO_BROADCAST: Uint8Array = new Uint8Array(KIND_MAX).fill(PRIO.NORMAL);
/** The same as the answer to one control. */
const PRIO_ADDRESSED: Uint8Array = new Uint8Array(KIND_MAX).fill(PRIO.NORMAL);
const NEWEST_ONLY: Uint8Array = new Uint8Array(KIND_MAX);
const AUDITED: Uint8Array = new Uint8Array(KIND_MAX);
/** Kind to the word of its inline zone that has its head; -1 where it has none. */
const HEAD_WORD: Int8Array = new Int8Array(KIND_MAX).fill(-1);

for (const [, row] of ROWS) {
  SOURCE_OF_KIND[row.number] = row.source;
  PRIO_BROADCAST[row.number] = row.prio.broadcast;
  PRIO_ADDRESSED[row.number] = row.prio.addressed;
  NEWEST_ONLY[row.number] = row.newestOnly ? 1 : 0;
  AUDITED[row.number] = row.audited ? 1 : 0;
  const head = row.inline?.fields["head"];
  if (head !== undefined) HEAD_WORD[row.number] = Math.floor(head[0] / 4);
}

/**
 * The default priority of an event.
 *
 * @param kind its kind
 * @param addressed whether it answers one control: an addressed VM_LIFECYCLE is an answer, not an alarm
 */
export function defaultPrio(kind: Kind, addressed: boolean): Prio {
  return ((addressed ? PRIO_ADDRESSED : PRIO_BROADCAST)[kind] ?? PRIO.NORMAL) as Prio;
}

/**
 * Whether an event of this kind says nothing that the next one of its endpoint does not say as well: the
 * context folds it without being told to.
 */
export function isNewestOnly(kind: Kind): boolean {
  return NEWEST_ONLY[kind] === 1;
}

/** Whether the success of a command of this kind is in the audit trail; its refusal always is. */
export function isAuditedKind(kind: Kind): boolean {
  return AUDITED[kind] === 1;
}

/** Whether two events of a kind are about one head of their VM: else neither may replace the other. */
export function isOfSameHead(a: TransferEvent, b: TransferEvent): boolean {
  const word = HEAD_WORD[a.kind] ?? -1;
  return word < 0 || a.words[word] === b.words[word];
}
