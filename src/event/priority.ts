/**
 * Delivery priority: order on the wire, nothing else. Higher is earlier.
 * @module
 */

/** Priority by name, as numbers travel. */
export const PRIO = { BULK: 0, NORMAL: 1, HIGH: 2, URGENT: 3 } as const;
/** A priority's name. */
export type PrioName = keyof typeof PRIO;
/** A priority's number. */
export type Prio = (typeof PRIO)[PrioName];

/** How many classes there are. */
export const PRIO_COUNT = 4;
/** "As the policy of the event's source and direction says": what an emitter sets that overrides nothing. */
export const PRIO_DEFAULT: -1 = -1;
/** A priority, or the policy's. */
export type PrioChoice = Prio | typeof PRIO_DEFAULT;

const NAMES = Object.keys(PRIO) as PrioName[];

/** The name of a priority number, `prio-N` for one that has none. */
export function prioName(prio: number): string {
  return NAMES[prio] ?? `prio-${prio}`;
}
