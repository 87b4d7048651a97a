/**
 * What becomes of a command that its host does not answer.
 * @module
 */

/** The outcome of a command, other than its answer. */
export type Fate = "never" | "forgotten" | "lost";

/**
 * An outcome in words.
 *
 * @param id the command's ID, by which `vmsig outcome` asks the host; absent when none is kept
 */
export function fateWords(fate: Fate, id?: string): string {
  switch (fate) {
    case "never":
      return "it never reached the host, and will not be carried out";
    case "forgotten":
      return "it was answered, but the answer is no longer kept; check whether it was carried out";
    case "lost": {
      const remedy = id === undefined ? "check" : `vmsig outcome ${id} says`;
      return `the host disconnected before it answered; ${remedy} whether it was carried out`;
    }
  }
}
