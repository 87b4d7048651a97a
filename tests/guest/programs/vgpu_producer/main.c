/*
 * vgpu_producer: a reference producer of the vgpu region (src/vgpu/REGION.md), in a guest or as a plain
 * process.
 *
 *   vgpu_producer [width=N] [height=N] [format=bgra|rgba|bgrx|rgb565|nv12] [stride=N] [slots=2..8]
 *     [fps=N, 0 = as fast as it can]
 *                 [pattern=noise|bars|box|still] [source=synthetic|screen] [file=PATH, else anonymous
 *                   memory] [huge=0|1]
 *                 [cursor=slow|fast|off] [frozen=0|1] [epoch=N]
 *
 * says "ready PID 0xVA BYTES" and publishes frames; it obeys the control block, and lines:
 *
 *   freeze, thaw            stops publishing frames, goes on: "frozen", "thawed" (no frame is half-written
 *                           then)
 *   frame                   publishes one frame: "frame ID"
 *   heart 0|1               stops the heartbeat, goes on
 *   geometry W H DPI MHZ    "geometry"
 *   cursor X Y VISIBLE ID   a cursor that stays there: "cursor"
 *   status N, error N       "status"
 *   epoch                   a new run: the next epoch, frame ids from 1: "epoch N"
 *   control                 what it was asked for: "control STATE FPS CURSOR REQUESTS"
 *   draw SEED               a picture on the real screen: "drawn"
 *   die                     dies in the middle of a frame
 *   quit
 *
 * and those of misbehave.c. Everything that the region's reader sees is written as REGION.md says, unless it
 * is told otherwise.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "producer.h"

static struct region *region;
static struct control *control;
static size_t region_bytes;
static struct picture picture = {.width = 640, .height = 480, .format = BGRA, .pattern = "noise"};
static uint32_t slot_count = 3, slot_stride, own_fps = 30, first_epoch = 1;
static int use_screen, huge = -1, fast_cursor, no_cursor;
static const char *file_path;

static pthread_mutex_t frame_lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_int frozen, paused, heart_stopped, dying, cursor_fixed;
static atomic_uint target_fps, full_frame_wanted;
static uint64_t frame_id;

void say(const char *format, ...) {
  va_list args;
  va_start(args, format);
  vprintf(format, args);
  va_end(args);
  putchar('\n');
  fflush(stdout);
}

void die(const char *what) {
  say("error %s: %s", what, strerror(errno));
  exit(1);
}

uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void create_region(void) {
  slot_stride = (picture_bytes(&picture) + PAGE - 1) / PAGE * PAGE;
  region_bytes = RING_OFFSET + (size_t)slot_count * slot_stride;
  int fd = -1, flags = MAP_PRIVATE | MAP_ANONYMOUS;
  if (file_path != NULL) {
    flags = MAP_SHARED;
    fd = open(file_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, (off_t)region_bytes) != 0) die(file_path);
  }
  region = mmap(NULL, region_bytes, PROT_READ | PROT_WRITE, flags, fd, 0);
  if (region == MAP_FAILED) die("mmap");
  if (fd >= 0) close(fd);
  if (huge >= 0) madvise(region, region_bytes, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
  /* Touched, so that no reader meets a page that is not there; locked if this process may, so that none is
   * swapped out. */
  memset(region, 0, region_bytes);
  if (mlock(region, region_bytes) != 0 && errno != ENOMEM && errno != EPERM) die("mlock");
  control = (struct control *)((uint8_t *)region + CONTROL_OFFSET);
  region->abi_version = 1;
  region->header_bytes = 0x2000;
  region->region_bytes = region_bytes;
  region->control_offset = CONTROL_OFFSET;
  region->ring_offset = RING_OFFSET;
  region->slot_count = slot_count;
  region->slot_stride = slot_stride;
  region->producer_pid = (uint32_t)getpid();
  region->crc = crc32c((uint8_t *)region + 8, 0x24);
  region->run_epoch = first_epoch;
  region->status = RUNNING;
  region->backend = use_screen ? FRAMEBUFFER : SYNTHETIC;
  region->supported_formats = 1u << picture.format;
  region->applied_fps = own_fps;
  region->latest = NO_SLOT;
  region->dpi = 96;
  region->virt_w = picture.width;
  region->virt_h = picture.height;
  region->refresh_mhz = 60000;
  atomic_thread_fence(memory_order_seq_cst);
  atomic_store(&region->magic, 0x3152545355504756ull); /* VGPUSTR1 */
}

