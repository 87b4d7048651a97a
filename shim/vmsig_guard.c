/*
 * Mapped files that somebody else may cut: see vmsig_shim.h for the conventions.
 *
 * Touching a mapped page past the end of its file is a SIGBUS, which ends the process. For ranges that are
 * guarded, the handler puts zeros in the place of the page and of all that follows in the range, notes that
 * the range has lost its file, and the access goes on, whoever made it: code of ours or compiled JavaScript.
 * It is not for saving anything: it is for hearing of the loss by asking instead of by dying. Any other
 * SIGBUS goes where it went before.
 *
 * The handler takes no lock: a slot is read as a seqlock is. The slot that a fault belongs to stands still,
 * because the thread that faults is the one that could change it; a slot that is changing meanwhile is
 * another thread's, and passed over.
 */
#define _GNU_SOURCE
#include "vmsig_shim.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>

#define MAX_GUARDS 4096

/* Huge pages are replaced as a whole. */
static const uintptr_t page_sizes[] = {4096, 2u << 20, 1u << 30};

struct guard {
    _Atomic uint32_t sequence; /* odd while it is changed */
    _Atomic uintptr_t start;   /* zero: free */
    _Atomic uintptr_t end;
    _Atomic int protection;
    _Atomic int lost;
};

static struct guard guards[MAX_GUARDS];
/* Not a spin lock: the loop's thread may be realtime, and would keep the one that has the lock from its
 * processor. */
static pthread_mutex_t changing = PTHREAD_MUTEX_INITIALIZER;
static int installed;
static struct sigaction former;

static void set_guard(struct guard *guard, uintptr_t start, uintptr_t end, int protection)
{
    atomic_fetch_add(&guard->sequence, 1);
    atomic_store(&guard->start, start);
    atomic_store(&guard->end, end);
    atomic_store(&guard->protection, protection);
    atomic_store(&guard->lost, 0);
    atomic_fetch_add(&guard->sequence, 1);
}

/* Zeros from the page of `address` to `end`. */
static int put_zeros(uintptr_t address, uintptr_t start, uintptr_t end, int protection)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
    for (size_t i = 0; i < sizeof page_sizes / sizeof *page_sizes; i++) {
        uintptr_t page = address & ~(page_sizes[i] - 1);
        if (page < start)
            return 0;
        if (mmap((void *)page, end - page, protection, flags, -1, 0) != MAP_FAILED)
            return 1;
    }
    return 0;
}

static int replace(uintptr_t address)
{
    for (int i = 0; i < MAX_GUARDS; i++) {
        struct guard *guard = &guards[i];
        uint32_t before = atomic_load(&guard->sequence);
        uintptr_t start = atomic_load(&guard->start);
        uintptr_t end = atomic_load(&guard->end);
        int protection = atomic_load(&guard->protection);
        if (before % 2 != 0 || atomic_load(&guard->sequence) != before)
            continue;
        if (start == 0 || address < start || address >= end)
            continue;
        atomic_store(&guard->lost, 1);
        return put_zeros(address, start, end, protection);
    }
    return 0;
}

static void on_bus_error(int signal, siginfo_t *info, void *context)
{
    int saved = errno;
    int replaced = info->si_code == BUS_ADRERR && replace((uintptr_t)info->si_addr);
    errno = saved;
    if (replaced)
        return;
    if (former.sa_flags & SA_SIGINFO) {
        former.sa_sigaction(signal, info, context);
    } else if (former.sa_handler != SIG_DFL && former.sa_handler != SIG_IGN) {
        former.sa_handler(signal);
    } else if (former.sa_handler == SIG_DFL || info->si_code > 0) {
        /* A fault is repeated, and then ends the process; a signal that somebody sent has to be sent
         * again. */
        struct sigaction action = {.sa_handler = SIG_DFL};
        sigaction(signal, &action, NULL);
        if (info->si_code <= 0)
            raise(signal);
    }
}

static int32_t install(void)
{
    if (installed)
        return 0;
    struct sigaction action = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGBUS, &action, &former) < 0)
        return -errno;
    installed = 1;
    return 0;
}

static int32_t take_guard(uintptr_t start, uintptr_t end, int protection)
{
    for (int32_t i = 0; i < MAX_GUARDS; i++) {
        if (atomic_load(&guards[i].start) != 0)
            continue;
        set_guard(&guards[i], start, end, protection);
        return i;
    }
    return -ENOMEM;
}

/* Guards a range that is mapped; the guard's number. Every guard is taken away before its range is
 * unmapped. */
int32_t vmsig_guard(double address, double length, int32_t write)
{
    uintptr_t start = (uintptr_t)address;
    uintptr_t end = (start + (uintptr_t)length + 4095) & ~(uintptr_t)4095;
    pthread_mutex_lock(&changing);
    int32_t result = install();
    if (result == 0)
        result = take_guard(start, end, write ? PROT_READ | PROT_WRITE : PROT_READ);
    pthread_mutex_unlock(&changing);
    return result;
}

/* 1 when something in the range was no longer there when it was touched. */
int32_t vmsig_guard_lost(int32_t guard)
{
    return guard < 0 || guard >= MAX_GUARDS ? -EINVAL : atomic_load(&guards[guard].lost);
}

int32_t vmsig_unguard(int32_t guard)
{
    if (guard < 0 || guard >= MAX_GUARDS)
        return -EINVAL;
    pthread_mutex_lock(&changing);
    set_guard(&guards[guard], 0, 0, 0);
    pthread_mutex_unlock(&changing);
    return 0;
}
