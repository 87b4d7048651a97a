/*
 * A v2v end in a Linux guest, over its ivshmem device, for the tests:
 *
 *   v2v_guest listen ORDER WHAT | connect WHAT
 *
 * WHAT: echo              sends every message back until the other end disconnects; prints "echoed N"
 *       ping COUNT        sends COUNT numbered messages, each once the one before came back; prints
 *                         "pinged COUNT"
 *       hash              receives a stream until the circuit is closed; prints "hash HHHHHHHHHHHHHHHH BYTES"
 *       bytes COUNT SEED  sends COUNT pseudo-random bytes as a stream, a multiple of 4; prints "hash …
 *                         BYTES" too
 *
 * The hash and the bytes are those of tests/guest/v2v_bytes.ts.
 */
#include "../../shim/guest/vmsig_v2v.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TIMEOUT_MS = 60000, CHUNK = 65536 };

static struct v2v_channel channel;
static struct v2v_ivshmem device;

static void must(long result, const char *what)
{
    if (result >= 0)
        return;
    printf("v2v_guest: %s: %s (errno %d)\n", what, v2v_error_name((int)result), errno);
    exit(1);
}

struct hash {
    uint32_t a, b;
    uint64_t bytes;
};

static void add(struct hash *hash, const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        hash->a = (hash->a ^ bytes[i]) * 16777619u;
        hash->b = (hash->b + bytes[i]) * 2654435761u;
    }
    hash->bytes += length;
}

static void tell(const struct hash *hash)
{
    printf("hash %08x%08x %llu\n", hash->a, hash->b, (unsigned long long)hash->bytes);
}

static void echo(void)
{
    static uint8_t message[CHUNK];
    long count = 0;
    for (;;) {
        unsigned type;
        long got = v2v_receive(&channel, message, sizeof message, &type, TIMEOUT_MS);
        if (got == V2V_E_CLOSED)
            break;
        must(got, "receive");
        must(v2v_send_message(&channel, message, (size_t)got, type, TIMEOUT_MS), "send");
        count++;
    }
    printf("echoed %ld\n", count);
}

static void ping(long count)
{
    for (long i = 0; i < count; i++) {
        uint32_t words[16] = {(uint32_t)i, (uint32_t)i * 0x9e3779b1u}, back[16];
        size_t bytes = 8 + (size_t)(i % 7) * 8;
        unsigned type;
        must(v2v_send_message(&channel, words, bytes, (unsigned)(i % 250), TIMEOUT_MS), "send");
        long got = v2v_receive(&channel, back, sizeof back, &type, TIMEOUT_MS);
        must(got, "receive");
        if ((size_t)got != bytes || type != (unsigned)(i % 250) || memcmp(words, back, bytes) != 0) {
            printf("v2v_guest: message %ld came back as another\n", i);
            exit(1);
        }
    }
    printf("pinged %ld\n", count);
}

static void receive_hash(void)
{
    static uint8_t buffer[CHUNK];
    struct hash hash = {2166136261u, 0, 0};
    long n;
    while ((n = v2v_stream_recv(&channel, buffer, sizeof buffer, TIMEOUT_MS)) > 0)
        add(&hash, buffer, (size_t)n);
    must(n, "receive");
    tell(&hash);
}

static void send_bytes(long count, uint32_t state)
{
    static uint32_t words[CHUNK / 4];
    struct hash hash = {2166136261u, 0, 0};
    for (long sent = 0; sent < count;) {
        size_t now = count - sent < CHUNK ? (size_t)(count - sent) : CHUNK;
        for (size_t i = 0; i < now / 4; i++) {
            state = state * 1664525u + 1013904223u;
            words[i] = state;
        }
        add(&hash, (uint8_t *)words, now);
        must(v2v_stream_send(&channel, words, now, TIMEOUT_MS), "send");
        sent += (long)now;
    }
    tell(&hash);
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    int listener = argc > 3 && strcmp(argv[1], "listen") == 0, next = listener ? 3 : 2;
    if (argc <= next)
        return printf("usage: v2v_guest listen ORDER WHAT | connect WHAT\n"), 2;
    must(v2v_ivshmem_open(&device, &channel, NULL), "open the device");
    printf("peer %u, region %zu bytes\n", channel.my_peer_id, channel.region_bytes);
    if (listener) {
        unsigned order = (unsigned)atoi(argv[2]);
        must(v2v_listen_region(&channel, order, order), "listen");
        printf("listening\n");
        must(v2v_accept(&channel, TIMEOUT_MS), "accept");
    } else {
        must(v2v_connect_region(&channel), "connect");
    }
    printf("connected, generation %u\n", channel.generation);
    if (strcmp(argv[next], "echo") == 0)
        echo();
    else if (strcmp(argv[next], "ping") == 0 && argc > next + 1)
        ping(atol(argv[next + 1]));
    else if (strcmp(argv[next], "hash") == 0)
        receive_hash();
    else if (strcmp(argv[next], "bytes") == 0 && argc > next + 2)
        send_bytes(atol(argv[next + 1]), (uint32_t)atol(argv[next + 2]));
    else
        return printf("v2v_guest: what is %s?\n", argv[next]), 2;
    must(v2v_disconnect(&channel, TIMEOUT_MS), "disconnect");
    v2v_ivshmem_close(&device);
    return 0;
}
