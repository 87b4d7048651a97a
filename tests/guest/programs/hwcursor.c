/*
 * hwcursor: a cursor that the display card draws, by DRM, as a desktop's compositor makes one.
 *
 *   hwcursor DEVICE
 *
 * Turns the first connector's first mode on, and obeys lines: "shape SEED X Y" gives the cursor 64x64 pixels
 * whose hot spot is X Y, "move X Y" puts it there. Pixel i of a shape is opaque where bit 3 of i is set, and
 * has the colour i * SEED then; otherwise nothing of it is seen. Answers "done". What DRM's header says is
 * repeated here: Debian has it in a package of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

enum { SIDE = 64, CURSOR_SHAPE = 1, CURSOR_MOVE = 2 };

struct resources {
  uint64_t fbs, crtcs, connectors, encoders;
  uint32_t fb_count, crtc_count, connector_count, encoder_count, sizes[4];
};
struct dumb { uint32_t height, width, bits, flags, handle, pitch; uint64_t bytes; };
struct dumb_map { uint32_t handle, pad; uint64_t offset; };
struct cursor {
  uint32_t flags, crtc;
  int32_t x, y;
  uint32_t width, height, handle;
  int32_t hot_x, hot_y;
};

struct mode { uint32_t clock; uint16_t width, rest[9]; uint32_t refresh, flags, type; char name[32]; };
struct connector {
  uint64_t encoders, modes, properties, values;
  uint32_t mode_count, property_count, encoder_count, encoder, id, type, type_id, connection, sizes[3], pad;
};
struct crtc {
  uint64_t connectors;
  uint32_t connector_count, id, fb, x, y, gamma, mode_valid;
  struct mode mode;
};
struct fb { uint32_t id, width, height, pitch, bits, depth, handle; };

#define GET_CONNECTOR _IOWR('d', 0xa7, struct connector)
#define SET_CRTC _IOWR('d', 0xa2, struct crtc)
#define ADD_FB _IOWR('d', 0xae, struct fb)
#define GET_RESOURCES _IOWR('d', 0xa0, struct resources)
#define CREATE_DUMB _IOWR('d', 0xb2, struct dumb)
#define MAP_DUMB _IOWR('d', 0xb3, struct dumb_map)
#define CURSOR2 _IOWR('d', 0xbb, struct cursor)

static int card;

static void ask(unsigned long what, void *how, const char *name) {
  if (ioctl(card, what, how) == 0) return;
  printf("error %s: %s\n", name, strerror(errno));
  exit(1);
}

static void turn_on(uint32_t crtc, uint32_t id) {
  struct mode modes[64] = { 0 };
  struct connector connector = { .id = id };
  /* Without room for modes it looks for them, and tells how many there are. */
  ask(GET_CONNECTOR, &connector, "connector");
  uint32_t properties[64];
  uint64_t values[64];
  uint32_t encoders[16];
  connector = (struct connector){ .id = id, .modes = (uintptr_t)modes, .mode_count = 64,
    .properties = (uintptr_t)properties, .values = (uintptr_t)values, .property_count = 64,
    .encoders = (uintptr_t)encoders, .encoder_count = 16 };
  ask(GET_CONNECTOR, &connector, "modes");
  uint32_t height = modes[0].rest[4];
  struct dumb picture = { .width = modes[0].width, .height = height, .bits = 32 };
  ask(CREATE_DUMB, &picture, "picture");
  struct fb fb = { .width = picture.width, .height = height, .pitch = picture.pitch, .bits = 32, .depth = 24,
    .handle = picture.handle };
  ask(ADD_FB, &fb, "frame buffer");
  struct crtc set = { .connectors = (uintptr_t)&id, .connector_count = 1, .id = crtc, .fb = fb.id,
    .mode_valid = 1, .mode = modes[0] };
  ask(SET_CRTC, &set, "mode");
}

int main(int argc, char **argv) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  card = argc > 1 ? open(argv[1], O_RDWR) : -1;
  if (card < 0) { printf("error open: %s\n", strerror(errno)); return 1; }
  uint32_t crtcs[16] = { 0 }, connectors[16] = { 0 };
  struct resources found = { .crtcs = (uintptr_t)crtcs, .crtc_count = 16 };
  found.connectors = (uintptr_t)connectors;
  found.connector_count = 16;
  ask(GET_RESOURCES, &found, "resources");
  turn_on(crtcs[0], connectors[0]);
  /* Two of them: a card may still show the one while the next is drawn. */
  struct dumb images[2];
  uint32_t *pixels[2];
  for (int i = 0; i < 2; i++) {
    images[i] = (struct dumb){ .height = SIDE, .width = SIDE, .bits = 32 };
    ask(CREATE_DUMB, &images[i], "image");
    struct dumb_map map = { .handle = images[i].handle };
    ask(MAP_DUMB, &map, "map");
    pixels[i] = mmap(NULL, images[i].bytes, PROT_READ | PROT_WRITE, MAP_SHARED, card, (off_t)map.offset);
    if (pixels[i] == MAP_FAILED) { printf("error mmap: %s\n", strerror(errno)); return 1; }
  }
  puts("ready");
  char line[256];
  for (int turn = 0; fgets(line, sizeof line, stdin) != NULL;) {
    struct cursor cursor = { .crtc = crtcs[0] };
    unsigned seed;
    if (sscanf(line, "shape %u %d %d", &seed, &cursor.hot_x, &cursor.hot_y) == 3) {
      int next = turn++ & 1;
      for (uint32_t y = 0; y < SIDE; y++)
        for (uint32_t x = 0; x < SIDE; x++) {
          uint32_t i = y * SIDE + x;
          pixels[next][y * images[next].pitch / 4 + x] = i & 8 ? 0xff000000 | ((i * seed) & 0xffffff) : 0;
        }
      cursor.flags = CURSOR_SHAPE;
      cursor.width = cursor.height = SIDE;
      cursor.handle = images[next].handle;
      ask(CURSOR2, &cursor, "shape");
    } else if (sscanf(line, "move %d %d", &cursor.x, &cursor.y) == 2) {
      cursor.flags = CURSOR_MOVE;
      ask(CURSOR2, &cursor, "move");
    } else {
      printf("error no such command: %s", line);
      return 1;
    }
    puts("done");
  }
  return 0;
}
