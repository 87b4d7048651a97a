/*
 * The synthetic pictures. Each begins with a stamp of 16 bytes, so that a reader can tell a torn frame from a
 * whole one by the frame alone: "FRM1", the frame's number, how many u32 words follow, and their checksum (h
 * = (h ^ word) * 16777619 from 2166136261).
 *
 *   noise   every word differs from frame to frame: what shows a torn copy best
 *   bars    colour bars that wander: to look at
 *   box     a white box of 64 x 64 on grey that moves 8 pixels a frame, with its damage
 *   still   always the same picture; the stamp alone says which frame it is
 */
#include <string.h>

#include "producer.h"

static uint32_t mix(uint32_t h) {
  h ^= h >> 16;
  h *= 0x85ebca6bu;
  h ^= h >> 13;
  return h * 0xc2b2ae35u;
}

uint32_t picture_bytes(struct picture *picture) {
  uint32_t pixel = picture->format == NV12 ? 1 : picture->format == RGB565 ? 2 : 4;
  if (picture->stride == 0) picture->stride = picture->width * pixel;
  uint32_t bytes = picture->stride * picture->height;
  picture->bytes = picture->format == NV12 ? bytes / 2 * 3 : bytes;
  return picture->bytes;
}

void stamp(uint8_t *out, uint32_t bytes, uint32_t frame) {
  uint32_t *words = (uint32_t *)out, count = bytes / 4 - 4, sum = 2166136261u;
  for (uint32_t i = 0; i < count; i++) sum = (sum ^ words[4 + i]) * 16777619u;
  words[0] = 0x314d5246; /* FRM1 */
  words[1] = frame;
  words[2] = count;
  words[3] = sum;
}

/* A colour as this format stores it; NV12 stores its brightness. */
static void put(const struct picture *p, uint8_t *out, uint32_t x, uint32_t y, uint32_t rgb) {
  uint32_t r = rgb >> 16 & 255, g = rgb >> 8 & 255, b = rgb & 255;
  uint8_t *at = out + (size_t)y * p->stride;
  switch (p->format) {
    case RGBA: ((uint32_t *)at)[x] = 0xff000000u | b << 16 | g << 8 | r; break;
    case RGB565: ((uint16_t *)at)[x] = (uint16_t)(r >> 3 << 11 | g >> 2 << 5 | b >> 3); break;
    case NV12: at[x] = (uint8_t)((77 * r + 150 * g + 29 * b) >> 8); break;
    case BGRX: ((uint32_t *)at)[x] = rgb; break;
    default: ((uint32_t *)at)[x] = 0xff000000u | rgb;
  }
}

static void rectangle(const struct picture *p, uint8_t *out, const int32_t box[4], uint32_t rgb) {
  for (int32_t y = box[1]; y < box[1] + box[3]; y++)
    for (int32_t x = box[0]; x < box[0] + box[2]; x++)
      if (x >= 0 && y >= 0 && (uint32_t)x < p->width && (uint32_t)y < p->height) put(p, out, (uint32_t)x, (uint32_t)y, rgb);
}

static void box_at(const struct picture *p, uint32_t frame, int32_t box[4]) {
  uint32_t room = p->width > 64 ? p->width - 64 : 1;
  box[0] = (int32_t)(frame * 8 % room);
  box[1] = (int32_t)(p->height / 2);
  box[2] = box[3] = 64;
}

static void noise(const struct picture *p, uint32_t frame, uint8_t *out) {
  uint32_t *words = (uint32_t *)out, seed = mix(frame * 0x9e3779b1u + 1);
  for (uint32_t i = 4; i < p->bytes / 4; i++) words[i] = seed + i * 0x9e3779b1u;
}

static void bars(const struct picture *p, uint32_t frame, uint8_t *out) {
  static const uint32_t colours[8] = {0xffffff, 0xffff00, 0x00ffff, 0x00ff00, 0xff00ff, 0xff0000, 0x0000ff, 0x101010};
  for (uint32_t y = 0; y < p->height; y++)
    for (uint32_t x = 0; x < p->width; x++) put(p, out, x, y, colours[(x + frame * 4) * 8 / p->width & 7]);
}

void draw(const struct picture *p, uint32_t frame, uint8_t *out, int32_t damage[4]) {
  static const int32_t all[4] = {0, 0, 0, 0};
  memcpy(damage, all, sizeof all);
  if (p->format == NV12) memset(out + (size_t)p->stride * p->height, 128, p->bytes - (size_t)p->stride * p->height);
  if (strcmp(p->pattern, "noise") == 0) {
    noise(p, frame, out);
  } else if (strcmp(p->pattern, "bars") == 0) {
    bars(p, frame, out);
  } else {
    const int32_t whole[4] = {0, 0, (int32_t)p->width, (int32_t)p->height};
    rectangle(p, out, whole, 0x808080);
    if (strcmp(p->pattern, "box") == 0) {
      int32_t old[4], box[4];
      box_at(p, frame - 1, old);
      box_at(p, frame, box);
      rectangle(p, out, box, 0xffffff);
      damage[0] = old[0] < box[0] ? old[0] : box[0];
      damage[1] = box[1];
      damage[2] = (old[0] < box[0] ? box[0] - old[0] : old[0] - box[0]) + 64;
      damage[3] = 64;
    } else {
      damage[2] = damage[3] = 1; /* the stamp */
    }
  }
  if (p->draw_cursor) {
    const int32_t cursor[4] = {p->cursor_x, p->cursor_y, 12, 16};
    rectangle(p, out, cursor, 0xff8000);
  }
  stamp(out, p->bytes, frame);
}

uint32_t crc32c(const uint8_t *bytes, size_t count) {
  uint32_t crc = ~0u;
  for (size_t i = 0; i < count; i++) {
    crc ^= bytes[i];
    for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (0x82f63b78u & -(crc & 1));
  }
  return ~crc;
}
