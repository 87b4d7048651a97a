/**
 * The protocol's version, as HELLO and WELCOME say it (src/event/PROTOCOL.md). It changes only when a peer of
 * the version before could not be understood any more; kinds that are added do not change it: who is there
 * says how many kinds it knows (`kinds` in HELLO and WELCOME).
 * @module
 */

/** The version that this daemon and this client speak. */
export const PROTOCOL = 1;
/** One past the largest kind that a peer knows which does not say so: those of the first version. */
export const KINDS_OF_OLD = 112;
