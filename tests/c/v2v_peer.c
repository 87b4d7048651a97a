/*
 * A v2v peer between host processes in C, written from RING.md: either end, for the tests.
 *
 *   v2v_peer connect|listen SOCKET [--by-ring] WHAT
 *
 * WHAT: produce BYTES COUNT   numbered messages
 *       consume BYTES COUNT   checks them; prints "consumed COUNT"
 *       echo                  sends every message back, until the other end disconnects
 *       send                  standard input as a stream, then disconnects
 *       receive               the stream to standard output, until the circuit is closed
 *       flood                 produces for ever, until it is killed
 *       die                   sends one message, prepares another, and is killed before it sends that
 *
 * It reads "L->C space" as the doorbell from L to C; with --by-ring as the one for room in the ring L->C.
 */
#define _GNU_SOURCE
#include "../../shim/guest/vmsig_v2v.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { TIMEOUT_MS = 20000, FDS = 5, PROD_ORDER = 4, CONS_ORDER = 3 };

struct process_link {
    int ring[2], hear[2], socket;
    int hung_up;
};

static void fail(const char *what)
{
    fprintf(stderr, "v2v_peer: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void must(int result, const char *what)
{
    if (result < 0) {
        fprintf(stderr, "v2v_peer: %s: %s\n", what, v2v_error_name(result));
        exit(1);
    }
}

static void ring(void *context, int which)
{
    struct process_link *link = context;
    uint64_t one = 1;
    /* A doorbell that is full was filled by who means harm: a write() would sleep for ever (a test's peer
     * may be raced). */
    struct pollfd room = {.fd = link->ring[which], .events = POLLOUT};
    if (poll(&room, 1, 0) == 0) {
        fprintf(stderr, "v2v_peer: the other end has filled its doorbell\n");
        exit(1);
    }
    if (write(link->ring[which], &one, sizeof one) < 0 && errno != EAGAIN)
        fail("ring");
}

static void sleep_for(void *context, int timeout_ms)
{
    struct process_link *link = context;
    struct pollfd wait[] = {{.fd = link->hear[0], .events = POLLIN},
                            {.fd = link->hear[1], .events = POLLIN},
                            {.fd = link->socket, .events = POLLRDHUP}};
    uint64_t count;
    if (poll(wait, 3, timeout_ms) <= 0)
        return;
    for (int i = 0; i < 2; i++)
        if (wait[i].revents & POLLIN && read(link->hear[i], &count, sizeof count) < 0 && errno != EAGAIN)
            fail("read a doorbell");
    if (wait[2].revents)
        link->hung_up = 1;
}

static int gone(void *context)
{
    struct process_link *link = context;
    struct pollfd look = {.fd = link->socket, .events = POLLRDHUP};
    if (!link->hung_up && poll(&look, 1, 0) > 0)
        link->hung_up = 1;
    return link->hung_up;
}

/* bells: L->C data, L->C space, C->L data, C->L space */
static void wire(struct process_link *link, struct v2v_channel *channel, int socket, const int *bells, int by_ring)
{
    int listener = channel->listener;
    link->socket = socket;
    link->hung_up = 0;
    link->ring[0] = bells[listener ? 0 : 2];
    link->hear[0] = bells[listener ? 2 : 0];
    link->ring[1] = bells[listener != by_ring ? 1 : 3];
    link->hear[1] = bells[listener != by_ring ? 3 : 1];
    channel->link = (struct v2v_link){.context = link, .ring = ring, .sleep = sleep_for, .gone = gone};
}

static struct sockaddr_un address_of(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        fail(path);
    }
    strcpy(address.sun_path, path);
    return address;
}

static void map_region(struct v2v_channel *channel, int fd)
{
    struct stat info;
    if (fstat(fd, &info) < 0)
        fail("fstat");
    channel->region_bytes = (size_t)info.st_size;
    void *at = mmap(NULL, channel->region_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED)
        fail("mmap");
    channel->region = at;
}

/* The invitation, {proto: 1, generation, prodOrder, consOrder}: numbers below 24 are one byte in CBOR. */
static size_t encode(uint8_t *out, unsigned generation)
{
    static const char *keys[] = {"proto", "generation", "prodOrder", "consOrder"};
    unsigned values[] = {1, generation, PROD_ORDER, CONS_ORDER};
    size_t n = 0;
    out[n++] = 0xa4;
    for (int i = 0; i < 4; i++) {
        size_t length = strlen(keys[i]);
        out[n++] = (uint8_t)(0x60 | length);
        memcpy(out + n, keys[i], length);
        n += length;
        out[n++] = (uint8_t)values[i];
    }
    return n;
}

/* The value of a key in such a map; -1 when it is not there. */
static long value_of(const uint8_t *map, size_t bytes, const char *key)
{
    size_t length = strlen(key), at = 1;
    while (at < bytes) {
        size_t this_length = map[at] & 31;
        const uint8_t *name = map + at + 1;
        if ((map[at] & 0xe0) != 0x60 || at + 1 + this_length >= bytes)
            return -1;
        at += 1 + this_length;
        unsigned small = map[at] & 31, extra = small < 24 ? 0 : small == 24 ? 1 : small == 25 ? 2 : 4;
        long value = small < 24 ? (long)small : 0;
        if ((map[at] & 0xe0) != 0 || at + 1 + extra > bytes)
            return -1;
        for (unsigned i = 0; i < extra; i++)
            value = value << 8 | map[at + 1 + i];
        at += 1 + extra;
        if (this_length == length && memcmp(name, key, length) == 0)
            return value;
    }
    return -1;
}

static void connect_to(const char *path, struct v2v_channel *channel, struct process_link *link, int by_ring)
{
    struct sockaddr_un address = address_of(path);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        fail(path);
    uint8_t map[512];
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(FDS * sizeof(int))];
    } control;
    struct iovec part = {.iov_base = map, .iov_len = sizeof map};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    struct cmsghdr *head = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (!head || head->cmsg_len != CMSG_LEN(FDS * sizeof(int))) {
        fprintf(stderr, "v2v_peer: no invitation (%zd bytes)\n", n);
        exit(3);
    }
    int fds[FDS];
    memcpy(fds, CMSG_DATA(head), sizeof fds);
    map_region(channel, fds[0]);
    wire(link, channel, fd, fds + 1, by_ring);
    must(v2v_connect_region(channel), "connect");
    if (value_of(map, (size_t)n, "proto") != 1 || value_of(map, (size_t)n, "generation") != (long)channel->generation ||
        value_of(map, (size_t)n, "prodOrder") < 0 || value_of(map, (size_t)n, "consOrder") < 0) {
        fprintf(stderr, "v2v_peer: the invitation is wrong\n");
        exit(3);
    }
}

