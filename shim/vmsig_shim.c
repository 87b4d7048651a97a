/*
 * Descriptors, files, waiting, time and memory: see vmsig_shim.h for the conventions.
 */
#define _GNU_SOURCE
#include "vmsig_shim.h"

#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_SECOND 1000000000.0

int32_t vmsig_result(long result)
{
    return result < 0 ? -errno : (int32_t)result;
}

int32_t vmsig_shim_version(void)
{
    return VMSIG_SHIM_VERSION;
}

/* Copies a text, cut to fit; its length. */
static int32_t give_text(const char *text, char *out, int32_t bytes)
{
    if (bytes <= 0)
        return -EINVAL;
    size_t length = strnlen(text ? text : "", (size_t)bytes - 1);
    if (length > 0)
        memcpy(out, text, length);
    out[length] = 0;
    return (int32_t)length;
}

int32_t vmsig_errno_name(int32_t error, char *out, int32_t bytes)
{
    return give_text(strerrorname_np(error), out, bytes);
}

int32_t vmsig_errno_text(int32_t error, char *out, int32_t bytes)
{
    return give_text(strerrordesc_np(error), out, bytes);
}

/* Descriptors and files */

int32_t vmsig_open(const char *path, int32_t flags, int32_t mode)
{
    return vmsig_result(open(path, flags | O_CLOEXEC, (mode_t)mode));
}

int32_t vmsig_close(int32_t fd)
{
    return vmsig_result(close(fd));
}

/* The new number is `least` or above. */
int32_t vmsig_dup(int32_t fd, int32_t least)
{
    return vmsig_result(fcntl(fd, F_DUPFD_CLOEXEC, least));
}

int32_t vmsig_unlink(const char *path)
{
    return vmsig_result(unlink(path));
}

int32_t vmsig_chmod(const char *path, int32_t mode)
{
    return vmsig_result(chmod(path, (mode_t)mode));
}

int32_t vmsig_fchmod(int32_t fd, int32_t mode)
{
    return vmsig_result(fchmod(fd, (mode_t)mode));
}

static void give_stat(const struct stat *info, double *out)
{
    out[0] = (double)info->st_size;
    out[1] = (double)info->st_dev;
    out[2] = (double)info->st_ino;
    out[3] = (double)info->st_mode;
    out[4] = (double)info->st_uid;
    out[5] = (double)info->st_gid;
    out[6] = (double)info->st_nlink;
    out[7] = (double)info->st_blocks * 512.0;
}

int32_t vmsig_fstat(int32_t fd, double *out)
{
    struct stat info;
    if (fstat(fd, &info) < 0)
        return -errno;
    give_stat(&info, out);
    return 0;
}

/* The type of the file system, a number of linux/magic.h. */
double vmsig_fstatfs(int32_t fd)
{
    struct statfs info;
    return fstatfs(fd, &info) < 0 ? -errno : (double)(uint32_t)info.f_type;
}

int32_t vmsig_lstat(const char *path, double *out)
{
    struct stat info;
    if (lstat(path, &info) < 0)
        return -errno;
    give_stat(&info, out);
    return 0;
}

int32_t vmsig_flock(int32_t fd, int32_t operation)
{
    return vmsig_result(flock(fd, operation));
}

int32_t vmsig_ftruncate(int32_t fd, double bytes)
{
    return vmsig_result(ftruncate(fd, (off_t)bytes));
}

double vmsig_lseek(int32_t fd, double offset, int32_t whence)
{
    off_t result = lseek(fd, (off_t)offset, whence);
    return result < 0 ? -errno : (double)result;
}

int32_t vmsig_read(int32_t fd, uint8_t *bytes, double offset, int32_t length)
{
    return vmsig_result(read(fd, bytes + (size_t)offset, (size_t)length));
}

/* Entries of a folder, as the kernel lays them out (struct linux_dirent64); 0 at its end. */
int32_t vmsig_getdents(int32_t fd, uint8_t *entries, int32_t bytes)
{
    return vmsig_result(getdents64(fd, entries, (size_t)bytes));
}

int32_t vmsig_write(int32_t fd, const uint8_t *bytes, double offset, int32_t length)
{
    return vmsig_result(write(fd, bytes + (size_t)offset, (size_t)length));
}

int32_t vmsig_pread(int32_t fd, uint8_t *bytes, double offset, int32_t length, double position)
{
    return vmsig_result(pread(fd, bytes + (size_t)offset, (size_t)length, (off_t)position));
}

