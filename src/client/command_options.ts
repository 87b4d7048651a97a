/**
 * Options of every command of a client.
 * @module
 */

/** Default time limit of a command, ms. */
export const DEFAULT_TIMEOUT_MS = 5000;
/** Options of every command. */
export interface CommandOptions {
  /** How long to wait for the answer, ms; by default {@linkcode DEFAULT_TIMEOUT_MS}. */
  readonly timeoutMs?: number;
  /** Gives up the wait. The command may still have been carried out. */
  readonly signal?: AbortSignal;
  /** The lease token to send; by default 0: that of the lease that this client owns. */
  readonly token?: number;
}
