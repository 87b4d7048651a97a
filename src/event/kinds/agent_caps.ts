/**
 * The capabilities of guest agents. They stand alone because the classes of leases name one.
 * @module
 */

/** Capability by name, as bits travel. */
export const AGENT_CAPS = {
  /** Ask a guest's agent: its system, users, addresses, files. */
  AGENT: 0x8000,
  /** Have it do something: programs, files, freezing, shutting down; under the AGENT lease. */
  AGENT_RUN: 0x1_0000,
} as const;
