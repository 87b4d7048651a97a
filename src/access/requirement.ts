/**
 * Which capability and which lease a command needs, and which grant lets an UP event through: tables made
 * from the catalogue, and two small functions on them. The code of a refusal is chosen in
 * `core/command_rule.ts`.
 * @module
 */
import type { LeaseClass } from "../event/body_number.ts";
import { ROWS } from "../event/catalogue.ts";
import { KIND_MAX } from "../event/kind.ts";
import type { KindRow, Need } from "../event/kind_row.ts";
import { CAP_OF_CLASS } from "../event/lease_class.ts";
import { type Source, SOURCE_MAX } from "../event/source.ts";
import type { TransferEvent } from "../event/transfer_event.ts";

export { CAP_OF_CLASS } from "../event/lease_class.ts";

/** Stands for the capability of an operation that is out of range: no bit; the code is bad-argument. */
export const BAD_OPERATION = 0;
/** Stands for "no lease needed". */
export const NO_LEASE_CLASS: -1 = -1;
/** A class of lease, or {@linkcode NO_LEASE_CLASS}. */
export type LeaseClassOrNone = LeaseClass | typeof NO_LEASE_CLASS;

const NOT_BY_CLASS = -1;
/** DOWN kind to its capabilities, if they depend on the kind alone. */
const DOWN_CAPS = new Int32Array(KIND_MAX);
/** DOWN kind to its lease class, if it depends on the kind alone. */
const DOWN_LEASE = new Int8Array(KIND_MAX).fill(NO_LEASE_CLASS);
/** DOWN kind to the needs of each of its operations. */
const OPERATIONS: (readonly (Need | undefined)[] | undefined)[] = new Array(KIND_MAX).fill(undefined);
/** DOWN kind about a lease to the capabilities that suffice instead of the class's. */
const ALSO = new Int32Array(KIND_MAX).fill(NOT_BY_CLASS);

/**
 * UP kind to the capabilities any one of which lets it through; 0: addressed kinds, which reach their control
 * alone.
 */
export const UP_CAPS: Int32Array = new Int32Array(KIND_MAX);

/** UP kinds that a control with PUBLISH may emit. */
export const PUBLISHABLE: ReadonlySet<number> = new Set(
  ROWS.filter(([, row]) => row.publishable).map(([, row]) => row.number),
);

for (const [, { number, way, needs }] of ROWS) {
  if (way === "up" && needs.by === "any") UP_CAPS[number] = needs.caps;
  if (way !== "down") continue;
  if (needs.by === "any") {
    DOWN_CAPS[number] = needs.caps;
    DOWN_LEASE[number] = needs.lease ?? NO_LEASE_CLASS;
  } else if (needs.by === "operation") {
    const byNumber: (Need | undefined)[] = [];
    for (const [operation, need] of needs.of) byNumber[operation] = need;
    OPERATIONS[number] = byNumber;
  } else if (needs.by === "lease-class") ALSO[number] = needs.also;
}

/**
 * The capability that a command needs. For CMD_ACQUIRE, CMD_RELEASE and CMD_LEASE_STATUS it is that of the
 * class; any one of the returned bits suffices (a lease's status is also open to a control that may observe).
 *
 * @returns a mask of which one bit must be granted; {@linkcode BAD_OPERATION} when the operation or class is
 *   out of range
 */
export function capsFor(command: TransferEvent): number {
  const { kind } = command;
  const operations = OPERATIONS[kind];
  const first = command.words[0] as number;
  if (operations !== undefined) return operations[first]?.caps ?? BAD_OPERATION;
  const also = ALSO[kind] ?? NOT_BY_CLASS;
  if (also === NOT_BY_CLASS) return DOWN_CAPS[kind] ?? BAD_OPERATION;
  const cap = CAP_OF_CLASS[first];
  return cap === undefined ? BAD_OPERATION : cap | also;
}

/**
 * The capabilities that the commands of a source need: of each mask one bit suffices. Made when a grant first
 * changes.
 */
let needsOfSource: readonly (readonly number[])[] | undefined;

function makeNeeds(): readonly (readonly number[])[] {
  return Array.from(
    { length: SOURCE_MAX },
    (_, source) => ROWS.flatMap(([, row]) => row.way === "down" && row.source === source ? needsOf(row) : []),
  );
}

function needsOf({ needs }: KindRow): number[] {
  switch (needs.by) {
    case "any":
      return [needs.caps];
    case "operation":
      return [...needs.of.values()].map(({ caps }) => caps);
    case "lease-class":
      return CAP_OF_CLASS.map((cap) => cap | needs.also);
    case "joined":
    case "addressed":
    case "nobody":
      return [];
  }
}

/** Whether a change of capabilities removes the right to some command of a source. */
export function losesCommands(source: Source, before: number, after: number): boolean {
  needsOfSource ??= makeNeeds();
  return (needsOfSource[source] ?? []).some((caps) => (before & caps) !== 0 && (after & caps) === 0);
}

/** The class of lease that a command must be sent under, or {@linkcode NO_LEASE_CLASS}. */
export function leaseClassFor(command: TransferEvent): LeaseClassOrNone {
  const operations = OPERATIONS[command.kind];
  if (operations === undefined) return (DOWN_LEASE[command.kind] ?? NO_LEASE_CLASS) as LeaseClassOrNone;
  return operations[command.words[0] as number]?.lease ?? NO_LEASE_CLASS;
}
