/**
 * The guest systems that vmsig knows, one row each: the name in configs and commands, the number in the
 * protocol, and the traits that depend on the system. No other code tests for a system by its name.
 *
 * The code that finds each one is in finders.ts, which does not compile without a finder for each system: the
 * daemon's loop uses the rows without loading the finders.
 * @module
 */

/** Differences between systems that common code has to know. */
export interface SystemTraits {
  /**
   * With separate page tables for user mode, a process's two root tables are one aligned pair of pages, the
   * kernel's view first: an address-space root with its lowest frame bit cleared is the kernel's view.
   */
  readonly rootsArePaired: boolean;
  /**
   * Every root table maps the kernel's image by the same last entry: a root with another one is not this
   * guest's.
   */
  readonly sharesLastEntry: boolean;
}

/** A row. */
export interface SystemRow {
  /** What configs, commands and logs call it. */
  readonly name: string;
  /** MEMCTX.guestOs (src/event/PROTOCOL.md); 0 means that the system is not known. */
  readonly number: number;
  /** What people call it. */
  readonly title: string;
  /** Its traits. */
  readonly traits: SystemTraits;
}

/**
 * The systems, in the order in which they are looked for: reliable and cheap tests come first. A number is
 * never given to another system.
 */
export const SYSTEMS = [
  { name: "linux", number: 1, title: "Linux", traits: { rootsArePaired: true, sharesLastEntry: true } },
  { name: "windows", number: 2, title: "Windows", traits: { rootsArePaired: false, sharesLastEntry: false } },
] as const satisfies readonly SystemRow[];

/** Name of a system that is known. */
export type SystemName = (typeof SYSTEMS)[number]["name"];

/** Which system is looked for: any, or one. */
export type WantedSystem = "auto" | SystemName;

/** The names that a config may give as a VM's system; `none`: no system is looked for. */
export const SYSTEM_CHOICES: readonly (WantedSystem | "none")[] = [
  "auto",
  ...SYSTEMS.map(({ name }) => name),
  "none",
];

const BY_NAME: ReadonlyMap<string, SystemRow> = new Map(SYSTEMS.map((row) => [row.name, row]));
const BY_NUMBER: ReadonlyMap<number, SystemRow> = new Map(SYSTEMS.map((row) => [row.number, row]));

/** The row of a name. */
export function systemOf(name: SystemName): SystemRow {
  return BY_NAME.get(name) as SystemRow;
}

/** The row of a number on the wire; undefined for 0 and for a system that a newer daemon knows. */
export function systemOfNumber(number: number): (SystemRow & { readonly name: SystemName }) | undefined {
  return BY_NUMBER.get(number) as (SystemRow & { readonly name: SystemName }) | undefined;
}

/** Whether a value from outside names a system that is known. */
export function isSystemName(value: unknown): value is SystemName {
  return typeof value === "string" && BY_NAME.has(value);
}
