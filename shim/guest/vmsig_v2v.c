/*
 * Rings, states and waits of a v2v channel: see vmsig_v2v.h. Written from src/v2v/RING.md; every value that
 * the other end writes is read once and checked before it is used.
 */
#include "vmsig_v2v.h"

#include <string.h>
#include <time.h>

enum {
    AT_MAGIC = 0x00, AT_VERSION = 0x08, AT_GENERATION = 0x0c, AT_PROD_ORDER = 0x10, AT_CONS_ORDER = 0x14,
    AT_LISTENER_STATE = 0x18, AT_CONNECTOR_STATE = 0x1c, AT_VECTOR_BASE = 0x20, AT_CONNECTOR_GENERATION = 0x24,
    AT_LISTENER_PEER = 0x28, AT_CONNECTOR_PEER = 0x2c, AT_LISTENER_BEAT = 0x30, AT_CONNECTOR_BEAT = 0x38,
    AT_LISTENER_BLOCK = 0x1000, AT_CONNECTOR_BLOCK = 0x1040, AT_RINGS = 0x2000
};

/* Words of a control block. */
enum { PROD, PROD_EVENT, CONS, CONS_EVENT, CONSUMER_ACTIVE, CONSUMER_SPINNING, PRODUCER_ACTIVE, BLOCK_WORDS = 16 };

enum { HEADER_BYTES = 8, PAD = 255, VERSION = 1, BEAT_MS = 200, STALE_MS = 2000, SLICE_MS = 50 };

static const char MAGIC[8] = "V2VRING1";

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

