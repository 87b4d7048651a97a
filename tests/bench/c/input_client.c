/*
 * A control that measures input and pre-emption through the daemon's socket.
 *
 *   input_client ack SOCKET ENDPOINT N            CMD_INPUT (key "a" down, up in turn) until its ACT_ACK, one at a time: prints "p50 p99" in us
 *   input_client preempt SOCKET ENDPOINT N UID    UID's control owns INPUT and holds 20 keys; ours takes it: from CMD_ACQUIRE until LEASE_GRANTED, prints "p50 p99" in us.
 *                                                 Each time: UID's control was told, and nothing is held any more.
 *   input_client stream SOCKET ENDPOINT           For tests: owns INPUT and sends frames until it is killed, four at a time; one presses keys 2 to 11, the next releases them,
 *                                                 last first. Says "streaming" once ten are acknowledged.
 */
#include "control.h"

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

static void print(double *t, int n) {
  qsort(t, (size_t)n, sizeof *t, by_value);
  printf("%.1f %.1f\n", t[n / 2], t[n * 99 / 100]);
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
  print(t, n);
}

static void preempt(int strong, int weak, int n, double *t) {
  int codes[20];
  for (int i = 0; i < 20; i++) codes[i] = 2 + i;
  for (int i = 0; i < n; i++) {
    lease(weak, CMD_ACQUIRE, LEASE_GRANTED);
    ask(weak, keys_frame(f, endpoint, ++corr, 0, codes, 20), ACT_ACK);
    double start = now_us();
    lease(strong, CMD_ACQUIRE, LEASE_GRANTED);
    t[i] = now_us() - start;
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
  print(t, n);
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
  int is_preempt = argc == 6 && !strcmp(argv[1], "preempt");
  int is_stream = argc == 4 && !strcmp(argv[1], "stream");
  if (!is_preempt && !is_stream && !(argc == 5 && !strcmp(argv[1], "ack"))) {
    fprintf(stderr, "usage: input_client ack SOCKET ENDPOINT N | preempt SOCKET ENDPOINT N UID | stream SOCKET ENDPOINT\n");
    return 2;
  }
  endpoint = (uint32_t)strtoul(argv[3], NULL, 10);
  if (is_stream) stream(join_as(argv[2], 0));
  int n = atoi(argv[4]);
  double *t = n > 0 ? malloc((size_t)n * sizeof *t) : NULL;
  if (t == NULL) return 2;
  int fd = join_as(argv[2], 0);
  if (is_preempt) preempt(fd, join_as(argv[2], (uid_t)strtoul(argv[5], NULL, 10)), n, t);
  else ack(fd, n, t);
  return 0;
}
