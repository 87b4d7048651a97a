/**
 * What can be wrong with the catalogue of kinds and does compile: a number that is taken, retired or out of
 * its range, a capability that nobody can be granted. Asked at every start, and by the gate.
 * @module
 */
import { MAX_FRAME_FDS } from "../base/limits.ts";
import { KIND_LIMIT, type KindRow, RETIRED_KINDS } from "./kind_row.ts";
import { SOURCE } from "./source.ts";

/** Bits that once meant something and stay unused. */
export const RETIRED_CAPS: readonly number[] = [0x4, 0x10];

/**
 * What is wrong with rows, one line each; empty when they are in order.
 *
 * @param rows the catalogue's, or a test's
 * @param caps every capability that somebody can be granted, by its name
 */
export function catalogueFaults(
  rows: readonly (readonly [name: string, row: KindRow])[],
  caps: Readonly<Record<string, number>>,
): string[] {
  const taken = new Map<number, string>();
  const names = new Set<string>();
  const faults = capabilityFaults(caps);
  const knownCaps = Object.values(caps).reduce((mask, bit) => mask | bit, 0);
  for (const [name, row] of rows) {
    const { number } = row;
    const other = taken.get(number);
    if (other !== undefined) faults.push(`${name}: number ${number} is taken by ${other}`);
    taken.set(number, name);
    if (names.has(name)) faults.push(`${name}: two rows have this name`);
    names.add(name);
    if (!Number.isInteger(number) || number < 1 || number >= KIND_LIMIT) {
      faults.push(`${name}: number ${number} is not from 1 to ${KIND_LIMIT - 1}`);
    }
    if (RETIRED_KINDS.some(([from, to]) => number >= from && number <= to)) {
      faults.push(`${name}: number ${number} is retired`);
    }
    if (name.startsWith("CMD_") !== (row.way === "down")) {
      faults.push(`${name}: a command is named CMD_… and goes down`);
    }
    for (const needed of capsOf(row)) {
      if (needed === 0 || (needed & ~knownCaps) !== 0) {
        faults.push(`${name}: 0x${needed.toString(16)} has a capability that nobody can be granted`);
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

function capabilityFaults(caps: Readonly<Record<string, number>>): string[] {
  const faults: string[] = [];
  const taken = new Map<number, string>();
  for (const [name, bit] of Object.entries(caps)) {
    const hex = `0x${bit.toString(16)}`;
    if (bit <= 0 || (bit & (bit - 1)) !== 0) faults.push(`${name}: capability ${hex} is not one bit`);
    if (RETIRED_CAPS.includes(bit)) faults.push(`${name}: capability ${hex} is retired`);
    const other = taken.get(bit);
    if (other !== undefined) faults.push(`${name}: capability ${hex} is taken by ${other}`);
    taken.set(bit, name);
  }
  return faults;
}

function capsOf({ needs }: KindRow): number[] {
  if (needs.by === "any") return [needs.caps];
  return needs.by === "operation" ? [...needs.of.values()].map((need) => need.caps) : [];
}
