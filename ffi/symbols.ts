/**
 * The shim's functions for Deno: shim/vmsig_shim.h once more, line by line. A test compares the two.
 *
 * Only i32, u32, f64 and buffers: those go through V8's fast calls (about 5 ns), and none of them makes a
 * BigInt.
 * @module
 */

/** The version that both sides must agree on (VMSIG_SHIM_VERSION). */
export const SHIM_VERSION = 15;

/** The one symbol that every version of the shim has. */
export const VERSION_SYMBOLS = {
  vmsig_shim_version: { parameters: [], result: "i32" },
} as const;

/** Every function of the shim. */
export const SYMBOLS = {
  // About itself, and errors
  vmsig_shim_version: { parameters: [], result: "i32" },
  vmsig_errno_name: { parameters: ["i32", "buffer", "i32"], result: "i32" },
  vmsig_errno_text: { parameters: ["i32", "buffer", "i32"], result: "i32" },
  // Descriptors and files
  vmsig_open: { parameters: ["buffer", "i32", "i32"], result: "i32" },
  vmsig_close: { parameters: ["i32"], result: "i32" },
  vmsig_close_elsewhere: { parameters: ["i32", "i32"], result: "i32" },
  /** The same call off the thread. */
  vmsig_close_async: { name: "vmsig_close", parameters: ["i32"], result: "i32", nonblocking: true },
  vmsig_dup: { parameters: ["i32", "i32"], result: "i32" },
  vmsig_unlink: { parameters: ["buffer"], result: "i32" },
  vmsig_chmod: { parameters: ["buffer", "i32"], result: "i32" },
  vmsig_fchmod: { parameters: ["i32", "i32"], result: "i32" },
  vmsig_fstat: { parameters: ["i32", "buffer"], result: "i32" },
  vmsig_fstatfs: { parameters: ["i32"], result: "f64" },
  vmsig_lstat: { parameters: ["buffer", "buffer"], result: "i32" },
  vmsig_flock: { parameters: ["i32", "i32"], result: "i32" },
  vmsig_ftruncate: { parameters: ["i32", "f64"], result: "i32" },
  vmsig_lseek: { parameters: ["i32", "f64", "i32"], result: "f64" },
  vmsig_getdents: { parameters: ["i32", "buffer", "i32"], result: "i32" },
  vmsig_read: { parameters: ["i32", "buffer", "f64", "i32"], result: "i32" },
  vmsig_write: { parameters: ["i32", "buffer", "f64", "i32"], result: "i32" },
  vmsig_pread: { parameters: ["i32", "buffer", "f64", "i32", "f64"], result: "i32" },
  vmsig_pwrite: { parameters: ["i32", "buffer", "f64", "i32", "f64"], result: "i32" },
  vmsig_pipe: { parameters: ["buffer"], result: "i32" },
  // Rows of a picture
  vmsig_read_rows: { parameters: ["i32", "buffer", "buffer", "buffer", "i32"], result: "i32" },
  // Needles
  vmsig_gray_part: { parameters: ["buffer", "buffer", "buffer"], result: "i32" },
  vmsig_find_area: { parameters: ["buffer", "buffer", "buffer"], result: "i32" },
  // Waiting and time
  vmsig_epoll_create: { parameters: [], result: "i32" },
  vmsig_epoll_ctl: { parameters: ["i32", "i32", "i32", "u32", "u32"], result: "i32" },
  vmsig_epoll_wait: { parameters: ["i32", "f64", "i32", "i32"], result: "i32" },
  /** The same call off the thread, for a program that has an event loop of its own. */
  vmsig_epoll_wait_async: {
    name: "vmsig_epoll_wait",
    parameters: ["i32", "f64", "i32", "i32"],
    result: "i32",
    nonblocking: true,
  },
  vmsig_epoll_wait_ns: { parameters: ["i32", "f64", "i32", "f64"], result: "i32" },
  vmsig_poll: { parameters: ["i32", "i32"], result: "i32" },
  vmsig_eventfd: { parameters: ["i32"], result: "i32" },
  vmsig_eventfd_write: { parameters: ["i32", "f64"], result: "i32" },
  vmsig_eventfd_read: { parameters: ["i32"], result: "f64" },
  vmsig_timerfd: { parameters: [], result: "i32" },
  vmsig_timerfd_settime: { parameters: ["i32", "f64"], result: "i32" },
  vmsig_clock_ns: { parameters: ["i32"], result: "f64" },
  vmsig_set_realtime: { parameters: ["i32"], result: "i32" },
  vmsig_yield_to_wakers: { parameters: ["i32", "f64"], result: "i32" },
  // Doorbells that a peer holds as well
  vmsig_bell_ring: { parameters: ["i32"], result: "i32" },
  vmsig_bell_ring_timed: { parameters: ["i32"], result: "i32" },
  vmsig_bell_hush: { parameters: ["i32"], result: "f64" },
  vmsig_is_eventfd: { parameters: ["i32"], result: "i32" },
  // Memory
  vmsig_memfd_create: { parameters: ["buffer", "i32"], result: "i32" },
  vmsig_add_seals: { parameters: ["i32", "i32"], result: "i32" },
  vmsig_get_seals: { parameters: ["i32"], result: "i32" },
  vmsig_mmap: { parameters: ["i32", "f64", "f64", "i32"], result: "f64" },
  vmsig_mmap_over: { parameters: ["f64", "i32", "f64", "f64"], result: "f64" },
  vmsig_let_go: { parameters: ["f64", "f64"], result: "i32" },
  vmsig_munmap: { parameters: ["f64", "f64"], result: "i32" },
  vmsig_guard: { parameters: ["f64", "f64", "i32"], result: "i32" },
  vmsig_guard_lost: { parameters: ["i32"], result: "i32" },
  vmsig_unguard: { parameters: ["i32"], result: "i32" },
  vmsig_load64: { parameters: ["f64"], result: "f64" },
  vmsig_store: { parameters: ["f64", "i32", "u32", "u32"], result: "void" },
  vmsig_copy_in: { parameters: ["f64", "buffer", "f64", "i32"], result: "void" },
  vmsig_copy_out: { parameters: ["f64", "buffer", "f64", "i32"], result: "void" },
  vmsig_find: { parameters: ["f64", "f64", "buffer", "i32"], result: "f64" },
  // Unix sockets
  vmsig_socket: { parameters: ["i32"], result: "i32" },
  vmsig_socketpair: { parameters: ["i32", "buffer"], result: "i32" },
  vmsig_set_nonblocking: { parameters: ["i32"], result: "i32" },
  vmsig_bind: { parameters: ["i32", "buffer"], result: "i32" },
  vmsig_listen: { parameters: ["i32", "i32"], result: "i32" },
  vmsig_connect: { parameters: ["i32", "buffer"], result: "i32" },
  vmsig_connect_abstract: { parameters: ["i32", "buffer", "i32"], result: "i32" },
  vmsig_connect_inet: { parameters: ["buffer", "i32"], result: "i32" },
  vmsig_accept: { parameters: ["i32"], result: "i32" },
  vmsig_shutdown: { parameters: ["i32", "i32"], result: "i32" },
  vmsig_unix_socket: { parameters: ["u32", "buffer"], result: "i32" },
  vmsig_peer_credentials: { parameters: ["i32", "buffer"], result: "i32" },
  vmsig_peer_pidfd: { parameters: ["i32"], result: "i32" },
  vmsig_socket_error: { parameters: ["i32"], result: "i32" },
  vmsig_set_socket_option: { parameters: ["i32", "i32", "i32"], result: "i32" },
  // Packets
  vmsig_send: { parameters: ["i32", "buffer", "f64", "i32"], result: "i32" },
  vmsig_send_fds: { parameters: ["i32", "buffer", "f64", "i32", "buffer", "i32"], result: "i32" },
  vmsig_batch_bytes: { parameters: ["i32", "i32", "i32"], result: "f64" },
  vmsig_batch_init: { parameters: ["f64", "i32", "i32", "i32"], result: "f64" },
  vmsig_batch_receive: { parameters: ["i32", "f64"], result: "i32" },
  vmsig_batch_send: { parameters: ["i32", "f64", "i32", "i32"], result: "i32" },
  // Watching, signals, processes
  vmsig_inotify_init: { parameters: [], result: "i32" },
  vmsig_inotify_add: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  vmsig_inotify_remove: { parameters: ["i32", "i32"], result: "i32" },
  vmsig_signal_to_eventfd: { parameters: ["i32", "i32"], result: "i32" },
  vmsig_signal_reset: { parameters: ["i32", "i32"], result: "i32" },
  vmsig_kill: { parameters: ["i32", "i32"], result: "i32" },
  vmsig_pidfd_open: { parameters: ["i32"], result: "i32" },
  vmsig_pidfd_signal: { parameters: ["i32", "i32"], result: "i32" },
  // uinput
  vmsig_uinput_set_bit: { parameters: ["i32", "i32", "i32"], result: "i32" },
  vmsig_uinput_setup: { parameters: ["i32", "buffer", "buffer", "u32"], result: "i32" },
  vmsig_uinput_abs_setup: { parameters: ["i32", "i32", "buffer"], result: "i32" },
  vmsig_uinput_create: { parameters: ["i32"], result: "i32" },
  vmsig_uinput_destroy: { parameters: ["i32"], result: "i32" },
  vmsig_uinput_sysname: { parameters: ["i32", "buffer", "i32"], result: "i32" },
  vmsig_uinput_write: { parameters: ["i32", "buffer", "i32"], result: "i32" },
} as const;

/** The loaded functions, by their C names. A result below zero is a negated errno. */
export type ShimSymbols = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];
