/**
 * Classes of leases, one row each: its number, the name that the commands use, the capability of its
 * commands, and the source whose adapter brings it to rest when a lease ends (0: there is nothing to do).
 * @module
 */
import { BASE_CAPS as CAP } from "./kinds/base_caps.ts";
import { AGENT_CAPS } from "./kinds/agent_caps.ts";
import { CONSOLE_CAPS } from "./kinds/console_caps.ts";
import { SOURCE, type Source } from "./source.ts";

/** Every class by its name. */
export const LEASE_CLASSES = {
  INPUT: { number: 0, name: "input", cap: CAP.INPUT, finalizer: SOURCE.INPUT },
  POWER: { number: 1, name: "power", cap: CAP.POWER, finalizer: 0 },
  MEMWRITE: { number: 2, name: "memwrite", cap: CAP.MEMWRITE, finalizer: SOURCE.MEMCTX },
  CONSOLE: { number: 3, name: "console", cap: CONSOLE_CAPS.CONSOLE_WRITE, finalizer: SOURCE.CONSOLE },
  AGENT: { number: 4, name: "agent", cap: AGENT_CAPS.AGENT_RUN, finalizer: SOURCE.AGENT },
} as const;

/** The rows' types. */
export type LeaseClasses = typeof LEASE_CLASSES;

/** Classes of leases by name, as numbers travel. */
export const LEASE_CLASS: { readonly [N in keyof LeaseClasses]: LeaseClasses[N]["number"] } = {
  INPUT: LEASE_CLASSES.INPUT.number,
  POWER: LEASE_CLASSES.POWER.number,
  MEMWRITE: LEASE_CLASSES.MEMWRITE.number,
  CONSOLE: LEASE_CLASSES.CONSOLE.number,
  AGENT: LEASE_CLASSES.AGENT.number,
};
/** A lease class's number. */
export type LeaseClass = LeaseClasses[keyof LeaseClasses]["number"];

const IN_ORDER = Object.values(LEASE_CLASSES).sort((a, b) => a.number - b.number);

/** How many lease classes there are; their numbers are 0 to one less. */
export const LEASE_CLASS_COUNT: number = IN_ORDER.length;
/** Class number to the name that the commands use. */
export const LEASE_CLASS_NAMES: readonly string[] = IN_ORDER.map((row) => row.name);
/** Class number to the capability of its commands. */
export const CAP_OF_CLASS: readonly number[] = IN_ORDER.map((row) => row.cap);
/** Class number to the source whose adapter brings it to rest; 0 = none does. */
export const FINALIZER_OF_CLASS: readonly (Source | 0)[] = IN_ORDER.map((row) => row.finalizer);
