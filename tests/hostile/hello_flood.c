/*
 * Knocks at the control socket as fast as it can, in one of several ways:
 *
 *   hello_flood PATH MODE WORKERS COUNT SECONDS SEED      COUNT 0: until SECONDS are over or SIGTERM comes
 *
 *   hello    connect, a HELLO in order, read the REFUSED, close
 *   silent   connect and say nothing: each worker keeps its last 256 connections open
 *   garbage  connect, a packet of random bytes, read the answer, close
 *   giant    connect, a HELLO in order with a name of 60 KB, read the REFUSED, close
 *   mixed    connect, one of some thirty kinds of malformed HELLO, read the answer, close
 */
#include "attack.h"

#define HELD 256
/* A SEQPACKET packet may be larger than a frame may: the daemon has to see that it was cut. */
#define LARGEST 120000

static const char *path, *mode;
static uint8_t frame[HEAD + LARGEST], answer[PACKET];

/* A CBOR writer, of as much of CBOR as attackers need. */
static uint8_t *at;
static void byte(uint8_t b) { *at++ = b; }
static void item(uint8_t major, uint64_t n) {
  if (n < 24) return byte((uint8_t)(major << 5 | n));
  int bytes = n < 0x100 ? 1 : n < 0x10000 ? 2 : n < 0x100000000ull ? 4 : 8;
  byte((uint8_t)(major << 5 | (bytes == 1 ? 24 : bytes == 2 ? 25 : bytes == 4 ? 26 : 27)));
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) byte((uint8_t)(n >> shift));
}
static void number(uint64_t n) { item(0, n); }
static void text(const char *s) {
  size_t n = strlen(s);
  item(3, n);
  memcpy(at, s, n);
  at += n;
}
/* A text of n bytes of a pattern. */
static void long_text(size_t n, const char *pattern) {
  size_t step = strlen(pattern);
  item(3, n - n % step);
  for (size_t i = 0; i + step <= n; i += step, at += step) memcpy(at, pattern, step);
}
static void map(uint64_t n) { item(5, n); }
static void array(uint64_t n) { item(4, n); }
/* {proto: 1, name: "mine", and what follows */
static void opening(uint64_t members) {
  map(members);
  text("proto");
  number(1);
  text("name");
  text("mine");
}

/* One malformed body, or one in order among them. */
static void odd_body(uint64_t *random) {
  uint32_t depth = 100 + below(random, 30000);
  switch (below(random, 28)) {
    case 0: opening(2); break;
    case 1: map(1), text("proto"), map(1), text("a"), number(1); break;
    case 2: map(1), text("proto"), map(2), text("toString"), number(1), text("valueOf"), number(2); break;
    case 3: map(2), text("proto"), array(2), array(0), map(0), text("name"), text("x"); break;
    case 4: for (uint32_t i = 0; i < depth; i++) array(1); number(0); break;
    case 5: for (uint32_t i = 0; i < depth; i++) map(1), text("a"); number(0); break;
    case 6: map(1), text("proto"); for (uint32_t i = 0; i < depth; i++) array(1); number(0); break;
    case 7: map(1), text("proto"), long_text(60000, "\x1b[2Jx"); break;
    case 8: map(1), text("proto"), long_text(60000, "\xe2\x80\xae"); break;
    case 9: map(2), text("proto"), number(1), text("name"), number(7); break;
    case 10: map(2), text("proto"), number(1), text("name"), long_text(60000, "\r\n\x07\xc2\x9b"); break;
    case 11: opening(3), text("sub"), array(1), number(1); break;
    case 12: opening(3), text("sub"), byte(0xf6); break;
    case 13: opening(3), text("sub"), map(1), text("sources"), byte(0xfb), memset(at, 0x7f, 8), at += 8; break;
    case 14: opening(3), text("sub"), map(1), text("sources"), byte(0xf9), byte(0x7e), byte(0); break;
    case 15: opening(3), text("sub"), map(1), text("endpoints"), byte(0xc2), item(2, 4000), memset(at, 0xff, 4000), at += 4000; break;
    case 16: opening(3), text("sub"), map(1), text("endpoints"), item(1, ~0ull); break;
    case 17: opening(3), text("sub"), map(1), text("prio_min"), item(0, ~0ull); break;
    case 18: byte(0xbf), text("proto"), number(1), byte(0xff); break;
    case 19: byte(0x7f), byte(0x61), byte('a'), byte(0xff); break;
    case 20: map(1), text("proto"), byte(0xf7); break;
    case 21: map(1), text("proto"), byte(0xf8), byte(0); break;
    case 22: opening(3), text("proto"), number(2); break;
    case 23: opening(4), text("__proto__"), map(1), text("sub"), number(1), text("constructor"), number(1); break;
    case 24: map(2), array(1), number(1), number(1), number(2), number(3); break;
    case 25: byte(below(random, 2) != 0 ? 0x9b : 0x7b); memset(at, 0x7f, 8); at += 8; break;
    case 26: opening(3), text("sub"), map(1); break;
    default: {
      uint32_t n = below(random, 3000);
      for (uint32_t i = 0; i < n; i++) byte((uint8_t)next_random(random));
    }
  }
}