int32_t vmsig_pwrite(int32_t fd, const uint8_t *bytes, double offset, int32_t length, double position)
{
    return vmsig_result(pwrite(fd, bytes + (size_t)offset, (size_t)length, (off_t)position));
}

int32_t vmsig_pipe(int32_t *out)
{
    return vmsig_result(pipe2(out, O_CLOEXEC | O_NONBLOCK));
}

/* Waiting and time */

int32_t vmsig_epoll_create(void)
{
    return vmsig_result(epoll_create1(EPOLL_CLOEXEC));
}

int32_t vmsig_epoll_ctl(int32_t epoll, int32_t operation, int32_t fd, uint32_t events, uint32_t tag)
{
    struct epoll_event event = {.events = events, .data = {.u64 = tag}};
    return vmsig_result(epoll_ctl(epoll, operation, fd, &event));
}

int32_t vmsig_epoll_wait(int32_t epoll, double events, int32_t max, int32_t timeout_ms)
{
    return vmsig_result(epoll_wait(epoll, (struct epoll_event *)(uintptr_t)events, max, timeout_ms));
}

/* Not glibc's epoll_pwait2: that wants glibc 2.35, the system call only Linux 5.11. */
int32_t vmsig_epoll_wait_ns(int32_t epoll, double events, int32_t max, double timeout_ns)
{
    struct timespec timeout;
    timeout.tv_sec = (time_t)(timeout_ns / NS_PER_SECOND);
    timeout.tv_nsec = (long)(timeout_ns - (double)timeout.tv_sec * NS_PER_SECOND);
    return vmsig_result(
        syscall(SYS_epoll_pwait2, epoll, (struct epoll_event *)(uintptr_t)events, max, &timeout, NULL, 0));
}

/* What of `events` (EPOLLIN and so on, which are POLLIN and so on) holds now; HUP and ERR always count. */
int32_t vmsig_poll(int32_t fd, int32_t events)
{
    struct pollfd one = { .fd = fd, .events = (short)events };
    int count = poll(&one, 1, 0);
    return count < 0 ? -errno : one.revents;
}

int32_t vmsig_eventfd(int32_t semaphore)
{
    return vmsig_result(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | (semaphore ? EFD_SEMAPHORE : 0)));
}

int32_t vmsig_eventfd_write(int32_t fd, double count)
{
    uint64_t value = (uint64_t)count;
    return vmsig_result(write(fd, &value, sizeof value));
}

/* Serves a timerfd too: both give a 64-bit count. */
double vmsig_eventfd_read(int32_t fd)
{
    uint64_t value;
    return read(fd, &value, sizeof value) < 0 ? -errno : (double)value;
}

int32_t vmsig_timerfd(void)
{
    return vmsig_result(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
}

/* An absolute deadline; 0 disarms, as the system call has it. */
int32_t vmsig_timerfd_settime(int32_t fd, double deadline_ns)
{
    struct itimerspec spec = {0};
    spec.it_value.tv_sec = (time_t)(deadline_ns / NS_PER_SECOND);
    spec.it_value.tv_nsec = (long)(deadline_ns - (double)spec.it_value.tv_sec * NS_PER_SECOND);
    return vmsig_result(timerfd_settime(fd, TFD_TIMER_ABSTIME, &spec, NULL));
}

double vmsig_clock_ns(int32_t clock)
{
    struct timespec now;
    if (clock_gettime(clock, &now) < 0)
        return -errno;
    return (double)now.tv_sec * NS_PER_SECOND + (double)now.tv_nsec;
}

/* The calling thread alone: SCHED_RR with a priority, SCHED_OTHER with 0. Threads that it makes later are
 * ordinary ones. */
int32_t vmsig_set_realtime(int32_t priority)
{
    struct sched_param param = { .sched_priority = priority };
    /* The flag stays set on the way back: only the privileged may take it away. */
    int policy = (priority > 0 ? SCHED_RR : SCHED_OTHER) | SCHED_RESET_ON_FORK;
    return vmsig_result(sched_setscheduler(0, policy, &param));
}

/* The calling thread alone stays ordinary, and asks for long slices: whoever wakes up and wants a shorter one
 * runs at once (Linux 6.12 and later; earlier ones take the slice and do nothing with it). */
int32_t vmsig_yield_to_wakers(int32_t nice, double slice_ns)
{
    /* struct sched_attr, version 0: glibc has it only from 2.41 on. */
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
    } attr = { .size = sizeof attr, .policy = SCHED_OTHER, .nice = nice, .runtime = (uint64_t)slice_ns };
    return vmsig_result((int)syscall(SYS_sched_setattr, 0, &attr, 0));
}