static void publish_frame(void) {
  uint32_t wanted = atomic_load(&full_frame_wanted);
  uint32_t latest = region->latest, next = latest >= slot_count ? 0 : (latest + 1) % slot_count;
  struct slot *slot = &region->slots[next];
  uint8_t *out = (uint8_t *)region + RING_OFFSET + (size_t)next * slot_stride;
  int32_t damage[4] = {0, 0, 0, 0};
  frame_id++;
  atomic_fetch_add(&slot->seq, 1 + (slot->seq & 1)); /* odd, also after a misbehaviour; a locked instruction is a full fence */
  slot->width = picture.width;
  slot->height = picture.height;
  slot->stride = picture.stride;
  slot->format = picture.format;
  slot->frame_id = frame_id;
  slot->timestamp_ns = now_ns();
  if (use_screen) screen_copy(&picture, out);
  else draw(&picture, (uint32_t)frame_id, out, damage);
  if (atomic_load(&dying)) _exit(9);
  if (wanted != region->full_frame_ack) memset(damage, 0, sizeof damage);
  memcpy(slot->damage, damage, sizeof damage);
  atomic_thread_fence(memory_order_seq_cst);
  atomic_fetch_add(&slot->seq, 1);
  atomic_store(&region->latest, next);
  if (use_screen || strcmp(picture.pattern, "still") != 0 || frame_id == 1) region->content_change_ns = slot->timestamp_ns;
  region->full_frame_ack = wanted;
}

static void write_cursor(uint32_t n, int32_t x, int32_t y, uint32_t visible, uint32_t id) {
  atomic_fetch_add(&region->cursor_seq, 1);
  region->cursor_visible = visible;
  region->cursor_pos = (uint32_t)x | (uint64_t)(uint32_t)y << 32;
  region->cursor_hotspot = (n & 0xffff) | (~n & 0xffff) << 16;
  region->cursor_glyph = 12 | 16 << 16;
  region->cursor_id = id;
  atomic_fetch_add(&region->cursor_seq, 1);
}

static void *frame_thread(void *unused) {
  (void)unused;
  uint64_t next = now_ns();
  for (uint32_t n = 0;; n++) {
    uint32_t fps = atomic_load(&target_fps);
    if (fps == 0) fps = own_fps;
    if (!atomic_load(&frozen) && (!atomic_load(&paused) || atomic_load(&full_frame_wanted) != region->full_frame_ack)) {
      pthread_mutex_lock(&frame_lock);
      if (!atomic_load(&frozen)) publish_frame();
      pthread_mutex_unlock(&frame_lock);
    } else {
      usleep(1000);
    }
    if (!no_cursor && !fast_cursor && !atomic_load(&cursor_fixed)) {
      picture.cursor_x = (int32_t)(n * 3 % picture.width);
      picture.cursor_y = (int32_t)(n * 2 % picture.height);
      write_cursor(n, picture.cursor_x, picture.cursor_y, 1, 1);
    }
    if (fps == 0) continue;
    next += 1000000000u / fps;
    uint64_t now = now_ns();
    if (next <= now) next = now;
    else usleep((useconds_t)((next - now) / 1000));
  }
  return NULL;
}

/* Writes cursors without a pause: y is ~x, and the hotspot's halves are each other's complement. */
static void *cursor_thread(void *unused) {
  (void)unused;
  for (uint32_t n = 0;; n++) write_cursor(n, (int32_t)n, (int32_t)~n, 1, 1);
  return NULL;
}

static void obey_control(void) {
  static uint32_t applied;
  uint32_t generation = atomic_load(&control->ctrl_gen);
  if ((generation & 1) != 0 || generation == applied) return;
  uint32_t state = control->desired_state, fps = control->target_fps;
  uint32_t cursor = control->draw_cursor, wanted = control->full_frame_req;
  atomic_thread_fence(memory_order_seq_cst);
  if (atomic_load(&control->ctrl_gen) != generation) return;
  pthread_mutex_lock(&frame_lock);
  picture.draw_cursor = cursor != 0;
  if (state != 0) {
    atomic_store(&paused, state != 1);
    region->status = state == 1 ? RUNNING : state == 2 ? PAUSED : STOPPED;
  }
  atomic_store(&target_fps, fps);
  region->applied_fps = fps == 0 ? own_fps : fps;
  atomic_store(&full_frame_wanted, wanted);
  applied = generation;
  atomic_store(&region->ctrl_ack, generation);
  pthread_mutex_unlock(&frame_lock);
}

static void set_geometry(uint32_t w, uint32_t h, uint32_t dpi, uint32_t mhz) {
  atomic_fetch_add(&region->geom_seq, 1);
  region->dpi = dpi;
  region->virt_x = -(int32_t)w;
  region->virt_y = 0;
  region->virt_w = 2 * w;
  region->virt_h = h;
  region->cap_x = 0;
  region->cap_y = 0;
  region->refresh_mhz = mhz;
  atomic_fetch_add(&region->geom_seq, 1);
}

static void freeze(int on) {
  pthread_mutex_lock(&frame_lock);
  atomic_store(&frozen, on);
  pthread_mutex_unlock(&frame_lock);
}

