/*
 * The floor of input.ack, in C: a bare QMP client. It connects to QEMU's monitor, agrees on capabilities, and
 * sends one input-send-event at a time, each after the reply to the one before; events that come between are
 * skipped. Nothing is parsed: a reply is a line that contains "return".
 *
 *   qmp_client ack SOCKET N            key down, key up of "a" in turn; prints "p50 p99" in us
 *   qmp_client ack SOCKET N EVENTS     the same command each time, EVENTS being the JSON list
 *   qmp_client status SOCKET N         query-status, one each millisecond
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define BUFFER (1 << 20)

static int monitor;
static char buffer[BUFFER + 1];
static size_t filled;

static void die(const char *what) {
  perror(what);
  exit(1);
}

static double now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Reads until a line with `word` has come, and forgets what was read. */
static void await_line(const char *word) {
  for (;;) {
    char *end;
    while ((end = memchr(buffer, '\n', filled)) != NULL) {
      *end = 0;
      int found = strstr(buffer, word) != NULL, failed = strstr(buffer, "\"error\"") != NULL;
      if (failed) {
        fprintf(stderr, "QEMU refuses: %s\n", buffer);
        exit(1);
      }
      filled -= (size_t)(end + 1 - buffer);
      memmove(buffer, end + 1, filled);
      if (found) return;
    }
    if (filled == BUFFER) {
      fprintf(stderr, "a line is too long\n");
      exit(1);
    }
    ssize_t n = read(monitor, buffer + filled, BUFFER - filled);
    if (n < 0) die("read");
    if (n == 0) {
      fprintf(stderr, "QEMU closed the monitor\n");
      exit(1);
    }
    filled += (size_t)n;
  }
}

static void say(const char *text, size_t length) {
  while (length > 0) {
    ssize_t n = write(monitor, text, length);
    if (n < 0) die("write");
    text += n;
    length -= (size_t)n;
  }
}

int main(int argc, char **argv) {
  int is_status = argc == 4 && strcmp(argv[1], "status") == 0;
  if (!is_status && (argc < 4 || argc > 5 || strcmp(argv[1], "ack") != 0)) {
    fprintf(stderr, "usage: qmp_client ack SOCKET N [EVENTS] | status SOCKET N\n");
    return 2;
  }
  long n = strtol(argv[3], NULL, 10);
  if (n < 1) return 2;
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(argv[2]) >= sizeof address.sun_path) {
    fprintf(stderr, "path too long\n");
    return 2;
  }
  strcpy(address.sun_path, argv[2]);
  monitor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (monitor < 0) die("socket");
  if (connect(monitor, (struct sockaddr *)&address, sizeof address) < 0) die("connect");
  await_line("\"QMP\"");
  const char *hello = "{\"execute\":\"qmp_capabilities\"}\n";
  say(hello, strlen(hello));
  await_line("\"return\"");

  char *command[2];
  for (int i = 0; i < 2; i++) {
    if (is_status) {
      command[i] = "{\"execute\":\"query-status\"}\n";
      continue;
    }
    char key[128];
    snprintf(key, sizeof key,
             "[{\"type\":\"key\",\"data\":{\"key\":{\"type\":\"qcode\",\"data\":\"a\"},\"down\":%s}}]",
             i == 0 ? "true" : "false");
    if (asprintf(&command[i], "{\"execute\":\"input-send-event\",\"arguments\":{\"events\":%s}}\n",
                 argc == 5 ? argv[4] : key) < 0)
      die("asprintf");
  }
  double *times = malloc((size_t)n * sizeof *times);
  if (times == NULL) die("malloc");
  for (long i = 0; i < n; i++) {
    if (is_status) usleep(1000);
    double start = now_us();
    say(command[i & 1], strlen(command[i & 1]));
    await_line("\"return\"");
    times[i] = now_us() - start;
  }
  qsort(times, (size_t)n, sizeof *times, by_value);
  printf("%.1f %.1f\n", times[n / 2], times[n * 99 / 100]);
  return 0;
}