/* Memory */

int32_t vmsig_memfd_create(const char *name, int32_t flags)
{
    return vmsig_result(memfd_create(name, (unsigned)flags | MFD_CLOEXEC));
}

int32_t vmsig_add_seals(int32_t fd, int32_t seals)
{
    return vmsig_result(fcntl(fd, F_ADD_SEALS, seals));
}

int32_t vmsig_get_seals(int32_t fd)
{
    return vmsig_result(fcntl(fd, F_GET_SEALS));
}

/* Others' memory, a guest's RAM for instance, is left out of a core of this process. A kernel that knows no
 * such advice dumps it: that is not a reason to refuse the mapping. */
static double vmsig_not_dumped(void *mapped, double length)
{
    (void)madvise(mapped, (size_t)length, MADV_DONTDUMP);
    return (double)(uintptr_t)mapped;
}

/* Shared memory of a file; of nothing (zeros, private) when fd is -1. */
double vmsig_mmap(int32_t fd, double offset, double length, int32_t write)
{
    int protection = write ? PROT_READ | PROT_WRITE : PROT_READ;
    int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
    void *address = mmap(NULL, (size_t)length, protection, flags, fd, (off_t)offset);
    if (address == MAP_FAILED) return -errno;
    return fd < 0 ? (double)(uintptr_t)address : vmsig_not_dumped(address, length);
}

/* A piece of a file, read-only, in place of what is mapped there: the caller owns the whole range. */
double vmsig_mmap_over(double address, int32_t fd, double offset, double length)
{
    void *place = (void *)(uintptr_t)address;
    void *mapped = mmap(place, (size_t)length, PROT_READ, MAP_SHARED | MAP_FIXED, fd, (off_t)offset);
    return mapped == MAP_FAILED ? -errno : vmsig_not_dumped(mapped, length);
}

/* Takes the pages of mapped files out of our page tables; they stay in their files, and come back when
 * they are touched. */
int32_t vmsig_let_go(double address, double length)
{
    return vmsig_result(madvise((void *)(uintptr_t)address, (size_t)length, MADV_DONTNEED));
}

int32_t vmsig_munmap(double address, double length)
{
    return vmsig_result(munmap((void *)(uintptr_t)address, (size_t)length));
}

double vmsig_load64(double address)
{
    return (double)__atomic_load_n((const uint64_t *)(uintptr_t)address, __ATOMIC_SEQ_CST);
}

/* One store that is never seen in part; the caller has checked size, alignment and bounds. */
void vmsig_store(double address, int32_t size, uint32_t low, uint32_t high)
{
    void *at = (void *)(uintptr_t)address;
    switch (size) {
    case 1:
        __atomic_store_n((uint8_t *)at, (uint8_t)low, __ATOMIC_SEQ_CST);
        break;
    case 2:
        __atomic_store_n((uint16_t *)at, (uint16_t)low, __ATOMIC_SEQ_CST);
        break;
    case 4:
        __atomic_store_n((uint32_t *)at, low, __ATOMIC_SEQ_CST);
        break;
    case 8:
        __atomic_store_n((uint64_t *)at, (uint64_t)high << 32 | low, __ATOMIC_SEQ_CST);
        break;
    }
}

/* Copies between a mapping and an array, where a part of an array would cost JavaScript an object a copy. */
void vmsig_copy_in(double address, const uint8_t *bytes, double offset, int32_t length)
{
    memcpy((void *)(uintptr_t)address, bytes + (size_t)offset, (size_t)length);
}

void vmsig_copy_out(double address, uint8_t *bytes, double offset, int32_t length)
{
    memcpy(bytes + (size_t)offset, (const void *)(uintptr_t)address, (size_t)length);
}

/* Where the pattern first lies whole in a range that is mapped, counted from its start; -1 for nowhere. */
double vmsig_find(double address, double length, const uint8_t *pattern, int32_t bytes)
{
    const char *start = (const char *)(uintptr_t)address;
    const char *found = memmem(start, (size_t)length, pattern, (size_t)bytes);
    return found == NULL ? -1 : (double)(found - start);
}