/* Gives the frame a HELLO's header; its length. */
static size_t closed_frame(void) {
  size_t body = (size_t)(at - frame) - HEAD;
  head(frame, HELLO, 0, 0, 0, 0);
  frame[9] = body > 0 ? 2 : 0;
  put32(frame + 24, (uint32_t)body);
  return HEAD + body;
}

/* Some also have a defect in the header, or in the packet itself. */
static size_t odd_frame(uint64_t *random) {
  odd_body(random);
  size_t length = closed_frame();
  switch (below(random, 24)) {
    case 0: put32(frame, (uint32_t)next_random(random)); break;
    case 1: put16(frame + 4, (uint16_t)next_random(random)); break;
    case 2: put32(frame + 24, (uint32_t)next_random(random)); break;
    case 3: put32(frame + 28, 1); break;
    case 4: put16(frame + 10, (uint16_t)below(random, 20)); break;
    case 5: put16(frame + 4, CMD_VM); break;
    case 6: length = below(random, HEAD); break;
    case 7: length = LARGEST; break;
    case 8: frame[7] = 0; break;
    case 9: frame[9] = (uint8_t)next_random(random); break;
  }
  return length;
}

/* Descriptors that nobody asked for, with some HELLOs. */
static ssize_t say(int fd, size_t length, uint64_t *random) {
  if (strcmp(mode, "mixed") != 0 || below(random, 16) != 0) return send(fd, frame, length, MSG_NOSIGNAL);
  int count = 1 + (int)below(random, below(random, 8) == 0 ? 250 : 8);
  union {
    struct cmsghdr align;
    uint8_t bytes[CMSG_SPACE(sizeof(int) * 253)];
  } control;
  memset(&control, 0, sizeof control);
  if (below(random, 2) != 0 && length >= HEAD) put16(frame + 10, (uint16_t)count);
  struct iovec part = {frame, length};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)count)};
  struct cmsghdr *c = CMSG_FIRSTHDR(&message);
  c->cmsg_level = SOL_SOCKET;
  c->cmsg_type = SCM_RIGHTS;
  c->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)count);
  /* Its own connection among them: what keeps that one keeps the peer. */
  for (int i = 0; i < count; i++) memcpy(CMSG_DATA(c) + sizeof(int) * (size_t)i, i % 2 == 0 ? &fd : &(int){0}, sizeof(int));
  return sendmsg(fd, &message, MSG_NOSIGNAL);
}

static void work(int worker, uint64_t random) {
  (void)worker;
  static int held[HELD];
  unsigned next = 0;
  bool silent = !strcmp(mode, "silent"), garbage = !strcmp(mode, "garbage"), giant = !strcmp(mode, "giant"), mixed = !strcmp(mode, "mixed");
  while (next_attack()) {
    int fd = knock(path, SOCK_SEQPACKET);
    if (fd == -2) return;
    if (fd < 0) continue;
    if (silent) {
      if (held[next] > 0) close(held[next]);
      held[next] = fd;
      next = (next + 1) % HELD;
      atomic_fetch_add(&totals->sent, 1);
      continue;
    }
    at = frame + HEAD;
    size_t length;
    if (garbage) {
      length = 1 + below(&random, 4096);
      for (size_t i = 0; i < length; i += 8) put64(frame + i, next_random(&random));
    } else if (mixed) {
      length = odd_frame(&random);
    } else {
      map(2), text("proto"), number(1), text("name");
      if (giant) long_text(60000, "n");
      else text("flood");
      length = closed_frame();
    }
    /* One that says nothing and goes, one that stops half way, one that says more than a HELLO. */
    uint32_t manner = mixed ? below(&random, 40) : 40;
    if (manner != 0) say(fd, length, &random);
    if (manner == 1) shutdown(fd, SHUT_WR);
    if (manner == 2) send(fd, frame, length, MSG_NOSIGNAL | MSG_DONTWAIT);
    atomic_fetch_add(&totals->sent, 1);
    if (manner > 1) take_verdict(fd, answer, sizeof answer);
    close(fd);
  }
}

int main(int argc, char **argv) {
  if (argc != 7) return 2;
  path = argv[1];
  mode = argv[2];
  return run_workers(atoi(argv[3]), atol(argv[4]), atof(argv[5]), strtoull(argv[6], 0, 10), work);
}
