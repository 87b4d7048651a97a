/**
 * Options of every command of a client.
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
  /** How long to wait for the answer, ms; by default {@linkcode DEFAULT_TIMEOUT_MS}. */
  readonly timeoutMs?: number;
  /** Gives up the wait. The command may still have been carried out. */
  readonly signal?: AbortSignal;
  /** The lease token to send; by default 0: that of the lease that this client owns. */
  readonly token?: number;
}
