/**
 * Assertions about our own mistakes. Data from a guest, a peer or the wire is checked and answered,
 * never asserted: a failed assertion means that vmsig itself is wrong, and must stop.
 * @module
 */

/** Thrown by {@linkcode assert}: a defect of vmsig, not of its input. */
export class AssertionFault extends Error {
  /** The error's name, as it is printed. */
  override name = "AssertionFault";
}

/**
 * Stops with an {@linkcode AssertionFault} unless `condition` is truthy.
 *
 * @param condition what must hold
 * @param what what was expected, as a statement: "queue is not empty"
 * @throws {AssertionFault} when it does not hold
 */
export function assert(condition: unknown, what: string): asserts condition {
  if (!condition) throw new AssertionFault(`vmsig is wrong about itself: expected that ${what}`);
}

/** Marks a branch that the types rule out. */
export function unreachable(value: never): never {
  throw new AssertionFault(`vmsig is wrong about itself: unreachable, with ${String(value)}`);
}