static uint32_t load(const volatile uint32_t *word)
{
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

/* A release store and the full fence that every reader of a threshold needs before it. */
static void publish(volatile uint32_t *word, uint32_t value)
{
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static volatile uint32_t *word(struct v2v_channel *channel, size_t at)
{
    return (volatile uint32_t *)(channel->region + at);
}

const char *v2v_error_name(int error)
{
    static const char *names[] = {"ok", "bad-argument", "too-large", "protocol-error", "timed-out",
                                  "closed", "stale", "bad-region", "no-endpoint", "system"};
    return error <= 0 && error >= V2V_E_SYSTEM ? names[-error] : "none";
}

const char *v2v_state_name(enum v2v_state state)
{
    static const char *names[] = {"unready", "listening", "connected", "disconnecting", "disconnected", "crashed"};
    return state >= V2V_UNREADY && state <= V2V_CRASHED ? names[state - V2V_UNREADY] : "unknown";
}

static void ring_both(struct v2v_channel *channel)
{
    channel->link.ring(channel->link.context, 0);
    channel->link.ring(channel->link.context, 1);
}

static int crash(struct v2v_channel *channel)
{
    if (!channel->broken) {
        channel->broken = 1;
        publish(word(channel, channel->listener ? AT_LISTENER_STATE : AT_CONNECTOR_STATE), V2V_CRASHED);
        ring_both(channel);
    }
    return V2V_E_PROTOCOL;
}

/* Both rings, empty, as this end sees them. */
static void place(struct v2v_channel *channel, uint32_t first_bytes, uint32_t second_bytes)
{
    volatile uint8_t *first = channel->region + AT_RINGS, *second = first + first_bytes;
    channel->mine = word(channel, channel->listener ? AT_LISTENER_BLOCK : AT_CONNECTOR_BLOCK);
    channel->theirs = word(channel, channel->listener ? AT_CONNECTOR_BLOCK : AT_LISTENER_BLOCK);
    channel->out = channel->listener ? first : second;
    channel->in = channel->listener ? second : first;
    channel->out_bytes = channel->listener ? first_bytes : second_bytes;
    channel->in_bytes = channel->listener ? second_bytes : first_bytes;
    channel->prepared = channel->sent = channel->peer_cons = channel->wanted = 0;
    channel->peer_prod = channel->next = channel->released = channel->span = channel->message_used = 0;
    channel->broken = 0;
    channel->beats = channel->beat_at_ms = 0;
    channel->peer_beat_at_ms = now_ms();
    channel->peer_beat = 0;
}

static void clear_block(volatile uint32_t *block)
{
    for (int i = 0; i < BLOCK_WORDS; i++)
        block[i] = 0;
    block[PROD_EVENT] = 1; /* the first message rings */
}

int v2v_listen_region(struct v2v_channel *channel, unsigned prod_order, unsigned cons_order)
{
    if (prod_order > V2V_MAX_ORDER || cons_order > V2V_MAX_ORDER)
        return V2V_E_ARGUMENT;
    uint32_t first = 4096u << prod_order, second = 4096u << cons_order;
    if (channel->region_bytes < AT_RINGS + (size_t)first + second)
        return V2V_E_REGION;
    channel->generation = load(word(channel, AT_GENERATION)) + 1;
    publish(word(channel, AT_MAGIC), 0);
    publish(word(channel, AT_MAGIC + 4), 0);
    for (size_t at = AT_VERSION; at < 0x1000; at += 4)
        *word(channel, at) = 0;
    clear_block(word(channel, AT_LISTENER_BLOCK));
    for (int i = 0; i < BLOCK_WORDS; i++)
        word(channel, AT_CONNECTOR_BLOCK)[i] = 0;
    channel->listener = 1;
    place(channel, first, second);
    *word(channel, AT_VERSION) = VERSION;
    *word(channel, AT_GENERATION) = channel->generation;
    *word(channel, AT_PROD_ORDER) = prod_order;
    *word(channel, AT_CONS_ORDER) = cons_order;
    *word(channel, AT_VECTOR_BASE) = channel->vector_base;
    *word(channel, AT_LISTENER_PEER) = channel->my_peer_id;
    *word(channel, AT_CONNECTOR_STATE) = V2V_UNREADY;
    *word(channel, AT_LISTENER_STATE) = V2V_LISTENING;
    uint64_t magic;
    memcpy(&magic, MAGIC, sizeof magic);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    __atomic_store_n((volatile uint64_t *)(channel->region + AT_MAGIC), magic, __ATOMIC_SEQ_CST);
    return V2V_OK;
}

int v2v_connect_region(struct v2v_channel *channel)
{
    uint64_t magic;
    if (channel->region_bytes < AT_RINGS)
        return V2V_E_REGION;
    magic = __atomic_load_n((volatile uint64_t *)(channel->region + AT_MAGIC), __ATOMIC_ACQUIRE);
    if (memcmp(&magic, MAGIC, sizeof magic) != 0 || load(word(channel, AT_VERSION)) != VERSION)
        return V2V_E_REGION;
    uint32_t prod_order = load(word(channel, AT_PROD_ORDER)), cons_order = load(word(channel, AT_CONS_ORDER));
    if (prod_order > V2V_MAX_ORDER || cons_order > V2V_MAX_ORDER ||
        channel->region_bytes < AT_RINGS + (size_t)(4096u << prod_order) + (4096u << cons_order))
        return V2V_E_REGION;
    uint32_t state = load(word(channel, AT_LISTENER_STATE));
    if (state != V2V_LISTENING)
        return V2V_E_NOBODY;
    channel->listener = 0;
    channel->generation = load(word(channel, AT_GENERATION));
    channel->vector_base = load(word(channel, AT_VECTOR_BASE));
    place(channel, 4096u << prod_order, 4096u << cons_order);
    clear_block(channel->mine);
    *word(channel, AT_CONNECTOR_PEER) = channel->my_peer_id;
    *word(channel, AT_CONNECTOR_GENERATION) = channel->generation;
    publish(word(channel, AT_CONNECTOR_STATE), V2V_CONNECTED);
    ring_both(channel);
    return V2V_OK;
}

/* Shows that we live, and looks whether the other end does. */
static int tick(struct v2v_channel *channel)
{
    if (!channel->heartbeat)
        return 1;
    uint64_t now = now_ms();
    if (now - channel->beat_at_ms >= BEAT_MS) {
        volatile uint64_t *beat =
            (volatile uint64_t *)(channel->region + (channel->listener ? AT_LISTENER_BEAT : AT_CONNECTOR_BEAT));
        __atomic_store_n(beat, ++channel->beats, __ATOMIC_RELEASE);
        channel->beat_at_ms = now;
    }
    uint32_t theirs = load(word(channel, channel->listener ? AT_CONNECTOR_BEAT : AT_LISTENER_BEAT));
    if (theirs != channel->peer_beat) {
        channel->peer_beat = theirs;
        channel->peer_beat_at_ms = now;
    }
    return now - channel->peer_beat_at_ms < STALE_MS;
}

enum v2v_state v2v_remote_state(struct v2v_channel *channel)
{
    if (channel->broken)
        return V2V_CRASHED;
    int alive = tick(channel) && !channel->link.gone(channel->link.context);
    uint32_t state = load(word(channel, channel->listener ? AT_CONNECTOR_STATE : AT_LISTENER_STATE));
    if (load(word(channel, AT_GENERATION)) != channel->generation)
        return V2V_DISCONNECTED;
    if (state < V2V_UNREADY || state > V2V_CRASHED)
        return V2V_UNKNOWN;
    if (!alive)
        return state == V2V_DISCONNECTING || state == V2V_DISCONNECTED ? V2V_DISCONNECTED : V2V_CRASHED;
    return (enum v2v_state)state;
}

static int closing(struct v2v_channel *channel)
{
    return v2v_remote_state(channel) >= V2V_DISCONNECTING;
}

int v2v_accept(struct v2v_channel *channel, int timeout_ms)
{
    uint64_t end = now_ms() + (uint64_t)timeout_ms;
    for (;;) {
        uint32_t state = load(word(channel, AT_CONNECTOR_STATE));
        if (state >= V2V_CONNECTED && state <= V2V_DISCONNECTED &&
            load(word(channel, AT_CONNECTOR_GENERATION)) == channel->generation)
            break;
        tick(channel);
        if (now_ms() >= end)
            return V2V_E_TIMEOUT;
        channel->link.sleep(channel->link.context, 5);
    }
    channel->peer_beat_at_ms = now_ms();
    publish(word(channel, AT_LISTENER_STATE), V2V_CONNECTED);
    ring_both(channel);
    return V2V_OK;
}

int v2v_disconnect(struct v2v_channel *channel, int timeout_ms)
{
    int result = V2V_OK;
    volatile uint32_t *state = word(channel, channel->listener ? AT_LISTENER_STATE : AT_CONNECTOR_STATE);
    if (channel->listener && !closing(channel)) {
        uint64_t end = now_ms() + (uint64_t)timeout_ms;
        publish(state, V2V_DISCONNECTING);
        ring_both(channel);
        while (!closing(channel) && result == V2V_OK) {
            if (now_ms() >= end)
                result = V2V_E_TIMEOUT;
            else
                channel->link.sleep(channel->link.context, SLICE_MS);
        }
    }
    if (!channel->broken)
        publish(state, V2V_DISCONNECTED);
    ring_both(channel);
    return result;
}

/* The outgoing ring */

static int look_cons(struct v2v_channel *channel)
{
    uint32_t cons = load(&channel->theirs[CONS]);
    if (cons - channel->peer_cons > channel->sent - channel->peer_cons || (cons & 7) != 0)
        return crash(channel);
    channel->peer_cons = cons;
    return V2V_OK;
}

static uint32_t room(const struct v2v_channel *channel)
{
    return channel->out_bytes - (channel->prepared - channel->peer_cons);
}

/* Looks, arms, looks again. */
static int find_room(struct v2v_channel *channel, uint32_t total)
{
    int result = look_cons(channel);
    if (result < 0 || total <= room(channel))
        return result;
    channel->wanted = total;
    publish(&channel->mine[CONS_EVENT], channel->prepared + total - channel->out_bytes);
    result = look_cons(channel);
    if (result < 0)
        return result;
    return total <= room(channel) ? V2V_OK : V2V_NONE;
}

int v2v_prepare(struct v2v_channel *channel, size_t bytes, unsigned type, unsigned flags, volatile void **payload)
{
    if (type > V2V_MAX_TYPE || flags > 255)
        return V2V_E_ARGUMENT;
    if (bytes > channel->out_bytes / 2 - HEADER_BYTES)
        return V2V_E_TOO_LARGE;
    if (channel->broken)
        return V2V_E_PROTOCOL;
    uint32_t needed = ((uint32_t)bytes + HEADER_BYTES + 7) & ~7u;
    uint32_t at = channel->prepared & (channel->out_bytes - 1), to_end = channel->out_bytes - at;
    uint32_t total = needed <= to_end ? needed : needed + to_end;
    if (total > room(channel)) {
        int result = find_room(channel, total);
        if (result != V2V_OK)
            return result;
    }
    if (needed > to_end) {
        volatile uint32_t *pad = (volatile uint32_t *)(channel->out + at);
        pad[0] = PAD;
        pad[1] = to_end;
        at = 0;
    }
    volatile uint32_t *header = (volatile uint32_t *)(channel->out + at);
    header[0] = type | flags << 8;
    header[1] = (uint32_t)bytes + HEADER_BYTES;
    channel->prepared += total;
    channel->wanted = 0;
    *payload = channel->out + at + HEADER_BYTES;
    return V2V_OK;
}

void v2v_send(struct v2v_channel *channel)
{
    uint32_t before = channel->sent, now = channel->prepared;
    if (now == before || channel->broken)
        return;
    channel->sent = now;
    publish(&channel->mine[PROD], now);
    if (now - load(&channel->theirs[PROD_EVENT]) < now - before)
        channel->link.ring(channel->link.context, 0);
}

long v2v_bytes_available(struct v2v_channel *channel)
{
    if (channel->broken || look_cons(channel) < 0)
        return V2V_E_PROTOCOL;
    uint32_t free_bytes = room(channel), to_end = channel->out_bytes - (channel->prepared & (channel->out_bytes - 1));
    uint32_t largest = free_bytes < to_end ? free_bytes : to_end;
    if (largest > channel->out_bytes / 2)
        largest = channel->out_bytes / 2;
    return largest < HEADER_BYTES ? -1 : (long)(largest - HEADER_BYTES);
}

/* The incoming ring */

static int look_prod(struct v2v_channel *channel)
{
    uint32_t prod = load(&channel->theirs[PROD]), queued = prod - channel->released;
    if (queued > channel->in_bytes || queued < channel->peer_prod - channel->released || (prod & 7) != 0)
        return crash(channel);
    channel->peer_prod = prod;
    return V2V_OK;
}

static void release(struct v2v_channel *channel)
{
    uint32_t before = channel->released, now = channel->next;
    if (now == before)
        return;
    channel->released = now;
    publish(&channel->mine[CONS], now);
    if (now - load(&channel->theirs[CONS_EVENT]) < now - before)
        channel->link.ring(channel->link.context, 1);
}

int v2v_get(struct v2v_channel *channel, const volatile void **payload, size_t *bytes, unsigned *type, unsigned *flags)
{
    for (;;) {
        if (channel->broken)
            return V2V_E_PROTOCOL;
        uint32_t queued = channel->peer_prod - channel->next;
        if (queued == 0) {
            if (look_prod(channel) < 0)
                return V2V_E_PROTOCOL;
            queued = channel->peer_prod - channel->next;
            if (queued == 0) {
                release(channel); /* pads alone */
                return V2V_NONE;
            }
        }
        uint32_t at = channel->next & (channel->in_bytes - 1), to_end = channel->in_bytes - at;
        const volatile uint32_t *header = (const volatile uint32_t *)(channel->in + at);
        uint32_t first = header[0], size = header[1];
        if (first >> 16 != 0 || size < HEADER_BYTES || size > queued || size > to_end)
            return crash(channel);
        if ((first & 255) == PAD) {
            if (size != to_end)
                return crash(channel);
            channel->next += to_end;
            continue;
        }
        if (size > channel->in_bytes / 2)
            return crash(channel);
        channel->span = (size + 7) & ~7u;
        *payload = channel->in + at + HEADER_BYTES;
        *bytes = size - HEADER_BYTES;
        *type = first & 255;
        *flags = first >> 8 & 255;
        return V2V_OK;
    }
}

int v2v_finish(struct v2v_channel *channel)
{
    if (channel->span == 0)
        return V2V_E_ARGUMENT;
    channel->next += channel->span;
    channel->span = 0;
    release(channel);
    return V2V_OK;
}

/* Waiting */

static int data_there(struct v2v_channel *channel)
{
    return channel->peer_prod != channel->next || (look_prod(channel) == V2V_OK && channel->peer_prod != channel->next);
}

static int wait_for(struct v2v_channel *channel, int receive, int timeout_ms)
{
    uint64_t end = now_ms() + (uint64_t)timeout_ms;
    for (;;) {
        /* Closing first, then the ring: what was sent before the goodbye is seen. */
        int over = closing(channel);
        if (receive) {
            publish(&channel->mine[PROD_EVENT], channel->peer_prod + 1);
            if (data_there(channel))
                return V2V_OK;
        } else if (!over) {
            int result = channel->wanted == 0 ? V2V_OK : find_room(channel, channel->wanted);
            if (result != V2V_NONE)
                return result;
        }
        if (channel->broken)
            return V2V_E_PROTOCOL;
        if (over)
            return V2V_E_CLOSED;
        uint64_t now = now_ms();
        if (now >= end)
            return V2V_E_TIMEOUT;
        channel->link.sleep(channel->link.context, end - now < SLICE_MS ? (int)(end - now) : SLICE_MS);
    }
}

int v2v_wait_receive(struct v2v_channel *channel, int timeout_ms)
{
    return wait_for(channel, 1, timeout_ms);
}

int v2v_wait_send(struct v2v_channel *channel, int timeout_ms)
{
    return wait_for(channel, 0, timeout_ms);
}

int v2v_send_message(struct v2v_channel *channel, const void *payload, size_t bytes, unsigned type, int timeout_ms)
{
    volatile void *place_of;
    int result;
    while ((result = v2v_prepare(channel, bytes, type, 0, &place_of)) == V2V_NONE) {
        result = v2v_wait_send(channel, timeout_ms);
        if (result < 0)
            return result;
    }
    if (result < 0)
        return result;
    memcpy((void *)place_of, payload, bytes);
    v2v_send(channel);
    return V2V_OK;
}

long v2v_receive(struct v2v_channel *channel, void *payload, size_t room_bytes, unsigned *type, int timeout_ms)
{
    const volatile void *from;
    size_t bytes;
    unsigned flags;
    int result;
    while ((result = v2v_get(channel, &from, &bytes, type, &flags)) == V2V_NONE) {
        result = v2v_wait_receive(channel, timeout_ms);
        if (result < 0)
            return result;
    }
    if (result < 0)
        return result;
    memcpy(payload, (const void *)from, bytes < room_bytes ? bytes : room_bytes);
    v2v_finish(channel);
    return (long)bytes;
}

/* The stream */

int v2v_stream_send(struct v2v_channel *channel, const void *bytes, size_t length, int timeout_ms)
{
    size_t chunk = channel->out_bytes / 4 - HEADER_BYTES;
    for (size_t sent = 0; sent < length;) {
        size_t now = length - sent < chunk ? length - sent : chunk;
        int result = v2v_send_message(channel, (const uint8_t *)bytes + sent, now, V2V_STREAM_TYPE, timeout_ms);
        if (result < 0)
            return result;
        sent += now;
    }
    return V2V_OK;
}

long v2v_stream_recv(struct v2v_channel *channel, void *bytes, size_t room_bytes, int timeout_ms)
{
    size_t received = 0;
    while (received < room_bytes) {
        const volatile void *from;
        size_t size;
        unsigned type, flags;
        int result = v2v_get(channel, &from, &size, &type, &flags);
        if (result == V2V_NONE) {
            if (received > 0)
                break;
            result = v2v_wait_receive(channel, timeout_ms);
            if (result == V2V_E_CLOSED)
                return 0;
        } else if (result == V2V_OK) {
            size_t left = type == V2V_STREAM_TYPE ? size - channel->message_used : 0;
            size_t now = left < room_bytes - received ? left : room_bytes - received;
            memcpy((uint8_t *)bytes + received, (const uint8_t *)from + channel->message_used, now);
            received += now;
            channel->message_used += (uint32_t)now;
            if (now < left)
                break;
            channel->message_used = 0;
            v2v_finish(channel);
        }
        if (result < 0)
            return result;
    }
    return (long)received;
}
