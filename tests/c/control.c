/*
 * A small control in C, written from the protocol alone: joins the bus, follows an
 * endpoint, steers it, types a key.
 *
 *   control SOCKET ENDPOINT-NAME
 *
 * Prints one line a step; exit status 1 with the reason when anything is not as the protocol says.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { ACT_ACK = 48, VM_LIFECYCLE = 49, LEASE_GRANTED = 50, LEASE_RELEASED = 52 };
enum { CMD_INPUT = 64, CMD_VM = 70, CMD_ACQUIRE = 73, CMD_RELEASE = 74, ROSTER = 80, HELLO = 96, WELCOME = 97 };
enum { OP_QUERY = 0, OP_CONT = 1, OP_STOP = 2 };

struct header {
  uint32_t magic;
  uint16_t kind;
  uint8_t source, dir, prio, format;
  uint16_t fds;
  uint32_t endpoint, seq, corr, body, reserved;
  uint64_t ts_ns, token;
  uint8_t inln[48];
};
_Static_assert(sizeof(struct header) == 96, "a frame's header has 96 bytes");

static int bus;
static uint32_t last_corr, last_seq;
static uint8_t packet[96 + 65536];
static struct header event;

static void fail(const char *what) {
  fprintf(stderr, "%s: kind %u corr %u code %u\n", what, event.kind, event.corr, *(uint32_t *)(event.inln + 4));
  exit(1);
}

static uint32_t word(int i) {
  uint32_t v;
  memcpy(&v, event.inln + 4 * i, 4);
  return v;
}

static uint32_t give(uint16_t kind, uint32_t endpoint, const void *inln, size_t size, const void *body, size_t length, uint8_t format) {
  struct header h = {.magic = 0x31475356, .kind = kind, .dir = 1, .prio = kind == CMD_INPUT ? 2 : 1, .format = format, .endpoint = endpoint};
  h.corr = kind == HELLO ? 0 : ++last_corr;
  h.body = (uint32_t)length;
  if (size > 0) memcpy(h.inln, inln, size);
  memcpy(packet, &h, 96);
  if (length > 0) memcpy(packet + 96, body, length);
  if (send(bus, packet, 96 + length, MSG_NOSIGNAL) < 0) fail("send");
  return h.corr;
}

static void take(void) {
  ssize_t n = recv(bus, packet, sizeof packet, 0);
  if (n < 96) fail("nothing came");
  memcpy(&event, packet, 96);
  if (event.magic != 0x31475356 || event.body != (uint32_t)n - 96 || event.reserved != 0 || event.dir != 0) fail("not a frame of the protocol");
  if (event.kind < HELLO) {
    if (event.seq != last_seq + 1) fail("a gap in seq");
    last_seq = event.seq;
  }
}

static void answer(uint32_t corr) {
  do take();
  while (event.corr != corr);
}

static void expect_ok(uint32_t corr, const char *what) {
  answer(corr);
  if (event.kind != ACT_ACK || word(0) != 1) fail(what);
  printf("%s: done\n", what);
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strncpy(address.sun_path, argv[1], sizeof address.sun_path - 1);
  struct timeval limit = {.tv_sec = 5};
  bus = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  setsockopt(bus, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  if (bus < 0 || connect(bus, (struct sockaddr *)&address, sizeof address) < 0) fail("connect");

  /* {"proto": 1, "name": "c", "sub": {"sources": 127, "prio_min": 0, "endpoints": 0}} */
  static const uint8_t hello[] = "\xa3\x65proto\x01\x64name\x61" "c" "\x63sub\xa3\x67sources\x18\x7f\x68prio_min\x00\x69" "endpoints\x00";
  give(HELLO, 0, 0, 0, hello, sizeof hello - 1, 2);
  take();
  if (event.kind != WELCOME || event.format != 2) fail("no WELCOME");
  printf("welcome\n");

  uint32_t endpoint;
  for (;;) {
    take();
    if (event.kind == ROSTER && strncmp((char *)event.inln + 16, argv[2], 32) == 0) break;
  }
  endpoint = event.endpoint;
  printf("roster: %s is endpoint %u, state %u\n", argv[2], endpoint, word(0));

  uint32_t op = OP_QUERY;
  answer(give(CMD_VM, endpoint, &op, 4, 0, 0, 0));
  if (event.kind != VM_LIFECYCLE) fail("query");
  printf("query: state %u\n", word(0));
  op = OP_STOP;
  expect_ok(give(CMD_VM, endpoint, &op, 4, 0, 0, 0), "stop");
  op = OP_CONT;
  expect_ok(give(CMD_VM, endpoint, &op, 4, 0, 0, 0), "cont");

  uint32_t lease[3] = {0, 0, 0};
  answer(give(CMD_ACQUIRE, endpoint, lease, sizeof lease, 0, 0, 0));
  if (event.kind != LEASE_GRANTED) fail("acquire");
  struct {
    uint32_t kind;
    int32_t code, value;
    uint32_t pad;
    double scroll;
  } stroke[2] = {{.kind = 3, .code = 30, .value = 1}, {.kind = 3, .code = 30, .value = 0}};
  _Static_assert(sizeof stroke[0] == 24, "an input record has 24 bytes");
  expect_ok(give(CMD_INPUT, endpoint, &stroke[0], 24, &stroke[1], 24, 1), "a stroke of the key A");
  stroke[0].code = 0x300;
  answer(give(CMD_INPUT, endpoint, &stroke[0], 24, 0, 0, 0));
  if (event.kind != ACT_ACK || word(0) != 0 || word(1) != 7) fail("a key above KEY_MAX must be a bad argument");
  printf("a key above KEY_MAX: refused with bad-argument\n");
  answer(give(CMD_RELEASE, endpoint, lease, 8, 0, 0, 0));
  if (event.kind != LEASE_RELEASED) fail("release");
  printf("released\n");
  close(bus);
  return 0;
}
