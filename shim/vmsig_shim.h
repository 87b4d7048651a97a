/*
 * The C shim: what Deno cannot call by itself. One function a system call, no policy, no parsing of anybody's
 * data; beside them libc's copies and search of mapped memory, loops over pixels (vmsig_rows.c, vmsig_gray.c,
 * vmsig_area.c), what has to be done within a signal's handler (vmsig_signal.c, vmsig_guard.c), the threads
 * that close what a peer had a hand in (vmsig_closer.c), and the ring that no peer can make wait
 * (vmsig_doorbell.c).
 *
 * Conventions, so that a call costs nothing on the JavaScript side:
 *   - a result below zero is a negated errno, everything else is what the call returned;
 *   - addresses, offsets, sizes and nanoseconds are doubles (exact below 2^53; a user address has 47 bits): a
 *     64-bit integer would come out as a BigInt;
 *   - paths are NUL-terminated UTF-8;
 *   - every descriptor is made close-on-exec, every socket nonblocking.
 *
 * ffi/symbols.ts is this header once more, for Deno. Who changes one changes the other and raises the
 * version.
 */
#ifndef VMSIG_SHIM_H
#define VMSIG_SHIM_H

#include <stdint.h>

#define VMSIG_SHIM_VERSION 15
#define VMSIG_API __attribute__((visibility("default")))

/* A system call's result as the shim hands it back. */
int32_t vmsig_result(long result);

/* About itself, and errors */
VMSIG_API int32_t vmsig_shim_version(void);
VMSIG_API int32_t vmsig_errno_name(int32_t error, char *out, int32_t bytes);
VMSIG_API int32_t vmsig_errno_text(int32_t error, char *out, int32_t bytes);

/* Descriptors and files */
VMSIG_API int32_t vmsig_open(const char *path, int32_t flags, int32_t mode);
VMSIG_API int32_t vmsig_close(int32_t fd);
VMSIG_API int32_t vmsig_close_elsewhere(int32_t fd, int32_t is_connection);
VMSIG_API int32_t vmsig_dup(int32_t fd, int32_t least);
VMSIG_API int32_t vmsig_unlink(const char *path);
VMSIG_API int32_t vmsig_chmod(const char *path, int32_t mode);
VMSIG_API int32_t vmsig_fchmod(int32_t fd, int32_t mode);
VMSIG_API int32_t vmsig_fstat(int32_t fd, double *out);
VMSIG_API double vmsig_fstatfs(int32_t fd);
VMSIG_API int32_t vmsig_lstat(const char *path, double *out);
VMSIG_API int32_t vmsig_flock(int32_t fd, int32_t operation);
VMSIG_API int32_t vmsig_ftruncate(int32_t fd, double bytes);
VMSIG_API double vmsig_lseek(int32_t fd, double offset, int32_t whence);
VMSIG_API int32_t vmsig_read(int32_t fd, uint8_t *bytes, double offset, int32_t length);
VMSIG_API int32_t vmsig_write(int32_t fd, const uint8_t *bytes, double offset, int32_t length);
VMSIG_API int32_t vmsig_pread(int32_t fd, uint8_t *bytes, double offset, int32_t length, double position);
VMSIG_API int32_t vmsig_pwrite(int32_t fd, const uint8_t *bytes, double offset, int32_t length, double position);
VMSIG_API int32_t vmsig_pipe(int32_t *out);
VMSIG_API int32_t vmsig_getdents(int32_t fd, uint8_t *entries, int32_t bytes);

/* Rows of a picture; see vmsig_rows.c for the request's shape */
VMSIG_API int32_t vmsig_read_rows(int32_t fd, uint8_t *picture, double *request, uint8_t *scratch,
                                  int32_t scratch_bytes);

/* Needles; see vmsig_gray.c and vmsig_area.c for the requests' shapes */
VMSIG_API int32_t vmsig_gray_part(const uint8_t *rgba, const int32_t *request, uint8_t *gray);
VMSIG_API int32_t vmsig_find_area(const uint8_t *scene, const uint8_t *wanted, double *request);

/* Waiting and time */
VMSIG_API int32_t vmsig_epoll_create(void);
VMSIG_API int32_t vmsig_epoll_ctl(int32_t epoll, int32_t operation, int32_t fd, uint32_t events, uint32_t tag);
VMSIG_API int32_t vmsig_epoll_wait(int32_t epoll, double events, int32_t max, int32_t timeout_ms);
VMSIG_API int32_t vmsig_epoll_wait_ns(int32_t epoll, double events, int32_t max, double timeout_ns);
VMSIG_API int32_t vmsig_poll(int32_t fd, int32_t events);
VMSIG_API int32_t vmsig_eventfd(int32_t semaphore);
VMSIG_API int32_t vmsig_eventfd_write(int32_t fd, double count);
VMSIG_API double vmsig_eventfd_read(int32_t fd);
VMSIG_API int32_t vmsig_timerfd(void);
VMSIG_API int32_t vmsig_timerfd_settime(int32_t fd, double deadline_ns);
VMSIG_API double vmsig_clock_ns(int32_t clock);
VMSIG_API int32_t vmsig_set_realtime(int32_t priority);
VMSIG_API int32_t vmsig_yield_to_wakers(int32_t nice, double slice_ns);

