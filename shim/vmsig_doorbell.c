/*
 * Doorbells that are shared with a peer: see vmsig_shim.h for the conventions.
 *
 * An eventfd that was passed to another process is one open file for both: the peer may take O_NONBLOCK off
 * it and fill its counter, and then write() sleeps until somebody reads, for ever. Looking first (fcntl,
 * poll) helps against a peer that did so before, not against one that does so between the look and the write;
 * write() takes no flag for one call (RWF_NOWAIT is refused for eventfds), and an eventfd cannot be opened a
 * second time.
 *
 * So a bell is not rung by write(), but by the kernel: an asynchronous poll of the bell itself, to be
 * signalled on the bell itself (IOCB_CMD_POLL with IOCB_FLAG_RESFD). It is done before io_submit returns,
 * since an eventfd is always readable, writable or in error; the kernel's signal adds 1 or leaves a full
 * counter full, and never sleeps, whatever flags the file has. What the poll saw tells whether the bell was
 * full. One system call, 0.6 us where write() takes 0.2.
 *
 * Where that is not to be had (fs.aio-max-nr is used up, a sandbox forbids it, Linux before 4.18): poll(),
 * then write() under a timer that interrupts this thread every few ms until the write is over. Reading is
 * preadv2() with RWF_NOWAIT, and under the same timer on a kernel (before 5.8) that refuses that.
 */
#define _GNU_SOURCE
#include "vmsig_shim.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* Of no use to anybody else in this process: Deno and V8 take none of the realtime signals. */
#define WAKE_SIGNAL (SIGRTMIN + 11)
#define WAKE_EVERY_NS 5000000

/* What io_setup maps at the address that is the context's id (the kernel's struct aio_ring). */
struct completions {
    uint32_t id;
    uint32_t count;
    uint32_t head; /* ours to move */
    uint32_t tail;
    uint32_t magic;
    uint32_t compatible;
    uint32_t incompatible;
    uint32_t header_bytes;
    struct io_event events[];
};
#define COMPLETIONS_MAGIC 0xa10a10a1u

static pthread_mutex_t submitting = PTHREAD_MUTEX_INITIALIZER;
static struct completions *completions;
static uint64_t submissions;

/* Makes the context, once; when there is no room for one now, the next ring tries again. */
static int have_completions(void)
{
    if (completions != NULL)
        return 1;
    aio_context_t context = 0;
    if (syscall(SYS_io_setup, 8, &context) < 0)
        return 0;
    struct completions *ring = (struct completions *)(uintptr_t)context;
    if (ring->magic != COMPLETIONS_MAGIC || ring->incompatible != 0 || ring->count == 0) {
        syscall(SYS_io_destroy, context);
        return 0;
    }
    completions = ring;
    return 1;
}

/* Takes all that is complete; what the poll with this number saw, 0 when it is not among it. */
static int64_t seen_by(uint64_t number)
{
    int64_t seen = 0;
    uint32_t head = completions->head;
    uint32_t tail = __atomic_load_n(&completions->tail, __ATOMIC_ACQUIRE);
    while (head != tail) {
        const struct io_event *event = &completions->events[head % completions->count];
        if (event->data == number)
            seen = event->res;
        head = (head + 1) % completions->count;
    }
    __atomic_store_n(&completions->head, head, __ATOMIC_RELEASE);
    return seen;
}

/* -ENOSYS: not to be had now, try the other way. */
static int32_t ring_by_kernel(int32_t fd)
{
    pthread_mutex_lock(&submitting);
    int32_t result = -ENOSYS;
    if (have_completions()) {
        struct iocb poll_it = {
            .aio_data = ++submissions,
            .aio_lio_opcode = IOCB_CMD_POLL,
            .aio_fildes = (uint32_t)fd,
            .aio_buf = POLLIN | POLLOUT,
            .aio_flags = IOCB_FLAG_RESFD,
            .aio_resfd = (uint32_t)fd,
        };
        struct iocb *list = &poll_it;
        if (syscall(SYS_io_submit, (aio_context_t)(uintptr_t)completions, 1, &list) == 1) {
            int64_t seen = seen_by(submissions);
            /* Nothing seen: somebody touched the bell just then, and the kernel completes it in a moment.
             * It rings. */
            result = seen == 0 || (seen & POLLOUT) != 0;
        }
    }
    pthread_mutex_unlock(&submitting);
    return result;
}

