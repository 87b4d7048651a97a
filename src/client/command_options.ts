/**
 * What every command of a client takes.
 * @module
 */

/**
 * How long a command may take unless told, ms. The daemon answers each command itself: what it asks of a VM
 * has 10 s there, and of a QEMU that hangs it tells sooner. So this is longer, or a busy machine would have
 * the client give up just before the answer comes, which has the reason; only a daemon that hangs reaches it.
 */
export const DEFAULT_TIMEOUT_MS = 30_000;
/**
 * How long joining may take unless told, ms. No VM has a part in it. The daemon itself gives up after 5 s
 * (HELLO_TIMEOUT_MS), and says why.
 */
export const JOIN_TIMEOUT_MS = 10_000;
/** What every command takes. */
export interface CommandOptions {
  /** How long to await the answer; {@linkcode DEFAULT_TIMEOUT_MS} unless told. */
  readonly timeoutMs?: number;
  /** Gives up early. The command may have been carried out all the same. */
  readonly signal?: AbortSignal;
  /** The lease token to send under; 0, as unless told: whatever lease this client owns. */
  readonly token?: number;
}
