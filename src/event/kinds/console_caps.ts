/**
 * The capabilities of consoles. They stand alone because the classes of leases name one.
 * @module
 */

/** Capability by name, as bits travel. */
export const CONSOLE_CAPS = {
  /** Read a VM's consoles, and what they said before. */
  CONSOLE: 0x2000,
  /** Write to them, under the CONSOLE lease. */
  CONSOLE_WRITE: 0x4000,
} as const;