static void listen_on(const char *path, struct v2v_channel *channel, struct process_link *link, int by_ring)
{
    struct sockaddr_un address = address_of(path);
    int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 4) < 0)
        fail(path);
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        fail("accept");
    int fds[FDS];
    fds[0] = memfd_create("v2v", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fds[0] < 0 || ftruncate(fds[0], 0x2000 + (4096 << PROD_ORDER) + (4096 << CONS_ORDER)) < 0 ||
        fcntl(fds[0], F_ADD_SEALS, F_SEAL_SHRINK) < 0)
        fail("memfd");
    for (int i = 1; i < FDS; i++)
        if ((fds[i] = eventfd(0, EFD_CLOEXEC)) < 0)
            fail("eventfd");
    map_region(channel, fds[0]);
    channel->listener = 1;
    wire(link, channel, fd, fds + 1, by_ring);
    must(v2v_listen_region(channel, PROD_ORDER, CONS_ORDER), "listen");
    uint8_t map[128];
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(FDS * sizeof(int))];
    } control;
    memset(&control, 0, sizeof control);
    struct iovec part = {.iov_base = map, .iov_len = encode(map, channel->generation)};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    *head = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof fds)};
    memcpy(CMSG_DATA(head), fds, sizeof fds);
    if (sendmsg(fd, &message, 0) < 0)
        fail("invite");
    must(v2v_accept(channel, TIMEOUT_MS), "accept");
}

/* The same numbers as tests/bench/v2v_peer.ts. */
static void fill(uint32_t *words, size_t count, uint32_t i)
{
    words[0] = i;
    words[1] = i * 0x9e3779b1u;
    words[count - 1] = ~i;
}

