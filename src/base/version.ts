/**
 * The version of vmsig. A test compares it with deno.json.
 * @module
 */

/** The version, as deno.json has it. */
export const VERSION = "0.1.0";