static void obey_line(char *line) {
  uint32_t a, b, c, d;
  int32_t x, y;
  if (strcmp(line, "freeze") == 0 || strcmp(line, "thaw") == 0) {
    freeze(line[0] == 'f');
    say(line[0] == 'f' ? "frozen" : "thawed");
  } else if (strcmp(line, "frame") == 0) {
    pthread_mutex_lock(&frame_lock);
    publish_frame();
    pthread_mutex_unlock(&frame_lock);
    say("frame %llu", (unsigned long long)frame_id);
  } else if (sscanf(line, "heart %u", &a) == 1) {
    atomic_store(&heart_stopped, a == 0);
    say("heart");
  } else if (sscanf(line, "geometry %u %u %u %u", &a, &b, &c, &d) == 4) {
    set_geometry(a, b, c, d);
    say("geometry");
  } else if (sscanf(line, "cursor %d %d %u %u", &x, &y, &a, &b) == 4) {
    atomic_store(&cursor_fixed, 1);
    pthread_mutex_lock(&frame_lock);
    picture.cursor_x = x;
    picture.cursor_y = y;
    pthread_mutex_unlock(&frame_lock);
    usleep(20000); /* the frame thread's last own cursor is out by then */
    write_cursor(0, x, y, a, b);
    say("cursor");
  } else if (sscanf(line, "status %u", &a) == 1) {
    region->status = a;
    say("status");
  } else if (sscanf(line, "error %u", &a) == 1) {
    region->error_code = a;
    region->status = FAILED;
    say("status");
  } else if (strcmp(line, "epoch") == 0) {
    pthread_mutex_lock(&frame_lock);
    frame_id = 0;
    say("epoch %u", ++region->run_epoch);
    pthread_mutex_unlock(&frame_lock);
  } else if (strcmp(line, "control") == 0) {
    say("control %u %u %u %u", control->desired_state, control->target_fps, control->draw_cursor, control->full_frame_req);
  } else if (sscanf(line, "draw %u", &a) == 1) {
    screen_draw(a);
    say("drawn");
  } else if (strcmp(line, "die") == 0) {
    atomic_store(&dying, 1);
    freeze(0);
    for (;;) pause();
  } else if (strcmp(line, "quit") == 0) {
    exit(0);
  } else if (!misbehave(region, region_bytes, line)) {
    say("error unknown line: %s", line);
  }
}

static uint32_t number(const char *text) { return (uint32_t)strtoul(text, NULL, 0); }

static void option(const char *arg) {
  static const char *formats[] = {"", "bgra", "rgba", "bgrx", "rgb565", "nv12"};
  const char *value = strchr(arg, '=');
  if (value == NULL) die(arg);
  size_t n = (size_t)(value++ - arg);
#define IS(name) (n == sizeof name - 1 && memcmp(arg, name, n) == 0)
  if (IS("width")) picture.width = number(value);
  else if (IS("height")) picture.height = number(value);
  else if (IS("stride")) picture.stride = number(value);
  else if (IS("slots")) slot_count = number(value);
  else if (IS("fps")) own_fps = number(value);
  else if (IS("pattern")) picture.pattern = value;
  else if (IS("source")) use_screen = strcmp(value, "screen") == 0;
  else if (IS("file")) file_path = value;
  else if (IS("huge")) huge = (int)number(value);
  else if (IS("cursor")) fast_cursor = strcmp(value, "fast") == 0, no_cursor = strcmp(value, "off") == 0;
  else if (IS("frozen")) atomic_store(&frozen, (int)number(value));
  else if (IS("epoch")) first_epoch = number(value);
  else if (IS("format")) {
    for (uint32_t f = BGRA; f <= NV12; f++) if (strcmp(value, formats[f]) == 0) picture.format = f;
  } else {
    errno = EINVAL;
    die(arg);
  }
#undef IS
}

int main(int argc, char **argv) {
  char line[512];
  pthread_t thread;
  for (int i = 1; i < argc; i++) option(argv[i]);
  if (use_screen && !screen_open(&picture)) die("/dev/fb0");
  create_region();
  if (pthread_create(&thread, NULL, frame_thread, NULL) != 0) die("thread");
  if (fast_cursor && pthread_create(&thread, NULL, cursor_thread, NULL) != 0) die("thread");
  say("ready %d %p %zu", getpid(), (void *)region, region_bytes);
  struct pollfd in = {.fd = 0, .events = POLLIN};
  size_t have = 0;
  for (;;) {
    if (poll(&in, 1, 10) > 0) {
      ssize_t got = read(0, line + have, sizeof line - 1 - have);
      if (got <= 0) return 0;
      have += (size_t)got;
      char *end;
      while ((end = memchr(line, '\n', have)) != NULL) {
        *end = 0;
        obey_line(line);
        have -= (size_t)(end + 1 - line);
        memmove(line, end + 1, have);
      }
      if (have == sizeof line - 1) have = 0;
    }
    if (!atomic_load(&heart_stopped)) atomic_fetch_add(&region->heartbeat, 1);
    obey_control();
  }
}
