/**
 * What every command of a client takes.
 * @module
 */

/** How long a command may take unless told, ms. */
export const DEFAULT_TIMEOUT_MS = 5000;
/** What every command takes. */
export interface CommandOptions {
  /** How long to await the answer; {@linkcode DEFAULT_TIMEOUT_MS} unless told. */
  readonly timeoutMs?: number;
  /** Gives up early. The command may have been carried out all the same. */
  readonly signal?: AbortSignal;
  /** The lease token to send under; 0, as unless told: whatever lease this client owns. */
  readonly token?: number;
}
