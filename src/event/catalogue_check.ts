/**
 * What can be wrong with the catalogue of kinds and does compile: a number that is taken, retired or out of
 * its range, a capability that nobody can be granted. Asked at every start, and by the gate.
 * @module
 */
import { MAX_FRAME_FDS } from "../base/limits.ts";
import { KIND_MAX, type KindRow, RETIRED_KINDS } from "./kind_row.ts";
import { SOURCE } from "./source.ts";

/**
 * What is wrong with rows, one line each; empty when they are in order.
 *
 * @param rows the catalogue's, or a test's
 * @param knownCaps every capability that somebody can be granted
 */
export function catalogueFaults(
  rows: readonly (readonly [name: string, row: KindRow])[],
  knownCaps: number,
): string[] {
  const faults: string[] = [];
  const taken = new Map<number, string>();
  for (const [name, row] of rows) {
    const { number } = row;
    const other = taken.get(number);
    if (other !== undefined) faults.push(`${name}: number ${number} is taken by ${other}`);
    taken.set(number, name);
    if (!Number.isInteger(number) || number < 1 || number >= KIND_MAX) {
      faults.push(`${name}: number ${number} is not from 1 to KIND_MAX - 1`);
    }
    if (RETIRED_KINDS.some(([from, to]) => number >= from && number <= to)) {
      faults.push(`${name}: number ${number} is retired`);
    }
    if (name.startsWith("CMD_") !== (row.way === "down")) {
      faults.push(`${name}: a command is named CMD_… and goes down`);
    }
    for (const caps of capsOf(row)) {
      if (caps === 0 || (caps & ~knownCaps) !== 0) {
        faults.push(`${name}: 0x${caps.toString(16)} has a capability that nobody can be granted`);
      }
    }
    if (row.publishable && row.source !== SOURCE.FRAME) {
      faults.push(`${name}: only kinds of FRAME are published`);
    }
    if ((row.body === "none") !== (row.bodyBytes === 0)) {
      faults.push(`${name}: a body has a bound, and no body has none`);
    }
    if (row.fds < 0 || row.fds > MAX_FRAME_FDS) {
      faults.push(`${name}: a frame carries ${MAX_FRAME_FDS} descriptors at most`);
    }
    if (row.fds > 0 && row.way === "handshake") faults.push(`${name}: a handshake carries no descriptors`);
    const { retainedBy } = row;
    if (retainedBy === undefined) continue;
    if (row.retained === 0) faults.push(`${name}: is not kept, and ${retainedBy} separates what is`);
    const field = row.inline?.fields[retainedBy];
    if (field === undefined || field[1] !== "u32" || (field[2] ?? 1) !== 1) {
      faults.push(`${name}: its inline zone has no u32 field ${retainedBy}`);
    }
  }
  return faults;
}

function capsOf({ needs }: KindRow): number[] {
  if (needs.by === "any") return [needs.caps];
  return needs.by === "operation" ? [...needs.of.values()].map((need) => need.caps) : [];
}
