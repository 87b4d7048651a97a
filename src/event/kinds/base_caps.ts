/**
 * The capabilities that existed before a kind could bring its own. The freed bits 0x4 and 0x10 are never
 * given out again, so that a stale grant cannot alias a privileged one.
 * @module
 */

/** Capability by name, as bits travel. */
export const BASE_CAPS = {
  OBSERVE: 0x1,
  INPUT: 0x2,
  LIFECYCLE: 0x8,
  POWER: 0x20,
  VM: 0x40,
  MEMCTX: 0x80,
  MEMWRITE: 0x100,
  ROSTER: 0x200,
  AUDIT: 0x400,
  PUBLISH: 0x800,
  FRAME: 0x1000,
} as const;
