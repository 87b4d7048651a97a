/**
 * The few functions of the shim with which a program joins the bus and talks to it. Deno takes about 0.15 ms
 * for each function that it binds, so these are bound first, and the other eighty only when one of them is
 * called: `vmsig ls` is done before.
 * @module
 */
import { type ShimSymbols, SYMBOLS } from "./symbols.ts";

type Name = keyof ShimSymbols & keyof typeof SYMBOLS;

/** Their names. */
export const EARLY_NAMES = [
  "vmsig_shim_version",
  "vmsig_errno_name",
  "vmsig_errno_text",
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
] as const satisfies readonly Name[];

type Symbols = Partial<Record<Name, (typeof SYMBOLS)[Name]>>;

const names: ReadonlySet<string> = new Set(EARLY_NAMES);

/** What is bound first. */
export const EARLY: Symbols = pick((name) => names.has(name));
/** What is bound when it is needed. */
export const LATE: Symbols = pick((name) => !names.has(name));

function pick(wants: (name: string) => boolean): Symbols {
  return Object.fromEntries(Object.entries(SYMBOLS).filter(([name]) => wants(name)));
}
