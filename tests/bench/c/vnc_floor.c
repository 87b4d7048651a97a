/*
 * Both ends of VNC at their barest, for figures of clients beside ours.
 *   vnc_floor server PATH TICK_MS        serves 1280x800 pictures to whoever connects, one a tick, when asked
 *   vnc_floor client PATH UPDATES        decodes raw updates into memory of its own, asks again at once, and
 *                                        prints its processor time in ns; with `times`, each update's end
 *   vnc_floor times PATH UPDATES
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { WIDTH = 1280, HEIGHT = 800 };

static long now_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec * 1000000000L + t.tv_nsec;
}

static void take(int fd, void *into, size_t length)
{
    for (uint8_t *at = into; length > 0;) {
        ssize_t n = read(fd, at, length);
        if (n <= 0)
            exit(0);
        at += n;
        length -= (size_t)n;
    }
}

static int give(int fd, const void *from, size_t length)
{
    for (const uint8_t *at = from; length > 0;) {
        ssize_t n = send(fd, at, length, MSG_NOSIGNAL);
        if (n <= 0)
            return -1;
        at += n;
        length -= (size_t)n;
    }
    return 0;
}

static int socket_at(const char *path, struct sockaddr_un *address)
{
    address->sun_family = AF_UNIX;
    strncpy(address->sun_path, path, sizeof address->sun_path - 1);
    return socket(AF_UNIX, SOCK_STREAM, 0);
}

static uint8_t *picture;
static long tick_ns;

static int take_or_end(int fd, void *into, size_t length)
{
    return recv(fd, into, length, MSG_WAITALL) == (ssize_t)length ? 0 : -1;
}

/* Answers each request at the next tick. */
static void *serve(void *argument)
{
    int fd = (int)(intptr_t)argument;
    static const uint8_t init[28] = { WIDTH >> 8, WIDTH & 255, HEIGHT >> 8, HEIGHT & 255, 32, 24, 0, 1, 0, 255,
        0, 255, 0, 255, 16, 8, 0, 0, 0, 0, 0, 0, 0, 4, 't', 'e', 's', 't' };
    uint8_t in[1024];
    if (give(fd, "RFB 003.008\n", 12) || take_or_end(fd, in, 12) || give(fd, "\1\1", 2) || take_or_end(fd, in, 1) ||
        give(fd, "\0\0\0\0", 4) || take_or_end(fd, in, 1) || give(fd, init, sizeof init))
        goto end;
    while (take_or_end(fd, in, 1) == 0) {
        if (in[0] == 0 && take_or_end(fd, in, 19) == 0)
            continue;
        if (in[0] == 2) {
            if (take_or_end(fd, in, 3) || take_or_end(fd, in + 4, 4 * (size_t)in[2]))
                goto end;
            continue;
        }
        if (in[0] != 3 || take_or_end(fd, in, 9))
            goto end;
        long wait = tick_ns - now_ns(CLOCK_MONOTONIC) % tick_ns;
        struct timespec rest = { wait / 1000000000L, wait % 1000000000L };
        nanosleep(&rest, NULL);
        if (give(fd, picture, 16 + WIDTH * HEIGHT * 4))
            goto end;
    }
end:
    close(fd);
    return NULL;
}

static int server(const char *path)
{
    static const uint8_t head[16] = { 0, 0, 0, 1, 0, 0, 0, 0, WIDTH >> 8, WIDTH & 255, HEIGHT >> 8, HEIGHT & 255 };
    struct sockaddr_un address = { 0 };
    picture = calloc(1, 16 + WIDTH * HEIGHT * 4);
    memcpy(picture, head, sizeof head);
    int listener = socket_at(path, &address);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 64))
        return 1;
    puts("ready");
    fflush(stdout);
    for (;;) {
        pthread_t thread;
        int fd = accept(listener, NULL, NULL);
        if (fd >= 0 && pthread_create(&thread, NULL, serve, (void *)(intptr_t)fd) == 0)
            pthread_detach(thread);
    }
}

static void ask(int fd, int incremental, int width, int height)
{
    uint8_t request[10] = { 3, (uint8_t)incremental, 0, 0, 0, 0, (uint8_t)(width >> 8), (uint8_t)width,
        (uint8_t)(height >> 8), (uint8_t)height };
    give(fd, request, sizeof request);
}

static int client(const char *path, long updates, int is_timed)
{
    struct sockaddr_un address = { 0 };
    uint8_t in[1024], init[24];
    uint16_t width, height;
    uint32_t length;
    int fd = socket_at(path, &address);
    if (connect(fd, (struct sockaddr *)&address, sizeof address))
        return 1;
    take(fd, in, 12);
    give(fd, "RFB 003.008\n", 12);
    take(fd, in, 1);
    take(fd, in + 1, in[0]);
    give(fd, "\1", 1);
    take(fd, in, 4);
    give(fd, "\1", 1);
    take(fd, init, 24);
    memcpy(&width, init, 2), memcpy(&height, init + 2, 2), memcpy(&length, init + 20, 4);
    width = ntohs(width), height = ntohs(height);
    for (length = ntohl(length); length > 0; length--)
        take(fd, in, 1);
    give(fd, "\0\0\0\0\x20\x18\0\1\0\xff\0\xff\0\xff\x10\x08\0\0\0\0", 20);
    give(fd, "\2\0\0\1\0\0\0\0", 8);
    uint8_t *frame = calloc(width * height, 4);
    ask(fd, 0, width, height);
    long began = now_ns(CLOCK_PROCESS_CPUTIME_ID);
    for (long i = 0; i < updates; i++) {
        take(fd, in, 4);
        for (int rects = in[2] << 8 | in[3]; rects > 0; rects--) {
            uint8_t r[12];
            take(fd, r, 12);
            int x = r[0] << 8 | r[1], y = r[2] << 8 | r[3], w = r[4] << 8 | r[5], h = r[6] << 8 | r[7];
            if (x + w > width || y + h > height || r[11] != 0)
                return 2;
            if (w == width) {
                take(fd, frame + (size_t)y * width * 4, (size_t)w * h * 4);
                continue;
            }
            for (int k = 0; k < h; k++)
                take(fd, frame + ((size_t)(y + k) * width + x) * 4, (size_t)w * 4);
        }
        if (is_timed) {
            printf("%ld\n", now_ns(CLOCK_MONOTONIC));
            fflush(stdout);
        }
        ask(fd, 1, width, height);
    }
    if (!is_timed)
        printf("%ld\n", now_ns(CLOCK_PROCESS_CPUTIME_ID) - began);
    return 0;
}

int main(int count, char **arguments)
{
    if (count < 4)
        return 1;
    long number = strtol(arguments[3], NULL, 10);
    tick_ns = number * 1000000L;
    if (strcmp(arguments[1], "server") == 0)
        return server(arguments[2]);
    return client(arguments[2], number, strcmp(arguments[1], "times") == 0);
}