static void produce(struct v2v_channel *channel, size_t bytes, long count)
{
    uint32_t *words = calloc(1, bytes);
    for (long i = 0; count < 0 || i < count; i++) {
        volatile void *at;
        int result;
        while ((result = v2v_prepare(channel, bytes, 2, 0, &at)) == V2V_NONE) {
            v2v_send(channel);
            must(v2v_wait_send(channel, TIMEOUT_MS), "wait for room");
        }
        must(result, "prepare");
        fill(words, bytes / 4, (uint32_t)i);
        memcpy((void *)at, words, bytes);
        if (i % 16 == 15)
            v2v_send(channel);
    }
    v2v_send(channel);
    free(words);
}

static void consume(struct v2v_channel *channel, size_t bytes, long count)
{
    uint32_t *words = calloc(1, bytes), *expected = calloc(1, bytes);
    for (long i = 0; i < count; i++) {
        unsigned type;
        long got = v2v_receive(channel, words, bytes, &type, TIMEOUT_MS);
        must(got < 0 ? (int)got : 0, "receive");
        fill(expected, bytes / 4, (uint32_t)i);
        if ((size_t)got != bytes || words[0] != expected[0] || words[1] != expected[1] ||
            words[bytes / 4 - 1] != expected[bytes / 4 - 1]) {
            fprintf(stderr, "v2v_peer: message %ld is not what was sent\n", i);
            exit(1);
        }
    }
    printf("consumed %ld\n", count);
    free(words);
    free(expected);
}

static void die(struct v2v_channel *channel)
{
    volatile void *at;
    must(v2v_send_message(channel, "sent", 4, 1, TIMEOUT_MS), "send");
    must(v2v_prepare(channel, 100, 1, 0, &at), "prepare");
    raise(SIGKILL);
}

static void echo(struct v2v_channel *channel)
{
    static uint8_t message[1 << 20];
    for (;;) {
        unsigned type;
        long got = v2v_receive(channel, message, sizeof message, &type, TIMEOUT_MS);
        if (got == V2V_E_CLOSED)
            return;
        must(got < 0 ? (int)got : 0, "receive");
        must(v2v_send_message(channel, message, (size_t)got, type, TIMEOUT_MS), "send");
    }
}

static void send_input(struct v2v_channel *channel)
{
    static uint8_t buffer[1 << 16];
    ssize_t n;
    while ((n = read(0, buffer, sizeof buffer)) > 0)
        must(v2v_stream_send(channel, buffer, (size_t)n, TIMEOUT_MS), "send");
}

static void receive_output(struct v2v_channel *channel)
{
    static uint8_t buffer[1 << 16];
    long n;
    while ((n = v2v_stream_recv(channel, buffer, sizeof buffer, TIMEOUT_MS)) > 0)
        if (write(1, buffer, (size_t)n) != n)
            fail("write");
    must((int)n, "receive");
}

int main(int argc, char **argv)
{
    struct v2v_channel channel;
    struct process_link link;
    memset(&channel, 0, sizeof channel);
    int by_ring = argc > 3 && strcmp(argv[3], "--by-ring") == 0, next = by_ring ? 4 : 3;
    if (argc <= next)
        return fprintf(stderr, "usage: v2v_peer connect|listen SOCKET [--by-ring] WHAT…\n"), 2;
    if (strcmp(argv[1], "listen") == 0)
        listen_on(argv[2], &channel, &link, by_ring);
    else
        connect_to(argv[2], &channel, &link, by_ring);
    const char *what = argv[next];
    if (strcmp(what, "produce") == 0 && argc > next + 2)
        produce(&channel, (size_t)atol(argv[next + 1]), atol(argv[next + 2]));
    else if (strcmp(what, "consume") == 0 && argc > next + 2)
        consume(&channel, (size_t)atol(argv[next + 1]), atol(argv[next + 2]));
    else if (strcmp(what, "flood") == 0)
        produce(&channel, 64, -1);
    else if (strcmp(what, "die") == 0)
        die(&channel);
    else if (strcmp(what, "echo") == 0)
        echo(&channel);
    else if (strcmp(what, "send") == 0)
        send_input(&channel);
    else if (strcmp(what, "receive") == 0)
        receive_output(&channel);
    else
        return fprintf(stderr, "v2v_peer: what is %s?\n", what), 2;
    must(v2v_disconnect(&channel, TIMEOUT_MS), "disconnect");
    return 0;
}
