/*
 * A control that measures input and pre-emption through the daemon's socket.
 *
 *   input_client ack SOCKET ENDPOINT N            CMD_INPUT (key "a" down, up in turn) until its
 *     ACT_ACK, one at a time: prints "p50 p99" in us
 *   input_client preempt SOCKET ENDPOINT N UID [EVDEV]
 *                                                 UID's control owns INPUT and holds 20 keys; ours takes
 *                                                   it: from CMD_ACQUIRE until LEASE_GRANTED. The 20th key
 *                                                   is a
 *                                                 command of its own, timed until its ACT_ACK. Prints
 *                                                   "p50 p99 p50 p99" in us, of the lease, then of that
 *                                                   key.
 *                                                 Each time: UID's control was told, and nothing is held
 *                                                   any more; by the kernel's own word, too, when EVDEV is
 *                                                   the
 *                                                 device (/dev/input/eventN): that one it grabs, as a
 *                                                   QEMU that passes it on does, and it measures as a
 *                                                 realtime process.
 *   input_client stream SOCKET ENDPOINT           For tests: owns INPUT and sends frames until it is
 *     killed, four at a time; one presses keys 2 to 11, the next releases them,
 *                                                 last first. Says "streaming" once ten are acknowledged.
 */
#include "control.h"
#include <fcntl.h>
#include <linux/input.h>
#include <sched.h>
#include <sys/ioctl.h>

enum { HELD_KEYS = 20 };

static uint8_t f[PACKET], r[PACKET];
static uint32_t endpoint, corr;

/* Sends the frame in `f` and waits for what answers it; the answer is in `r`. */
static void ask(int fd, size_t length, uint16_t expected) {
  if (send(fd, f, length, MSG_NOSIGNAL) != (ssize_t)length) die("send");
  do {
    if (recv(fd, r, sizeof r, 0) < HEAD) die("recv");
  } while (get32(r + 20) != corr);
  if (get16(r + 4) != expected || (expected == ACT_ACK && get32(r + 52) != 0)) {
    fprintf(stderr, "kind %u with words %u %u, not kind %u\n", get16(r + 4), get32(r + 48), get32(r + 52), expected);
    exit(1);
  }
}

static void lease(int fd, uint16_t command, uint16_t expected) {
  head(f, command, endpoint, ++corr, CLASS_INPUT, 0);
  ask(fd, HEAD, expected);
}

static void print(double *t, int n, char end) {
  qsort(t, (size_t)n, sizeof *t, by_value);
  printf("%.1f %.1f%c", t[n / 2], t[n * 99 / 100], end);
}

static void ack(int fd, int n, double *t) {
  lease(fd, CMD_ACQUIRE, LEASE_GRANTED);
  for (int i = 0; i < n; i++) {
    int code = i & 1 ? -30 : 30;
    double start = now_us();
    ask(fd, keys_frame(f, endpoint, ++corr, 0, &code, 1), ACT_ACK);
    t[i] = now_us() - start;
  }
  lease(fd, CMD_RELEASE, LEASE_RELEASED);
  print(t, n, '\n');
}

static int grab(const char *path) {
  int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) die(path);
  if (ioctl(fd, EVIOCGRAB, 1) < 0) die("EVIOCGRAB");
  return fd;
}

/* The daemon's loop is realtime: it would put an ordinary process that wakes it aside for a scheduler
 * tick, and that tick would be what is measured. */
static void become_realtime(void) {
  struct sched_param priority = {.sched_priority = 1};
  if (sched_setscheduler(0, SCHED_RR, &priority) < 0) die("sched_setscheduler");
}

/* Fails unless the device has so many keys down. Its events are read, so that the next ones find room. */
static void must_be_down(int evdev, int expected) {
  if (evdev < 0) return;
  uint8_t keys[KEY_MAX / 8 + 1] = {0};
  if (ioctl(evdev, EVIOCGKEY(sizeof keys), keys) < 0) die("EVIOCGKEY");
  int down = 0;
  for (size_t i = 0; i < sizeof keys; i++) down += __builtin_popcount(keys[i]);
  if (down != expected) {
    fprintf(stderr, "%d keys of the device are down, not %d\n", down, expected);
    exit(1);
  }
  struct input_event events[64];
  while (read(evdev, events, sizeof events) > 0) {}
}

