/**
 * The end of what a signal may end, as a promise.
 * @module
 */

/** Resolves when a signal is aborted; at once if it is already. */
export function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
