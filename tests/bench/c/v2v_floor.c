/*
 * The floors that v2v is measured against, in C on the same machine in the same run:
 *   v2v_floor seqpacket COUNT      64-byte messages between two processes over a SOCK_SEQPACKET pair, one
 *                                  a call:
 *                                  prints messages/s
 *   v2v_floor pingpong ROUNDS      two processes wake each other by eventfds: prints the p50 round trip in ns
 *   v2v_floor memcpy BLOCK TOTAL   copies blocks through a buffer larger than the caches: prints bytes/s
 *   v2v_floor ring64 COUNT         the ring of RING.md between two processes, 64-byte messages copied in
 *                                  and out,
 *                                  batches of 64: prints messages/s
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void seqpacket(long count)
{
    int pair[2];
    char message[64] = {0};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) < 0)
        fail("socketpair");
    pid_t child = fork();
    if (child == 0) {
        for (long i = 0; i < count; i++)
            if (send(pair[1], message, sizeof message, 0) != sizeof message)
                _exit(1);
        _exit(0);
    }
    double start = now_ns();
    for (long i = 0; i < count; i++)
        if (recv(pair[0], message, sizeof message, 0) != sizeof message)
            fail("recv");
    printf("%.0f\n", (double)count / ((now_ns() - start) / 1e9));
    waitpid(child, NULL, 0);
}

static void wait_for(int fd)
{
    uint64_t value;
    if (read(fd, &value, sizeof value) != sizeof value)
        fail("read");
}

static void ring_bell(int fd)
{
    uint64_t value = 1;
    if (write(fd, &value, sizeof value) != sizeof value)
        fail("write");
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void pingpong(long rounds)
{
    int there = eventfd(0, 0), back = eventfd(0, 0);
    double *times = malloc((size_t)rounds * sizeof *times);
    if (there < 0 || back < 0 || !times)
        fail("eventfd");
    pid_t child = fork();
    if (child == 0) {
        for (long i = 0; i < rounds; i++) {
            wait_for(there);
            ring_bell(back);
        }
        _exit(0);
    }
    for (long i = 0; i < rounds; i++) {
        double start = now_ns();
        ring_bell(there);
        wait_for(back);
        times[i] = now_ns() - start;
    }
    waitpid(child, NULL, 0);
    qsort(times, (size_t)rounds, sizeof *times, by_value);
    printf("%.0f\n", times[rounds / 2]);
}

static void copy_blocks(size_t block, double total)
{
    size_t size = 64u << 20;
    uint8_t *from = malloc(size), *to = malloc(size);
    if (!from || !to)
        fail("malloc");
    memset(from, 1, size);
    memset(to, 2, size);
    double start = now_ns();
    size_t at = 0;
    for (double done = 0; done < total; done += (double)block) {
        memcpy(to + at, from + at, block);
        at = at + 2 * block > size ? 0 : at + block;
    }
    double seconds = (now_ns() - start) / 1e9;
    __asm__ volatile("" : : "r"(to) : "memory");
    printf("%.0f\n", total / seconds);
}

struct ring {
    _Alignas(64) volatile uint32_t prod;
    _Alignas(64) volatile uint32_t cons;
    _Alignas(64) uint8_t bytes[65536];
};

#define RING_MASK 65535u
#define SPAN 72u
#define BATCH 64

static void produce(struct ring *ring, long count)
{
    uint8_t payload[64] = {0};
    uint32_t prod = 0;
    for (long sent = 0; sent < count;) {
        for (int i = 0; i < BATCH && sent < count; i++, sent++) {
            uint32_t to_end = 65536u - (prod & RING_MASK);
            uint32_t need = to_end < SPAN ? SPAN + to_end : SPAN;
            while (65536u - (prod - __atomic_load_n(&ring->cons, __ATOMIC_ACQUIRE)) < need)
                __atomic_store_n(&ring->prod, prod, __ATOMIC_RELEASE);
            if (to_end < SPAN) {
                uint32_t pad[2] = {255, to_end};
                memcpy(ring->bytes + (prod & RING_MASK), pad, 8);
                prod += to_end;
            }
            uint32_t header[2] = {1, SPAN};
            memcpy(ring->bytes + (prod & RING_MASK), header, 8);
            memcpy(ring->bytes + (prod & RING_MASK) + 8, payload, 64);
            prod += SPAN;
        }
        __atomic_store_n(&ring->prod, prod, __ATOMIC_RELEASE);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
    }
}

static void ring64(long count)
{
    struct ring *ring = mmap(NULL, sizeof *ring, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (ring == MAP_FAILED)
        fail("mmap");
    pid_t child = fork();
    if (child == 0) {
        produce(ring, count);
        _exit(0);
    }
    uint8_t payload[64];
    uint32_t cons = 0;
    double start = now_ns();
    for (long got = 0; got < count;) {
        uint32_t prod = __atomic_load_n(&ring->prod, __ATOMIC_ACQUIRE);
        while (prod != cons) {
            uint32_t header[2];
            memcpy(header, ring->bytes + (cons & RING_MASK), 8);
            if ((header[0] & 255) != 255) {
                memcpy(payload, ring->bytes + (cons & RING_MASK) + 8, 64);
                __asm__ volatile("" : : "r"(payload) : "memory");
                got++;
            }
            cons += (header[1] + 7) & ~7u;
        }
        __atomic_store_n(&ring->cons, cons, __ATOMIC_RELEASE);
    }
    printf("%.0f\n", (double)count / ((now_ns() - start) / 1e9));
    waitpid(child, NULL, 0);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "seqpacket") == 0)
        seqpacket(atol(argv[2]));
    else if (argc == 3 && strcmp(argv[1], "pingpong") == 0)
        pingpong(atol(argv[2]));
    else if (argc == 4 && strcmp(argv[1], "memcpy") == 0)
        copy_blocks((size_t)atol(argv[2]), atof(argv[3]));
    else if (argc == 3 && strcmp(argv[1], "ring64") == 0)
        ring64(atol(argv[2]));
    else {
        fprintf(stderr, "usage: v2v_floor seqpacket COUNT | pingpong ROUNDS | memcpy BLOCK TOTAL | ring64 COUNT\n");
        return 2;
    }
    return 0;
}
