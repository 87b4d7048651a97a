/*
 * Packets with descriptors, many a system call.
 *
 * A batch is one block of memory that lives as long as its owner: header, records, message headers, control
 * buffers, then the frames' bytes. JavaScript sees the header and the records as an array of i32, and the
 * bytes as bytes; it fills or reads those and never touches the rest. A record is
 *     i32 length, i32 flags (MSG_TRUNC, MSG_CTRUNC), i32 fd_count, i32 reserved 0, i32 fds[max_fds]
 * and the header is
 *     i32 frames, i32 frame_bytes, i32 max_fds, i32 fds_received (in the last receive, all frames).
 * Flattening the control messages into records is all that this file does beside the system calls: a C
 * structure of the kernel's is not something to take apart in another language.
 */
#define _GNU_SOURCE
#include "vmsig_shim.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* SCM_MAX_FD of Linux: more are refused by the kernel. */
#define MAX_FDS 253
#define RECORD_WORDS 4

struct batch {
    int32_t frames;
    int32_t frame_bytes;
    int32_t max_fds;
    int32_t fds_received;
};

struct record {
    int32_t length;
    int32_t flags;
    int32_t fd_count;
    int32_t reserved;
    int32_t fds[];
};

/* Where the parts of a block begin. */
struct shape {
    size_t record_bytes;
    size_t headers;
    size_t vectors;
    size_t controls;
    size_t control_stride;
    size_t data;
    size_t total;
};

static size_t up_to(size_t value, size_t multiple)
{
    return (value + multiple - 1) / multiple * multiple;
}

static struct shape shape_of(int32_t frames, int32_t frame_bytes, int32_t max_fds)
{
    struct shape shape;
    size_t n = (size_t)frames;
    shape.record_bytes = (RECORD_WORDS + (size_t)max_fds) * sizeof(int32_t);
    shape.headers = up_to(sizeof(struct batch) + n * shape.record_bytes, 16);
    shape.vectors = shape.headers + n * sizeof(struct mmsghdr);
    shape.controls = up_to(shape.vectors + n * sizeof(struct iovec), 16);
    shape.control_stride = max_fds > 0 ? up_to(CMSG_SPACE((size_t)max_fds * sizeof(int32_t)), 16) : 0;
    shape.data = up_to(shape.controls + n * shape.control_stride, 64);
    shape.total = shape.data + n * (size_t)frame_bytes;
    return shape;
}

static struct shape shape_of_batch(const struct batch *batch)
{
    return shape_of(batch->frames, batch->frame_bytes, batch->max_fds);
}

static struct record *record_at(struct batch *batch, const struct shape *shape, int32_t i)
{
    return (struct record *)((uint8_t *)batch + sizeof *batch + (size_t)i * shape->record_bytes);
}

double vmsig_batch_bytes(int32_t frames, int32_t frame_bytes, int32_t max_fds)
{
    if (frames < 1 || frame_bytes < 1 || max_fds < 0 || max_fds > MAX_FDS)
        return -EINVAL;
    return (double)shape_of(frames, frame_bytes, max_fds).total;
}

/* Lays out a block of vmsig_batch_bytes zeros; where the frames' bytes begin in it. */
double vmsig_batch_init(double address, int32_t frames, int32_t frame_bytes, int32_t max_fds)
{
    struct batch *batch = (struct batch *)(uintptr_t)address;
    uint8_t *base = (uint8_t *)batch;
    struct shape shape = shape_of(frames, frame_bytes, max_fds);
    struct mmsghdr *headers = (struct mmsghdr *)(base + shape.headers);
    struct iovec *vectors = (struct iovec *)(base + shape.vectors);
    *batch = (struct batch){.frames = frames, .frame_bytes = frame_bytes, .max_fds = max_fds};
    for (int32_t i = 0; i < frames; i++) {
        vectors[i].iov_base = base + shape.data + (size_t)i * (size_t)frame_bytes;
        vectors[i].iov_len = (size_t)frame_bytes;
        headers[i].msg_hdr.msg_iov = &vectors[i];
        headers[i].msg_hdr.msg_iovlen = 1;
        if (max_fds > 0) {
            headers[i].msg_hdr.msg_control = base + shape.controls + (size_t)i * shape.control_stride;
            /* LEN, not SPACE: the padding of an odd number would let the kernel hand over one fd too many. */
            headers[i].msg_hdr.msg_controllen = CMSG_LEN((size_t)max_fds * sizeof(int32_t));
        }
    }
    return (double)shape.data;
}

