/*
 * The transport of a v2v channel in a Linux guest: an ivshmem-doorbell device, by sysfs, without a driver.
 * BAR 2 is the region, BAR 0 the registers: +8 our peer id, +12 the doorbell (peer id << 16 | vector).
 *
 * Without a UIO driver no interrupt reaches a program: a sleep looks again after 50 us, then ever more
 * seldom, up to 1 ms.
 */
#include "vmsig_v2v.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { REGISTERS_BYTES = 256, POSITION = 2, DOORBELL = 3, LISTENER_PEER = 0x28, CONNECTOR_PEER = 0x2c };
enum { SLEEP_MIN_NS = 50000, SLEEP_MAX_NS = 1000000, PATH_BYTES = 512 };

static int read_hex(const char *folder, const char *name)
{
    char path[PATH_BYTES], text[32] = "";
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    unsigned value;
    return n > 0 && sscanf(text, "%x", &value) == 1 ? (int)value : -1;
}

static int find_device(char *folder, size_t bytes)
{
    DIR *all = opendir("/sys/bus/pci/devices");
    if (!all)
        return V2V_E_SYSTEM;
    int result = V2V_E_NOBODY;
    struct dirent *entry;
    while (result != V2V_OK && (entry = readdir(all)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(folder, bytes, "/sys/bus/pci/devices/%s", entry->d_name);
        if (read_hex(folder, "vendor") == 0x1af4 && read_hex(folder, "device") == 0x1110)
            result = V2V_OK;
    }
    closedir(all);
    return result;
}

static volatile void *map_bar(const char *folder, int bar, size_t *bytes)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/resource%d", folder, bar);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    struct stat info;
    void *at = MAP_FAILED;
    if (fstat(fd, &info) == 0 && info.st_size > 0)
        at = mmap(NULL, (size_t)info.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (at == MAP_FAILED)
        return NULL;
    *bytes = (size_t)info.st_size;
    return at;
}

/* The device's UIO node, if a driver has made one. */
static int open_uio(const char *folder)
{
    char path[PATH_BYTES + 300];
    snprintf(path, sizeof path, "%s/uio", folder);
    DIR *all = opendir(path);
    if (!all)
        return -1;
    int fd = -1;
    struct dirent *entry;
    while (fd < 0 && (entry = readdir(all)) != NULL) {
        if (strncmp(entry->d_name, "uio", 3) != 0)
            continue;
        snprintf(path, sizeof path, "/dev/%s", entry->d_name);
        fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    }
    closedir(all);
    return fd;
}

/*
 * The four vectors are those of RING.md in its order. For room both readings of it are rung (see
 * src/rendezvous/process_link.ts): vector 1 and vector 3.
 */
static void ring(void *context, int which)
{
    struct v2v_ivshmem *device = context;
    struct v2v_channel *channel = device->channel;
    size_t at = channel->listener ? CONNECTOR_PEER : LISTENER_PEER;
    uint32_t peer = __atomic_load_n((volatile uint32_t *)(channel->region + at), __ATOMIC_ACQUIRE) & 0xffff;
    uint32_t first = channel->vector_base + (which ? 1 : channel->listener ? 0 : 2);
    device->registers[DOORBELL] = peer << 16 | (first & 0xffff);
    if (which)
        device->registers[DOORBELL] = peer << 16 | ((first + 2) & 0xffff);
    device->spin = 0; /* an answer may come soon */
}

static void sleep_a_little(void *context, int timeout_ms)
{
    struct v2v_ivshmem *device = context;
    if (device->uio >= 0) {
        struct pollfd wait = {.fd = device->uio, .events = POLLIN};
        int32_t count, on = 1;
        /* Drivers that mask the interrupt want it enabled anew; others refuse the write. */
        if (write(device->uio, &on, sizeof on) < 0)
            errno = 0;
        if (poll(&wait, 1, timeout_ms) > 0 && read(device->uio, &count, sizeof count) < 0)
            errno = 0;
        return;
    }
    uint64_t ns = (uint64_t)SLEEP_MIN_NS << (device->spin / 64 < 5 ? device->spin / 64 : 5);
    if (ns > SLEEP_MAX_NS)
        ns = SLEEP_MAX_NS;
    if (timeout_ms >= 0 && ns > (uint64_t)timeout_ms * 1000000u)
        ns = (uint64_t)timeout_ms * 1000000u;
    struct timespec pause = {.tv_sec = 0, .tv_nsec = (long)ns};
    nanosleep(&pause, NULL);
    device->spin++;
}

static int never_gone(void *context)
{
    (void)context;
    return 0; /* only the heartbeat tells */
}

int v2v_ivshmem_open(struct v2v_ivshmem *device, struct v2v_channel *channel, const char *folder)
{
    char found[PATH_BYTES], path[PATH_BYTES + 16];
    memset(device, 0, sizeof *device);
    memset(channel, 0, sizeof *channel);
    device->uio = -1;
    if (folder)
        snprintf(found, sizeof found, "%s", folder);
    else {
        int result = find_device(found, sizeof found);
        if (result < 0)
            return result;
    }
    snprintf(path, sizeof path, "%s/enable", found);
    int enable = open(path, O_WRONLY | O_CLOEXEC);
    if (enable >= 0) {
        if (write(enable, "1", 1) < 0)
            errno = 0; /* a driver has enabled it already */
        close(enable);
    }
    size_t bytes;
    device->registers = map_bar(found, 0, &bytes);
    if (!device->registers || bytes < REGISTERS_BYTES)
        return V2V_E_SYSTEM;
    channel->region = map_bar(found, 2, &channel->region_bytes);
    if (!channel->region)
        return V2V_E_SYSTEM;
    device->uio = open_uio(found);
    device->channel = channel;
    channel->my_peer_id = device->registers[POSITION];
    channel->heartbeat = 1;
    channel->link = (struct v2v_link){.context = device, .ring = ring, .sleep = sleep_a_little, .gone = never_gone};
    return V2V_OK;
}

void v2v_ivshmem_close(struct v2v_ivshmem *device)
{
    if (device->uio >= 0)
        close(device->uio);
    if (device->registers)
        munmap((void *)device->registers, REGISTERS_BYTES);
    if (device->channel && device->channel->region)
        munmap((void *)device->channel->region, device->channel->region_bytes);
    memset(device, 0, sizeof *device);
    device->uio = -1;
}
