/**
 * Names of the operations that one kind of command stands for: CMD_VM's reset, CMD_LIFECYCLE's wakeup. For
 * people: what goes over the wire is the number.
 * @module
 */
import { LIFE, SNAPSHOT_OP, VM_OP } from "./body_number.ts";
import { KIND } from "./kind.ts";

const names = (table: Readonly<Record<string, number>>): ReadonlyMap<number, string> =>
  new Map(Object.entries(table).map(([name, number]) => [number, name.toLowerCase()]));

const OPERATIONS: ReadonlyMap<number, ReadonlyMap<number, string>> = new Map([
  [KIND.CMD_VM, names(VM_OP)],
  [KIND.CMD_LIFECYCLE, names(LIFE)],
  [KIND.CMD_SNAPSHOT, names(SNAPSHOT_OP)],
]);

/**
 * The name of a command's operation.
 *
 * @param kind the command's kind
 * @param operation the first word of its inline zone
 * @returns undefined for a kind without operations; `operation-N` for a number that has no name
 */
export function operationName(kind: number, operation: number): string | undefined {
  const known = OPERATIONS.get(kind);
  return known === undefined ? undefined : known.get(operation) ?? `operation-${operation}`;
}
