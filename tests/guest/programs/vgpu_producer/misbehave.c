/*
 * What no honest producer does. Lines (numbers in C's notation):
 *
 *   set OFFSET SIZE VALUE   stores 1, 2, 4 or 8 bytes anywhere in the region
 *   crc                     makes the header's CRC right again, whatever the header says
 *   copy                    a dead copy of the region in memory of its own: "copied 0xVA"
 *   cache PATH              a file whose page begins like the region, mapped and written: "cached 0xVA"
 *   fork                    a child that holds the same address space and sleeps: "forked PID"
 *   move                    other physical pages under the ring, with the same content: "moved N"
 *   unmap OFFSET LENGTH     takes pages of the region away
 *   protect OFFSET LENGTH   makes pages of the region unreadable to everybody in the guest
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "producer.h"

static void set(struct region *region, size_t bytes, uint64_t offset, int size, uint64_t value) {
  if (offset + (uint64_t)size > bytes) return;
  memcpy((uint8_t *)region + offset, &value, (size_t)size);
}

static void copy(struct region *region, size_t bytes) {
  void *to = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (to == MAP_FAILED) die("copy");
  memcpy(to, region, bytes);
  say("copied %p", to);
}

static void cache(struct region *region, const char *path) {
  int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0 || ftruncate(fd, 4 * PAGE) != 0) die(path);
  void *to = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (to == MAP_FAILED) die(path);
  memcpy(to, region, PAGE);
  close(fd);
  say("cached %p", to);
}

static void move(struct region *region, size_t bytes) {
  uint8_t *ring = (uint8_t *)region + RING_OFFSET;
  size_t length = bytes - RING_OFFSET;
  uint8_t *fresh = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (fresh == MAP_FAILED) die("move");
  memcpy(fresh, ring, length);
  if (mremap(fresh, length, length, MREMAP_MAYMOVE | MREMAP_FIXED, ring) == MAP_FAILED) die("mremap");
  say("moved %zu", length);
}

int misbehave(struct region *region, size_t bytes, char *line) {
  unsigned long long a = 0, b = 0;
  long long value = 0;
  int size = 0;
  char path[256];
  if (sscanf(line, "set %lli %d %lli", (long long *)&a, &size, &value) == 3) {
    set(region, bytes, a, size, (uint64_t)value);
    say("set");
  } else if (strcmp(line, "crc") == 0) {
    region->crc = crc32c((uint8_t *)region + 8, 0x24);
    say("crc");
  } else if (strcmp(line, "copy") == 0) {
    copy(region, bytes);
  } else if (sscanf(line, "cache %255s", path) == 1) {
    cache(region, path);
  } else if (strcmp(line, "fork") == 0) {
    pid_t child = fork();
    if (child == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      for (;;) pause();
    }
    say("forked %d", child);
  } else if (strcmp(line, "move") == 0) {
    move(region, bytes);
  } else if (sscanf(line, "unmap %lli %lli", (long long *)&a, (long long *)&b) == 2) {
    if (munmap((uint8_t *)region + a, b) != 0) die("munmap");
    say("unmapped");
  } else if (sscanf(line, "protect %lli %lli", (long long *)&a, (long long *)&b) == 2) {
    if (mprotect((uint8_t *)region + a, b, PROT_NONE) != 0) die("mprotect");
    say("protected");
  } else {
    return 0;
  }
  return 1;
}
