/*
 * A control in C, as little of one as measures and tests need: the protocol's frames, written by
 * hand, over a blocking SOCK_SEQPACKET socket.
 */
#pragma once
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum {
  HEAD = 96,
  RECORD = 24,
  PACKET = HEAD + 65536,
  ACT_ACK = 48,
  LEASE_GRANTED = 50,
  LEASE_DENIED = 51,
  LEASE_RELEASED = 52,
  LEASE_REVOKED = 53,
  INPUT_HELD = 55,
  CMD_INPUT = 64,
  CMD_VM = 70,
  CMD_ACQUIRE = 73,
  CMD_RELEASE = 74,
  CMD_QUERY_INPUT = 76,
  HELLO = 96,
  WELCOME = 97,
  CLASS_INPUT = 0,
  CLASS_POWER = 1,
  KIND_KEY = 3,
};

static inline void die(const char *what) {
  perror(what);
  exit(1);
}

static inline double now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static inline void put16(uint8_t *p, uint16_t v) { memcpy(p, &v, 2); }
static inline void put32(uint8_t *p, uint32_t v) { memcpy(p, &v, 4); }
static inline void put64(uint8_t *p, uint64_t v) { memcpy(p, &v, 8); }
static inline uint16_t get16(const uint8_t *p) {
  uint16_t v;
  memcpy(&v, p, 2);
  return v;
}
static inline uint32_t get32(const uint8_t *p) {
  uint32_t v;
  memcpy(&v, p, 4);
  return v;
}
static inline uint64_t get64(const uint8_t *p) {
  uint64_t v;
  memcpy(&v, p, 8);
  return v;
}

/* A DOWN frame's header, with two words of the inline zone. */
static inline void head(uint8_t *f, uint16_t kind, uint32_t endpoint, uint32_t corr, uint32_t word0, uint32_t word1) {
  memset(f, 0, HEAD);
  put32(f, 0x31475356);
  put16(f + 4, kind);
  f[7] = 1;
  f[8] = 1;
  put32(f + 12, endpoint);
  put32(f + 20, corr);
  put32(f + 48, word0);
  put32(f + 52, word1);
}

/* A CMD_INPUT of `count` keys; a code below 0 is a key-up. Returns its length. */
static inline size_t keys_frame(uint8_t *f, uint32_t endpoint, uint32_t corr, uint64_t token, const int *codes, int count) {
  head(f, CMD_INPUT, endpoint, corr, 0, 0);
  put64(f + 40, token);
  for (int i = 0; i < count; i++) {
    uint8_t *r = i == 0 ? f + 48 : f + HEAD + (i - 1) * RECORD;
    memset(r, 0, RECORD);
    put32(r, KIND_KEY);
    put32(r + 4, (uint32_t)(codes[i] < 0 ? -codes[i] : codes[i]));
    put32(r + 8, codes[i] > 0);
  }
  uint32_t body = (uint32_t)(count - 1) * RECORD;
  f[9] = body > 0;
  put32(f + 24, body);
  return HEAD + body;
}

static inline struct sockaddr_un address(const char *path) {
  struct sockaddr_un a = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof a.sun_path) {
    fprintf(stderr, "path too long\n");
    exit(2);
  }
  strcpy(a.sun_path, path);
  return a;
}

static inline int dial(const char *path) {
  struct sockaddr_un a = address(path);
  int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (fd < 0) die("socket");
  if (connect(fd, (struct sockaddr *)&a, sizeof a) < 0) die("connect");
  return fd;
}

/* Says HELLO, and takes WELCOME. `sources` of one byte, and `endpoints`, a mask, as in the protocol: 0
 * subscribes to no source (answers come all the same), and to all endpoints. */
static inline void say_hello(int fd, uint8_t sources, uint64_t endpoints) {
  /* {proto: 1, name: "bench", sub: {sources: N, prio_min: 0, endpoints: MASK}} */
  static const uint8_t first[] = {0xa3, 0x65, 'p', 'r', 'o', 't', 'o', 1, 0x64, 'n', 'a', 'm', 'e', 0x65, 'b', 'e', 'n', 'c', 'h',
                                  0x63, 's', 'u', 'b', 0xa3, 0x67, 's', 'o', 'u', 'r', 'c', 'e', 's', 0x18};
  static const uint8_t then[] = {0x68, 'p', 'r', 'i', 'o', '_', 'm', 'i', 'n', 0, 0x69, 'e', 'n', 'd', 'p', 'o', 'i', 'n', 't', 's', 0x1b};
  static uint8_t f[PACKET];
  uint8_t *b = f + HEAD;
  head(f, HELLO, 0, 0, 0, 0);
  memcpy(b, first, sizeof first);
  b += sizeof first;
  *b++ = sources;
  memcpy(b, then, sizeof then);
  b += sizeof then;
  for (int shift = 56; shift >= 0; shift -= 8) *b++ = (uint8_t)(endpoints >> shift);
  f[9] = 2;
  put32(f + 24, (uint32_t)(b - f - HEAD));
  if (send(fd, f, (size_t)(b - f), MSG_NOSIGNAL) < 0) die("send hello");
  ssize_t n = recv(fd, f, sizeof f, 0);
  if (n < HEAD || get16(f + 4) != WELCOME) {
    fprintf(stderr, "no WELCOME\n");
    exit(1);
  }
}

/* Joins as `uid` (its effective uid at connect is what the daemon sees); 0 joins as who runs this. It
 * subscribes to nothing. */
static inline int join_as(const char *path, uid_t uid) {
  if (uid != 0 && seteuid(uid) < 0) die("seteuid");
  int fd = dial(path);
  if (uid != 0 && seteuid(0) < 0) die("seteuid back");
  say_hello(fd, 0, 0);
  return fd;
}

static inline int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}