/* Copies one message's descriptors to its record; how many. What does not fit the record is closed. */
static int32_t take_fds(struct msghdr *message, struct record *record, int32_t max_fds)
{
    int32_t count = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int32_t);
        for (size_t k = 0; k < n; k++) {
            int32_t fd;
            memcpy(&fd, CMSG_DATA(c) + k * sizeof fd, sizeof fd);
            if (count < max_fds)
                record->fds[count++] = fd;
            else
                close(fd);
        }
    }
    return count;
}

/* Receives what is there, as many as fit; a packet of no bytes (the end) is a record of length 0. */
int32_t vmsig_batch_receive(int32_t fd, double address)
{
    struct batch *batch = (struct batch *)(uintptr_t)address;
    struct shape shape = shape_of_batch(batch);
    struct mmsghdr *headers = (struct mmsghdr *)((uint8_t *)batch + shape.headers);
    batch->fds_received = 0;
    int32_t n;
    if (batch->frames == 1) {
        /* For a single packet the plain call is the cheaper one. */
        n = vmsig_result(recvmsg(fd, &headers->msg_hdr, MSG_DONTWAIT | MSG_CMSG_CLOEXEC));
        if (n >= 0) {
            headers->msg_len = (unsigned)n;
            n = 1;
        }
    } else {
        n = vmsig_result(
            recvmmsg(fd, headers, (unsigned)batch->frames, MSG_DONTWAIT | MSG_CMSG_CLOEXEC, NULL));
    }
    for (int32_t i = 0; i < n; i++) {
        struct record *record = record_at(batch, &shape, i);
        struct msghdr *message = &headers[i].msg_hdr;
        record->length = (int32_t)headers[i].msg_len;
        record->flags = message->msg_flags;
        record->fd_count = 0;
        if (batch->max_fds > 0) {
            record->fd_count = take_fds(message, record, batch->max_fds);
            batch->fds_received += record->fd_count;
            message->msg_controllen = CMSG_LEN((size_t)batch->max_fds * sizeof(int32_t));
        }
    }
    return n;
}

static void give_fds(struct msghdr *message, void *control, const int32_t *fds, int32_t count)
{
    if (count == 0) {
        message->msg_control = NULL;
        message->msg_controllen = 0;
        return;
    }
    size_t bytes = (size_t)count * sizeof(int32_t);
    message->msg_control = control;
    message->msg_controllen = CMSG_SPACE(bytes);
    struct cmsghdr *c = CMSG_FIRSTHDR(message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(bytes);
    memcpy(CMSG_DATA(c), fds, bytes);
}

/* Sends the records from..to-1; how many went. */
int32_t vmsig_batch_send(int32_t fd, double address, int32_t from, int32_t to)
{
    struct batch *batch = (struct batch *)(uintptr_t)address;
    struct shape shape = shape_of_batch(batch);
    uint8_t *base = (uint8_t *)batch;
    struct mmsghdr *headers = (struct mmsghdr *)(base + shape.headers);
    struct iovec *vectors = (struct iovec *)(base + shape.vectors);
    if (from < 0 || to > batch->frames || from >= to)
        return -EINVAL;
    for (int32_t i = from; i < to; i++) {
        struct record *record = record_at(batch, &shape, i);
        if (record->length < 0 || record->length > batch->frame_bytes || record->fd_count < 0 ||
            record->fd_count > batch->max_fds)
            return -EINVAL;
        vectors[i].iov_len = (size_t)record->length;
        give_fds(&headers[i].msg_hdr, base + shape.controls + (size_t)i * shape.control_stride, record->fds,
                 record->fd_count);
    }
    return vmsig_result(sendmmsg(fd, headers + from, (unsigned)(to - from), MSG_NOSIGNAL | MSG_DONTWAIT));
}

int32_t vmsig_send(int32_t fd, const uint8_t *bytes, double offset, int32_t length)
{
    return vmsig_result(send(fd, bytes + (size_t)offset, (size_t)length, MSG_NOSIGNAL | MSG_DONTWAIT));
}

int32_t vmsig_send_fds(int32_t fd, const uint8_t *bytes, double offset, int32_t length, const int32_t *fds,
                       int32_t count)
{
    union {
        struct cmsghdr align;
        uint8_t bytes[CMSG_SPACE(MAX_FDS * sizeof(int32_t))];
    } control;
    struct iovec vector = {.iov_base = (uint8_t *)(uintptr_t)bytes + (size_t)offset, .iov_len = (size_t)length};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    if (count < 0 || count > MAX_FDS)
        return -EINVAL;
    memset(&control, 0, CMSG_SPACE((size_t)count * sizeof(int32_t)));
    give_fds(&message, control.bytes, fds, count);
    return vmsig_result(sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT));
}
