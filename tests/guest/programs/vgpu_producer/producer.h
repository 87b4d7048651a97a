/* vgpu_producer: the region of src/vgpu/REGION.md as C sees it, and what the parts of the program share. */
#ifndef VGPU_PRODUCER_H
#define VGPU_PRODUCER_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum { PAGE = 4096, CONTROL_OFFSET = 0x1000, RING_OFFSET = 0x2000, MAX_SLOTS = 8, NO_SLOT = 0xffffffff };
enum { BGRA = 1, RGBA = 2, BGRX = 3, RGB565 = 4, NV12 = 5 };
enum { STOPPED = 0, STARTING = 1, RUNNING = 2, PAUSED = 3, FAILED = 4 };
enum { SYNTHETIC = 1, FRAMEBUFFER = 2 };

struct slot {
  _Atomic uint32_t seq;
  uint32_t width, height, stride, format, reserved;
  uint64_t frame_id, timestamp_ns;
  int32_t damage[4];
  uint64_t unused;
};

struct region {
  _Atomic uint64_t magic;
  uint32_t abi_version, header_bytes;
  uint64_t region_bytes;
  uint32_t control_offset, ring_offset, slot_count, slot_stride, producer_pid, crc;
  uint8_t unused_30[0x10];
  _Atomic uint64_t heartbeat;
  _Atomic uint32_t run_epoch, status, backend, error_code, applied_fps, supported_formats, ctrl_ack, full_frame_ack;
  _Atomic uint64_t content_change_ns;
  uint8_t unused_70[0x10];
  _Atomic uint32_t cursor_seq, cursor_visible;
  _Atomic uint64_t cursor_pos;
  _Atomic uint32_t cursor_hotspot, cursor_glyph, cursor_id;
  uint8_t unused_9c[0x24];
  _Atomic uint32_t geom_seq, dpi;
  int32_t virt_x, virt_y;
  uint32_t virt_w, virt_h;
  int32_t cap_x, cap_y;
  uint32_t refresh_mhz;
  uint8_t unused_e4[0x1c];
  _Atomic uint32_t latest;
  uint8_t unused_104[0x3c];
  struct slot slots[MAX_SLOTS];
};

struct control {
  _Atomic uint32_t ctrl_gen, desired_state, target_fps, draw_cursor, full_frame_req;
};

_Static_assert(offsetof(struct region, crc) == 0x2c, "crc");
_Static_assert(offsetof(struct region, heartbeat) == 0x40, "heartbeat");
_Static_assert(offsetof(struct region, content_change_ns) == 0x68, "content_change_ns");
_Static_assert(offsetof(struct region, cursor_seq) == 0x80, "cursor_seq");
_Static_assert(offsetof(struct region, cursor_id) == 0x98, "cursor_id");
_Static_assert(offsetof(struct region, geom_seq) == 0xc0, "geom_seq");
_Static_assert(offsetof(struct region, refresh_mhz) == 0xe0, "refresh_mhz");
_Static_assert(offsetof(struct region, latest) == 0x100, "latest");
_Static_assert(offsetof(struct region, slots) == 0x140, "slots");
_Static_assert(sizeof(struct slot) == 64, "slot");

/* What the frames are like. Changed between frames only, under frame_lock. */
struct picture {
  uint32_t width, height, stride, format, bytes;
  const char *pattern; /* noise, bars, box, still */
  int draw_cursor, cursor_x, cursor_y;
};

/* Draws frame number `frame` into `out` with its stamp; `fresh` when the slot held no frame of this
 * picture yet. */
void draw(const struct picture *picture, uint32_t frame, uint8_t *out, int32_t damage[4]);
/* Bytes of a frame of this picture; the stride is made tight when it is 0. */
uint32_t picture_bytes(struct picture *picture);
/* The stamp: "FRM1", frame number, words that follow it, their checksum. */
void stamp(uint8_t *out, uint32_t bytes, uint32_t frame);

/* The screen: opens /dev/fb0 and says what its frames are like; copies it; draws a test picture on it. */
int screen_open(struct picture *picture);
void screen_copy(const struct picture *picture, uint8_t *out);
void screen_draw(uint32_t seed);

uint32_t crc32c(const uint8_t *bytes, size_t count);
/* A misbehaviour by name; 0 when there is none of that name. */
int misbehave(struct region *region, size_t bytes, char *line);
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
void die(const char *what);
uint64_t now_ns(void);

#endif
