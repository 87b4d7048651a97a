/*
 * QEMU monitors that are not to be trusted: each worker listens on FOLDER/mN.qmp, greets whoever connects,
 * agrees on capabilities and a run state as QEMU does, and then says what no QEMU says, until the other side
 * hangs up or it has said enough; then it waits for the next connection.
 *
 *   qmp_flood FOLDER MONITORS COUNT SECONDS SEED      COUNT lines in all
 *
 * Of the totals "sent" are lines, "answered" connections that were agreed on, "closed" those that the other
 * side ended, "late" those that took nothing for a while (a monitor that is throttled), "refused" connections
 * that were never agreed on.
 */
#include "attack.h"
#include <stdarg.h>

#define LARGEST (17 * 1024 * 1024)
/* Lines of one connection at most. */
#define ENOUGH 400
#define BREACHES 64
/* A throttled peer takes nothing for so long, ms, before this end gives the connection up. */
#define STUCK_MS 4000

static const char *folder;
static char *line;
static size_t length;

static void put(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  length += (size_t)vsnprintf(line + length, LARGEST - length, format, arguments);
  va_end(arguments);
}

static void repeat(const char *pattern, size_t times) {
  size_t n = strlen(pattern);
  for (size_t i = 0; i < times && length + n < LARGEST; i++, length += n) memcpy(line + length, pattern, n);
}

static void nested(size_t depth) {
  repeat("[", depth);
  repeat("]", depth);
}

static const char *NAMES[] = {"RESET", "STOP", "RESUME", "SHUTDOWN", "POWERDOWN", "GUEST_PANICKED", "SUSPEND", "WAKEUP", "BLOCK_IO_ERROR",
                              "MEMORY_DEVICE_SIZE_CHANGE", "DEVICE_DELETED", "MIGRATION", "\\u0000\\u001b[2J", "__proto__", "constructor"};

/* One line; true when whoever reads it is right to hang up. Those are one in BREACHES, or a connection
 * would end before it has begun. */
static bool compose(uint64_t *random, long serial) {
  length = 0;
  const char *name = NAMES[below(random, sizeof NAMES / sizeof *NAMES)];
  /* The largest ones are rare: they are slow to make, not only to read. */
  if (serial % 20011 == 20010) {
    put("{\"event\": \"");
    repeat("A", LARGEST - 64);
    put("\"}\r\n");
    return true;
  }
  if (serial % 2003 == 2002) {
    put("{\"event\": \"%s\", \"data\": ", name);
    nested(500000);
    put("}\r\n");
    return true;
  }
  bool breach = below(random, BREACHES) == 0;
  switch (breach ? 100 + below(random, 16) : below(random, 11)) {
    case 0: put("{\"event\": \"%s\"}\r\n", name); break;
    case 1: put("{\"event\": \"RESET\", \"data\": {\"guest\": true, \"reason\": \"guest-reset\"}, \"timestamp\": {\"seconds\": 1, \"microseconds\": 2}}\r\n"); break;
    case 2: put("{\"event\": \"STOP\"}\r\n{\"event\": \"RESUME\"}\r\n"); break;
    case 3: put("{\"event\": \"%s\", \"data\": [1, 2, 3]}\r\n", name); break;
    case 4: put("{\"event\": \"%s\", \"data\": {\"reason\": {\"a\": 1}, \"guest\": \"no\"}}\r\n", name); break;
    case 5: put("{\"event\": \"%s\", \"data\": {\"__proto__\": {\"reason\": \"x\"}, \"constructor\": 1}}\r\n", name); break;
    case 6: put("{\"event\": \"%s\", \"data\": {\"reason\": \"", name); repeat("\\u202e\\u001b]0;x\\u0007", below(random, 2000)); put("\"}}\r\n"); break;
    case 7: put("{\"event\": \""); repeat("\xe2\x80\xae", below(random, 20000)); put("\"}\r\n"); break;
    case 8: put("{\"event\": \"%s\", \"data\": ", name); nested(below(random, 30)); put("}\r\n"); break;
    case 9: put("{\"event\": \"%s\", \"timestamp\": {\"seconds\": -1e400, \"microseconds\": \"\"}}\r\n", name); break;
    case 10: for (int n = 20; n > 0; n--) put("{\"event\": \"RESET\"}\r\n"); break;
    case 100: put("{\"event\": %u}\r\n", below(random, 100)); break;
    case 101: put("{\"event\": null, \"data\": 5}\r\n"); break;
    case 102: put("{\"return\": {}, \"id\": %u}\r\n", below(random, 100000)); break;
    case 103: put("{\"return\": {}}\r\n"); break;
    case 104: put("{\"error\": {\"class\": \"GenericError\", \"desc\": \""); repeat("x\\n", below(random, 20000)); put("\"}}\r\n"); break;
    case 105: put("{\"error\": 5, \"id\": 1}\r\n"); break;
    case 106: put("{\"error\": {\"class\": 1, \"desc\": []}, \"id\": 1e308}\r\n"); break;
    case 107: put("{\"QMP\": {\"version\": {\"qemu\": {\"major\": \"x\"}}, \"capabilities\": {}}}\r\n"); break;
    case 108: put("[]\r\n"); break;
    case 109: put("%u\r\n", below(random, 1000)); break;
    case 110: put("{\"event\": \"%s\", \"data\": ", name); repeat("{\"a\":", below(random, 3000)); put("\r\n"); break;
    case 111: put("\xff\xfe\xc0\x80\r\n"); break;
    case 112: put("\r\n"); break;
    case 113: put("{}\r\n"); break;
    case 114: put("{\"event\": \"%s\", \"data\": ", name); nested(below(random, 3000)); put("}\r\n"); break;
    default: repeat("\"", below(random, 3000)); put("\r\n");
  }
  return breach;
}