static void nothing(int signal)
{
    (void)signal;
}

/* From here on no system call of this thread sleeps for longer than WAKE_EVERY_NS; the timer's id. */
static int32_t begin_waking(sigset_t *former)
{
    /* Without SA_RESTART: what it interrupts ends. Again and again, for one that comes before the call
     * sleeps is lost. */
    struct sigaction action = {.sa_handler = nothing};
    sigset_t wake;
    int timer;
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = WAKE_SIGNAL};
    struct itimerspec every = {.it_value.tv_nsec = WAKE_EVERY_NS, .it_interval.tv_nsec = WAKE_EVERY_NS};
    sigemptyset(&action.sa_mask);
    if (sigaction(WAKE_SIGNAL, &action, NULL) < 0)
        return -errno;
    event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
    if (syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &timer) < 0)
        return -errno;
    sigemptyset(&wake);
    sigaddset(&wake, WAKE_SIGNAL);
    sigprocmask(SIG_UNBLOCK, &wake, former); /* of this thread alone, as Linux has it */
    syscall(SYS_timer_settime, timer, 0, &every, NULL);
    return timer;
}

static void end_waking(int32_t timer, const sigset_t *former)
{
    syscall(SYS_timer_delete, timer);
    sigprocmask(SIG_SETMASK, former, NULL);
}

/* Whether it is ready now: 1, 0, or an error. */
static int32_t ready_for(int32_t fd, short events)
{
    struct pollfd one = {.fd = fd, .events = events};
    if (poll(&one, 1, 0) < 0)
        return -errno;
    return one.revents & POLLNVAL ? -EBADF : (one.revents & events) != 0;
}

/* The other way: 1 it rang, 0 it is full. */
int32_t vmsig_bell_ring_timed(int32_t fd)
{
    int32_t room = ready_for(fd, POLLOUT);
    if (room <= 0)
        return room;
    sigset_t former;
    int32_t timer = begin_waking(&former);
    if (timer < 0)
        return timer;
    uint64_t one = 1;
    int32_t result = vmsig_result(write(fd, &one, sizeof one));
    end_waking(timer, &former);
    if (result == -EINTR || result == -EAGAIN)
        return 0; /* it was filled behind our back */
    return result < 0 ? result : 1;
}

/* Adds 1 to a bell that a peer holds as well: 1 it rang, 0 it is full, which only a peer does that means
 * harm. */
int32_t vmsig_bell_ring(int32_t fd)
{
    int32_t result = ring_by_kernel(fd);
    return result < 0 ? vmsig_bell_ring_timed(fd) : result;
}

/* Takes the count of a bell that a peer holds as well; -EAGAIN when there is none. */
double vmsig_bell_hush(int32_t fd)
{
    uint64_t value;
    struct iovec into = {.iov_base = &value, .iov_len = sizeof value};
    if (preadv2(fd, &into, 1, -1, RWF_NOWAIT) >= 0)
        return (double)value;
    if (errno != EOPNOTSUPP && errno != ENOSYS)
        return -errno;
    int32_t count = ready_for(fd, POLLIN);
    if (count <= 0)
        return count < 0 ? count : -EAGAIN;
    sigset_t former;
    int32_t timer = begin_waking(&former);
    if (timer < 0)
        return timer;
    int error = read(fd, &value, sizeof value) < 0 ? errno : 0;
    end_waking(timer, &former);
    return error == 0 ? (double)value : error == EINTR ? -EAGAIN : -error;
}

/* Whether a descriptor is an eventfd. It asks for a name and not for a status: a file's server could let
 * fstat() wait. */
int32_t vmsig_is_eventfd(int32_t fd)
{
    static const char eventfd_name[] = "anon_inode:[eventfd]";
    char path[40], name[sizeof eventfd_name];
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0)
        return -errno;
    if ((flags & (O_ACCMODE | O_PATH)) != O_RDWR)
        return 0;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(path, name, sizeof name);
    if (length < 0)
        return -errno;
    return length == sizeof eventfd_name - 1 && memcmp(name, eventfd_name, (size_t)length) == 0;
}