/* Doorbells that a peer holds as well; see vmsig_doorbell.c */
VMSIG_API int32_t vmsig_bell_ring(int32_t fd);
VMSIG_API int32_t vmsig_bell_ring_timed(int32_t fd);
VMSIG_API double vmsig_bell_hush(int32_t fd);
VMSIG_API int32_t vmsig_is_eventfd(int32_t fd);

/* Memory */
VMSIG_API int32_t vmsig_memfd_create(const char *name, int32_t flags);
VMSIG_API int32_t vmsig_add_seals(int32_t fd, int32_t seals);
VMSIG_API int32_t vmsig_get_seals(int32_t fd);
VMSIG_API double vmsig_mmap(int32_t fd, double offset, double length, int32_t write);
VMSIG_API double vmsig_mmap_over(double address, int32_t fd, double offset, double length);
VMSIG_API int32_t vmsig_let_go(double address, double length);
VMSIG_API int32_t vmsig_munmap(double address, double length);
VMSIG_API int32_t vmsig_guard(double address, double length, int32_t write);
VMSIG_API int32_t vmsig_guard_lost(int32_t guard);
VMSIG_API int32_t vmsig_unguard(int32_t guard);
VMSIG_API double vmsig_load64(double address);
VMSIG_API void vmsig_store(double address, int32_t size, uint32_t low, uint32_t high);
VMSIG_API void vmsig_copy_in(double address, const uint8_t *bytes, double offset, int32_t length);
VMSIG_API void vmsig_copy_out(double address, uint8_t *bytes, double offset, int32_t length);
VMSIG_API double vmsig_find(double address, double length, const uint8_t *pattern, int32_t bytes);

/* Unix sockets */
VMSIG_API int32_t vmsig_socket(int32_t type);
VMSIG_API int32_t vmsig_socketpair(int32_t type, int32_t *out);
/* Of a descriptor that somebody else has made: reading and writing never wait from now on. */
VMSIG_API int32_t vmsig_set_nonblocking(int32_t fd);
VMSIG_API int32_t vmsig_bind(int32_t fd, const char *path);
VMSIG_API int32_t vmsig_listen(int32_t fd, int32_t backlog);
VMSIG_API int32_t vmsig_connect(int32_t fd, const char *path);
VMSIG_API int32_t vmsig_connect_abstract(int32_t fd, const char *name, int32_t length);
VMSIG_API int32_t vmsig_connect_inet(const char *text, int32_t port);
VMSIG_API int32_t vmsig_accept(int32_t fd);
VMSIG_API int32_t vmsig_shutdown(int32_t fd, int32_t how);
VMSIG_API int32_t vmsig_unix_socket(uint32_t number, double *out);
VMSIG_API int32_t vmsig_peer_credentials(int32_t fd, uint32_t *out);
VMSIG_API int32_t vmsig_peer_pidfd(int32_t fd);
VMSIG_API int32_t vmsig_socket_error(int32_t fd);
VMSIG_API int32_t vmsig_set_socket_option(int32_t fd, int32_t option, int32_t value);

/* Packets; see vmsig_batch.c for the block's shape */
VMSIG_API int32_t vmsig_send(int32_t fd, const uint8_t *bytes, double offset, int32_t length);
VMSIG_API int32_t vmsig_send_fds(int32_t fd, const uint8_t *bytes, double offset, int32_t length, const int32_t *fds,
                                 int32_t count);
VMSIG_API double vmsig_batch_bytes(int32_t frames, int32_t frame_bytes, int32_t max_fds);
VMSIG_API double vmsig_batch_init(double address, int32_t frames, int32_t frame_bytes, int32_t max_fds);
VMSIG_API int32_t vmsig_batch_receive(int32_t fd, double address);
VMSIG_API int32_t vmsig_batch_send(int32_t fd, double address, int32_t from, int32_t to);

/* Watching, signals, processes */
VMSIG_API int32_t vmsig_inotify_init(void);
VMSIG_API int32_t vmsig_inotify_add(int32_t fd, const char *path, uint32_t mask);
VMSIG_API int32_t vmsig_inotify_remove(int32_t fd, int32_t watch);
VMSIG_API int32_t vmsig_signal_to_eventfd(int32_t signal, int32_t fd);
VMSIG_API int32_t vmsig_signal_reset(int32_t signal, int32_t ignore);
VMSIG_API int32_t vmsig_kill(int32_t pid, int32_t signal);
VMSIG_API int32_t vmsig_pidfd_open(int32_t pid);
VMSIG_API int32_t vmsig_pidfd_signal(int32_t pidfd, int32_t signal);

/* uinput */
VMSIG_API int32_t vmsig_uinput_set_bit(int32_t fd, int32_t what, int32_t bit);
VMSIG_API int32_t vmsig_uinput_setup(int32_t fd, const uint32_t *id, const char *name, uint32_t effects);
VMSIG_API int32_t vmsig_uinput_abs_setup(int32_t fd, int32_t code, const int32_t *info);
VMSIG_API int32_t vmsig_uinput_create(int32_t fd);
VMSIG_API int32_t vmsig_uinput_destroy(int32_t fd);
VMSIG_API int32_t vmsig_uinput_sysname(int32_t fd, char *out, int32_t bytes);
VMSIG_API int32_t vmsig_uinput_write(int32_t fd, const int32_t *events, int32_t count);

#endif
