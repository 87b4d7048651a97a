/*
 * Watching, signals, processes: see vmsig_shim.h for the conventions.
 *
 * A signal's handler writes to an eventfd and does nothing else: a thread that sits in epoll_wait hears of it
 * as of any other event, whichever thread the kernel chose to interrupt.
 */
#define _GNU_SOURCE
#include "vmsig_shim.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The eventfd of each signal, plus one: zero is "none". */
static _Atomic int eventfds[_NSIG];

static void write_eventfd(int signal)
{
    int saved = errno;
    int fd = atomic_load(&eventfds[signal]) - 1;
    uint64_t one = 1;
    if (fd >= 0) {
        /* A full counter is still readable, and in a handler there is nobody to tell of anything else. */
        ssize_t ignored = write(fd, &one, sizeof one);
        (void)ignored;
    }
    errno = saved;
}

int32_t vmsig_signal_to_eventfd(int32_t signal, int32_t fd)
{
    if (signal < 1 || signal >= _NSIG || fd < 0)
        return -EINVAL;
    struct sigaction action = {.sa_handler = write_eventfd, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    atomic_store(&eventfds[signal], fd + 1);
    return vmsig_result(sigaction(signal, &action, NULL));
}

/* Back to what a signal does by itself, or ignored. */
int32_t vmsig_signal_reset(int32_t signal, int32_t ignore)
{
    if (signal < 1 || signal >= _NSIG)
        return -EINVAL;
    struct sigaction action = {.sa_handler = ignore ? SIG_IGN : SIG_DFL};
    sigemptyset(&action.sa_mask);
    int32_t result = vmsig_result(sigaction(signal, &action, NULL));
    atomic_store(&eventfds[signal], 0);
    return result;
}

int32_t vmsig_kill(int32_t pid, int32_t signal)
{
    return vmsig_result(kill(pid, signal));
}

int32_t vmsig_pidfd_open(int32_t pid)
{
    return vmsig_result(syscall(SYS_pidfd_open, pid, 0));
}

int32_t vmsig_pidfd_signal(int32_t pidfd, int32_t signal)
{
    return vmsig_result(syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0));
}

int32_t vmsig_inotify_init(void)
{
    return vmsig_result(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
}

int32_t vmsig_inotify_add(int32_t fd, const char *path, uint32_t mask)
{
    return vmsig_result(inotify_add_watch(fd, path, mask));
}

int32_t vmsig_inotify_remove(int32_t fd, int32_t watch)
{
    return vmsig_result(inotify_rm_watch(fd, watch));
}
