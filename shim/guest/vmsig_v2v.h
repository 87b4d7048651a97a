/*
 * v2v channels for C programs, in a Linux guest over an ivshmem device or on the host over a memfd: the
 * record channel of src/v2v/RING.md, with its operations under short names.
 *
 * One channel, one thread. Nothing here allocates for a message. Payload pointers are shared memory that the
 * other end can still change: copy before you check (v2v_receive does).
 *
 * A transport fills in the region and three functions, then calls v2v_listen_region or v2v_connect_region:
 * vmsig_v2v_ivshmem.c is the one for guests.
 *
 * Results below zero are errors, V2V_E_*; v2v_error_name says which.
 */
#ifndef VMSIG_V2V_H
#define VMSIG_V2V_H

#include <stddef.h>
#include <stdint.h>

enum v2v_state {
    V2V_UNKNOWN = 0,
    V2V_UNREADY = 0x123,
    V2V_LISTENING,
    V2V_CONNECTED,
    V2V_DISCONNECTING,
    V2V_DISCONNECTED,
    V2V_CRASHED
};

enum {
    V2V_OK = 0,
    V2V_NONE = 1,            /* no message, or no room: wait, and try again */
    V2V_E_ARGUMENT = -1,
    V2V_E_TOO_LARGE = -2,    /* more than half the ring: it could wait for ever */
    V2V_E_PROTOCOL = -3,     /* the other end wrote what no correct one writes; the channel is crashed */
    V2V_E_TIMEOUT = -4,
    V2V_E_CLOSED = -5,       /* the other end is going or gone, and nothing is left to read */
    V2V_E_STALE = -6,        /* the listener has listened anew */
    V2V_E_REGION = -7,       /* no region, or not one of this version */
    V2V_E_NOBODY = -8,       /* nobody listens */
    V2V_E_SYSTEM = -9        /* a system call failed: errno */
};

#define V2V_MAX_ORDER 8
#define V2V_MAX_TYPE 254
#define V2V_STREAM_TYPE 1

/* How a channel reaches the other end. */
struct v2v_link {
    void *context;
    /* Rings the doorbell `which` of the other end: 0 data, 1 space. It must not wait for that end, which
     * may be hostile: the
       O_NONBLOCK of an eventfd that both hold is the other end's to take off, and its counter to fill (a register of an
       ivshmem device cannot be spoilt so). */
    void (*ring)(void *context, int which);
    /* Sleeps until a doorbell or for at most this long; it may return early. */
    void (*sleep)(void *context, int timeout_ms);
    /* Whether the transport knows that the other end is gone. */
    int (*gone)(void *context);
};

struct v2v_channel {
    volatile uint8_t *region;
    size_t region_bytes;
    struct v2v_link link;
    int listener;
    int heartbeat; /* over ivshmem both ends show that they live */
    uint32_t generation;
    uint32_t my_peer_id, vector_base;
    volatile uint32_t *mine, *theirs; /* control blocks */
    int broken;
    /* the outgoing ring: free-running indices, private */
    volatile uint8_t *out;
    uint32_t out_bytes, prepared, sent, peer_cons, wanted;
    /* the incoming ring */
    volatile uint8_t *in;
    uint32_t in_bytes, peer_prod, next, released, span;
    uint32_t message_used; /* of the first message, by v2v_stream_recv */
    /* heartbeat */
    uint64_t beats, beat_at_ms, peer_beat_at_ms;
    uint32_t peer_beat;
};

const char *v2v_error_name(int error);
const char *v2v_state_name(enum v2v_state state);

/* Lays the region out and listens; then v2v_accept waits for the other end. */
int v2v_listen_region(struct v2v_channel *channel, unsigned prod_order, unsigned cons_order);
int v2v_accept(struct v2v_channel *channel, int timeout_ms);
/* Checks the region that a listener laid out, and takes its place in it. */
int v2v_connect_region(struct v2v_channel *channel);
/* A connector is done at once, a listener waits for the other end to disconnect: V2V_E_TIMEOUT when it
 * does not. */
int v2v_disconnect(struct v2v_channel *channel, int timeout_ms);
enum v2v_state v2v_remote_state(struct v2v_channel *channel);

/* V2V_OK with the place of the payload, V2V_NONE when there is no room now, or an error. */
int v2v_prepare(struct v2v_channel *channel, size_t bytes, unsigned type, unsigned flags, volatile void **payload);
void v2v_send(struct v2v_channel *channel);
/* Largest payload that v2v_prepare takes for sure; -1 when not even an empty one. */
long v2v_bytes_available(struct v2v_channel *channel);
/* V2V_OK with the message in place, V2V_NONE when there is none, or an error. */
int v2v_get(struct v2v_channel *channel, const volatile void **payload, size_t *bytes, unsigned *type, unsigned *flags);
int v2v_finish(struct v2v_channel *channel);
/* Waits for a message, or for the room that v2v_prepare did not find: V2V_OK, V2V_E_TIMEOUT, V2V_E_CLOSED. */
int v2v_wait_receive(struct v2v_channel *channel, int timeout_ms);
int v2v_wait_send(struct v2v_channel *channel, int timeout_ms);

/* One message, copied in (or out) and sent (or finished), waiting as long as it takes or timeout_ms. */
int v2v_send_message(struct v2v_channel *channel, const void *payload, size_t bytes, unsigned type, int timeout_ms);
/* Bytes of the message, which may be more than were copied; or an error. */
long v2v_receive(struct v2v_channel *channel, void *payload, size_t room, unsigned *type, int timeout_ms);

/* The stream: all bytes or an error; at least one byte, 0 when the circuit is closed, or an error. */
int v2v_stream_send(struct v2v_channel *channel, const void *bytes, size_t length, int timeout_ms);
long v2v_stream_recv(struct v2v_channel *channel, void *bytes, size_t room, int timeout_ms);

/*
 * The transport for a Linux guest. Device: a folder such as /sys/bus/pci/devices/0000:00:04.0, or NULL for
 * the first ivshmem device. Needs root; no driver. With a UIO driver bound to the device its interrupts end a
 * sleep, otherwise a sleep looks again after 50 us to 1 ms.
 */
struct v2v_ivshmem {
    volatile uint32_t *registers;
    int uio;
    uint32_t spin; /* looks since the last success */
    struct v2v_channel *channel;
};

int v2v_ivshmem_open(struct v2v_ivshmem *device, struct v2v_channel *channel, const char *folder);
void v2v_ivshmem_close(struct v2v_ivshmem *device);

#endif