/* Sends all of it; 0 when the other side has gone, -1 when it takes nothing any more. */
static int say(int fd, const char *bytes, size_t size) {
  for (size_t sent = 0; sent < size;) {
    ssize_t n = send(fd, bytes + sent, size - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0) {
      sent += (size_t)n;
      continue;
    }
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno != EAGAIN) return 0;
    struct pollfd p = {fd, POLLOUT, 0};
    if (poll(&p, 1, STUCK_MS) <= 0) return -1;
  }
  return 1;
}

/* Reads what has come, and answers the handshake's commands as QEMU does; the number of its commands, -1
 * at its end. */
static int listen_to(int fd, int wait_ms) {
  static char text[65536];
  static size_t have;
  if (wait_ms < 0) {
    have = 0;
    return 0;
  }
  struct pollfd p = {fd, POLLIN, 0};
  if (poll(&p, 1, wait_ms) <= 0) return 0;
  ssize_t n = recv(fd, text + have, sizeof text - 1 - have, MSG_DONTWAIT);
  if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) return -1;
  if (n < 0) return 0;
  have += (size_t)n;
  text[have] = 0;
  int commands = 0;
  char *from = text, *to;
  while ((to = strchr(from, '\n')) != 0) {
    *to = 0;
    const char *id = strstr(from, "\"id\":");
    char reply[256];
    /* What is asked besides gets an answer of some other shape. */
    static const char *others[] = {"{}", "[]", "null", "\"done\"", "7", "{\"status\": 5}", "[{\"id\": 1}]", "\"AS \\\"memory\\\"\\r\\n  0-f (prio 0, ram): x @-1\\r\\n\""};
    static unsigned turn;
    const char *value = strstr(from, "query-status") != 0 ? "{\"status\": \"running\", \"running\": true}"
                        : strstr(from, "qmp_capabilities") != 0 ? "{}" : others[turn++ % (sizeof others / sizeof *others)];
    int size = id != 0 ? snprintf(reply, sizeof reply, "{\"return\": %s, \"id\": %ld}\r\n", value, atol(id + 5))
                       : snprintf(reply, sizeof reply, "{\"return\": %s}\r\n", value);
    if (say(fd, reply, (size_t)size) < 1) return -1;
    commands++;
    from = to + 1;
  }
  have -= (size_t)(from - text);
  memmove(text, from, have);
  if (have == sizeof text - 1) have = 0;
  return commands;
}

static void converse(int fd, uint64_t *random) {
  static const char greeting[] = "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, \"minor\": 2, \"major\": 7}, \"package\": \"\"}, \"capabilities\": []}}\r\n";
  listen_to(fd, -1);
  /* Now and then not even the greeting is one. */
  bool greets = below(random, 32) != 0;
  if (greets && say(fd, greeting, sizeof greeting - 1) < 1) return;
  /* qmp_capabilities and query-status. */
  int commands = 0;
  for (int tries = 0; greets && commands < 2 && tries < 40 && !over(); tries++) {
    int n = listen_to(fd, 100);
    if (n < 0) break;
    commands += n;
  }
  atomic_fetch_add(commands >= 2 ? &totals->answered : &totals->refused, 1);
  for (int said = 0; said < ENOUGH && !over(); said++) {
    long serial = atomic_fetch_add(&totals->taken, 1);
    if (serial >= wanted) return;
    bool breach = compose(random, serial);
    int taken = say(fd, line, length);
    if (taken > 0) atomic_fetch_add(&totals->sent, 1);
    else atomic_fetch_sub(&totals->taken, 1);
    int heard = taken > 0 ? listen_to(fd, 0) : -1;
    /* Lines behind one that ends the conversation would never be read: its end is waited for. */
    for (int tries = 0; breach && heard >= 0 && tries < 10; tries++) heard = listen_to(fd, 50);
    if (heard < 0) {
      atomic_fetch_add(taken < 0 ? &totals->late : &totals->closed, 1);
      return;
    }
  }
}

static void work(int worker, uint64_t random) {
  char path[100];
  snprintf(path, sizeof path, "%s/m%d.qmp", folder, worker);
  struct sockaddr_un a = address(path);
  unlink(path);
  int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listener < 0 || bind(listener, (struct sockaddr *)&a, sizeof a) < 0 || listen(listener, 4) < 0) die("listen");
  line = malloc(LARGEST + 256);
  if (line == 0) die("malloc");
  while (!over() && atomic_load(&totals->taken) < wanted) {
    struct pollfd p = {listener, POLLIN, 0};
    if (poll(&p, 1, 200) <= 0) continue;
    int fd = accept4(listener, 0, 0, SOCK_CLOEXEC);
    if (fd < 0) continue;
    converse(fd, &random);
    close(fd);
  }
  close(listener);
  unlink(path);
}

int main(int argc, char **argv) {
  if (argc != 6) return 2;
  folder = argv[1];
  return run_workers(atoi(argv[2]), atol(argv[3]), atof(argv[4]), strtoull(argv[5], 0, 10), work);
}
