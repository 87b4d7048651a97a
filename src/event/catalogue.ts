/**
 * The catalogue: all that is known of an event kind, in one row. Who may receive or send it, how it is
 * ordered, what it carries, whether it is kept: every table of kinds is made from these rows, at start
 * (kind.ts, defaults.ts, kind_layout.ts, capability.ts, access/requirement.ts, core/retained.ts,
 * core/publish_rule.ts, client/typed_body.ts). The rows stand in files by the way that they travel; a new
 * kind, or a family of them, may have a file of its own, with its layout and its capability. A row that lacks
 * a cell does not compile; a number that is taken, retired or out of its range fails at start, and in the
 * gate.
 *
 * Numbers never change and are never used again. A new kind takes a number above the largest, a new
 * capability the next bit.
 * @module
 */
import { assert } from "../base/assert.ts";
import { catalogueFaults } from "./catalogue_check.ts";
import type { KindRow } from "./kind_row.ts";
import { BASE_CAPS } from "./kinds/base_caps.ts";
import { AGENT_CAPS } from "./kinds/agent_caps.ts";
import { AGENT_KINDS } from "./kinds/agent_kinds.ts";
import { CONSOLE_CAPS } from "./kinds/console_caps.ts";
import { CONSOLE_KINDS } from "./kinds/console_kinds.ts";
import { DOWN_KINDS } from "./kinds/down_kinds.ts";
import { LEASE_KINDS } from "./kinds/lease_kinds.ts";
import { OTHER_KINDS } from "./kinds/other_kinds.ts";
import { POINTER_KINDS } from "./kinds/pointer_kinds.ts";
import { UP_KINDS } from "./kinds/up_kinds.ts";
import { VCPU_KINDS } from "./kinds/vcpu_kinds.ts";
import { VM_KINDS } from "./kinds/vm_kinds.ts";

/** Every kind by its name. */
export const CATALOGUE:
  & typeof UP_KINDS
  & typeof DOWN_KINDS
  & typeof OTHER_KINDS
  & typeof CONSOLE_KINDS
  & typeof AGENT_KINDS
  & typeof VCPU_KINDS
  & typeof VM_KINDS
  & typeof LEASE_KINDS
  & typeof POINTER_KINDS = {
    ...UP_KINDS,
    ...DOWN_KINDS,
    ...OTHER_KINDS,
    ...CONSOLE_KINDS,
    ...AGENT_KINDS,
    ...VCPU_KINDS,
    ...VM_KINDS,
    ...LEASE_KINDS,
    ...POINTER_KINDS,
  };
const FILES: readonly Readonly<Record<string, KindRow>>[] = [
  UP_KINDS,
  DOWN_KINDS,
  OTHER_KINDS,
  CONSOLE_KINDS,
  AGENT_KINDS,
  VCPU_KINDS,
  VM_KINDS,
  LEASE_KINDS,
  POINTER_KINDS,
];

/** Every capability by its name, as bits travel. */
export const CAPABILITIES: typeof BASE_CAPS & typeof CONSOLE_CAPS & typeof AGENT_CAPS = {
  ...BASE_CAPS,
  ...CONSOLE_CAPS,
  ...AGENT_CAPS,
};

/** A kind's name. */
export type KindName = keyof typeof CATALOGUE;
/** The row of a kind by its name. */
export type RowOf<N extends KindName> = (typeof CATALOGUE)[N];

/** Every row with its name, by number. */
export const ROWS: readonly (readonly [name: KindName, row: KindRow])[] = FILES
  .flatMap((file) => Object.entries(file) as [KindName, KindRow][])
  .sort(([, a], [, b]) => a.number - b.number);

/** One past the largest kind. */
export const KIND_MAX: number = 1 + Math.max(...ROWS.map(([, { number }]) => number));

{
  const faults = catalogueFaults(ROWS, CAPABILITIES);
  assert(faults.length === 0, `the catalogue of kinds is in order: ${faults.join("; ")}`);
}