static void preempt(int strong, int weak, int evdev, int n, double *t, double *one) {
  int codes[HELD_KEYS];
  for (int i = 0; i < HELD_KEYS; i++) codes[i] = 2 + i;
  for (int i = 0; i < n; i++) {
    lease(weak, CMD_ACQUIRE, LEASE_GRANTED);
    ask(weak, keys_frame(f, endpoint, ++corr, 0, codes, HELD_KEYS - 1), ACT_ACK);
    double pressed = now_us();
    ask(weak, keys_frame(f, endpoint, ++corr, 0, codes + HELD_KEYS - 1, 1), ACT_ACK);
    one[i] = now_us() - pressed;
    must_be_down(evdev, HELD_KEYS);
    double start = now_us();
    lease(strong, CMD_ACQUIRE, LEASE_GRANTED);
    t[i] = now_us() - start;
    must_be_down(evdev, 0);
    if (recv(weak, r, sizeof r, MSG_DONTWAIT) < HEAD || get16(r + 4) != LEASE_REVOKED || get32(r + 52) != 0) {
      fprintf(stderr, "the owner was not told that it is pre-empted\n");
      exit(1);
    }
    head(f, CMD_QUERY_INPUT, endpoint, ++corr, 0, 0);
    ask(strong, HEAD, INPUT_HELD);
    if (get32(r + 48) != 0) {
      fprintf(stderr, "%u keys are still held\n", get32(r + 48));
      exit(1);
    }
    lease(strong, CMD_RELEASE, LEASE_RELEASED);
  }
  print(t, n, ' ');
  print(one, n, '\n');
}

static void stream(int fd) {
  int codes[2][10];
  for (int i = 0; i < 10; i++) {
    codes[0][i] = 2 + i;
    codes[1][i] = -(11 - i);
  }
  lease(fd, CMD_ACQUIRE, LEASE_GRANTED);
  for (int sent = 0, acked = 0;; sent++) {
    size_t length = keys_frame(f, endpoint, ++corr, 0, codes[sent & 1], 10);
    if (send(fd, f, length, MSG_NOSIGNAL) != (ssize_t)length) die("send");
    if (sent < 4) continue;
    if (recv(fd, r, sizeof r, 0) < HEAD || get16(r + 4) != ACT_ACK || get32(r + 52) != 0) die("a frame is not acknowledged");
    if (++acked == 10) {
      printf("streaming\n");
      fflush(stdout);
    }
  }
}

int main(int argc, char **argv) {
  int is_preempt = (argc == 6 || argc == 7) && !strcmp(argv[1], "preempt");
  int is_stream = argc == 4 && !strcmp(argv[1], "stream");
  if (!is_preempt && !is_stream && !(argc == 5 && !strcmp(argv[1], "ack"))) {
    fprintf(stderr, "usage: input_client ack SOCKET ENDPOINT N | preempt SOCKET ENDPOINT N UID [EVDEV] | stream SOCKET ENDPOINT\n");
    return 2;
  }
  endpoint = (uint32_t)strtoul(argv[3], NULL, 10);
  if (is_stream) stream(join_as(argv[2], 0));
  int n = atoi(argv[4]);
  double *t = n > 0 ? malloc(2 * (size_t)n * sizeof *t) : NULL;
  if (t == NULL) return 2;
  int fd = join_as(argv[2], 0);
  if (!is_preempt) {
    ack(fd, n, t);
    return 0;
  }
  int weak = join_as(argv[2], (uid_t)strtoul(argv[5], NULL, 10)), evdev = -1;
  if (argc == 7) {
    evdev = grab(argv[6]);
    become_realtime();
  }
  preempt(fd, weak, evdev, n, t, t + n);
  return 0;
}
