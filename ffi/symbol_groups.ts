/**
 * The shim's functions in groups, each of which is bound when one of its functions is first called. Deno
 * takes about 0.15 ms for each function that it binds (the whole shim: 13 ms), on each thread: `vmsig ls` is
 * done with the first two groups, who reads a guest's memory with three that have 17 functions.
 *
 * To bind one takes 1 to 3 ms. So that no later turn of the daemon's loop has to, it binds those that it did
 * not need for its start in its first turns, one in each (`bindNextGroup` of shim.ts).
 * @module
 */
import { type ShimSymbols, SYMBOLS } from "./symbols.ts";

/** The name of a function of the shim. */
export type SymbolName = keyof ShimSymbols & keyof typeof SYMBOLS;

/** Some of the shim's functions, with what they take and give. */
export type SomeSymbols = Partial<{ readonly [N in SymbolName]: (typeof SYMBOLS)[N] }>;

/** What every use begins with. */
const FIRST = [
  "vmsig_shim_version",
  "vmsig_close",
  "vmsig_clock_ns",
  "vmsig_mmap",
  "vmsig_munmap",
] as const satisfies readonly SymbolName[];

/** With these a program joins the bus and talks to it. */
const CLIENT = [
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
  "vmsig_batch_bytes",
  "vmsig_batch_init",
  "vmsig_batch_receive",
] as const satisfies readonly SymbolName[];

/** Files of the host that are read. */
const READ_FILES = [
  "vmsig_open",
  "vmsig_fstat",
  "vmsig_read",
] as const satisfies readonly SymbolName[];

/** Files of the host, and what went wrong with them. */
const FILES = [
  "vmsig_errno_name",
  "vmsig_errno_text",
  "vmsig_dup",
  "vmsig_unlink",
  "vmsig_lstat",
  "vmsig_flock",
  "vmsig_getdents",
  "vmsig_ftruncate",
  "vmsig_write",
  "vmsig_pwrite",
] as const satisfies readonly SymbolName[];

/** With these a daemon listens, and its loop turns. */
const SERVER = [
  "vmsig_chmod",
  "vmsig_fchmod",
  "vmsig_close_elsewhere",
  "vmsig_close_async",
  "vmsig_epoll_wait_ns",
  "vmsig_timerfd",
  "vmsig_timerfd_settime",
  "vmsig_set_realtime",
  "vmsig_yield_to_wakers",
  "vmsig_bind",
  "vmsig_listen",
  "vmsig_accept",
  "vmsig_shutdown",
  "vmsig_peer_credentials",
  "vmsig_peer_pidfd",
  "vmsig_socket_error",
  "vmsig_set_socket_option",
  "vmsig_send_fds",
  "vmsig_batch_send",
  "vmsig_inotify_init",
  "vmsig_inotify_add",
  "vmsig_inotify_remove",
] as const satisfies readonly SymbolName[];

/** The RAM of a guest. */
const RAM = [
  "vmsig_fstatfs",
  "vmsig_lseek",
  "vmsig_memfd_create",
  "vmsig_get_seals",
  "vmsig_mmap_over",
  "vmsig_guard",
  "vmsig_guard_lost",
  "vmsig_unguard",
  "vmsig_find",
] as const satisfies readonly SymbolName[];

/** What it takes besides, of a file on disk, or for longer than one look. */
const RAM_FILES = [
  "vmsig_pread",
  "vmsig_let_go",
  "vmsig_pidfd_open",
] as const satisfies readonly SymbolName[];

/** Keyboards and pointers of the host's own. */
const UINPUT = [
  "vmsig_uinput_set_bit",
  "vmsig_uinput_setup",
  "vmsig_uinput_abs_setup",
  "vmsig_uinput_create",
  "vmsig_uinput_destroy",
  "vmsig_uinput_sysname",
  "vmsig_uinput_write",
] as const satisfies readonly SymbolName[];

/** Needles on a screen. */
const NEEDLES = ["vmsig_gray_part", "vmsig_find_area"] as const satisfies readonly SymbolName[];

/** The groups, the first one first; what is in none of them above is in the last one. */
export const SYMBOL_GROUPS: readonly SomeSymbols[] = grouped([
  FIRST,
  CLIENT,
  READ_FILES,
  FILES,
  SERVER,
  RAM,
  RAM_FILES,
  UINPUT,
  NEEDLES,
]);

function grouped(named: readonly (readonly SymbolName[])[]): SomeSymbols[] {
  const others = new Set(Object.keys(SYMBOLS) as SymbolName[]);
  for (const names of named) for (const name of names) others.delete(name);
  return [...named, [...others]].map((names) =>
    Object.fromEntries(names.map((name) => [name, SYMBOLS[name]]))
  );
}
