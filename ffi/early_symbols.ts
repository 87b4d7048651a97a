/**
 * The few functions of the shim with which a program joins the bus and talks to it. Deno takes about 0.15 ms
 * for each function that it binds, so these are bound first, and the other eighty only when one of them is
 * called: `vmsig ls` is done before.
 * @module
 */
import { type ShimSymbols, SYMBOLS } from "./symbols.ts";

/** The name of a function of the shim. */
export type SymbolName = keyof ShimSymbols & keyof typeof SYMBOLS;

/** Their names. */
export const EARLY_NAMES = [
  "vmsig_shim_version",
  "vmsig_close",
  "vmsig_clock_ns",
  "vmsig_epoll_create",
  "vmsig_epoll_ctl",
  "vmsig_epoll_wait",
  "vmsig_epoll_wait_async",
  "vmsig_poll",
  "vmsig_eventfd",
  "vmsig_eventfd_write",
  "vmsig_eventfd_read",
  "vmsig_socket",
  "vmsig_connect",
  "vmsig_send",
  "vmsig_mmap",
  "vmsig_munmap",
  "vmsig_batch_bytes",
  "vmsig_batch_init",
  "vmsig_batch_receive",
] as const satisfies readonly SymbolName[];

/** Some of the shim's functions, with what they take and give. */
export type SomeSymbols = Partial<{ readonly [N in SymbolName]: (typeof SYMBOLS)[N] }>;

const names: ReadonlySet<string> = new Set(EARLY_NAMES);

/** What is bound first. */
export const EARLY: SomeSymbols = pick((name) => names.has(name));
/** What is bound when it is needed. */
export const LATE: SomeSymbols = pick((name) => !names.has(name));

function pick(wants: (name: string) => boolean): SomeSymbols {
  return Object.fromEntries(Object.entries(SYMBOLS).filter(([name]) => wants(name)));
}
