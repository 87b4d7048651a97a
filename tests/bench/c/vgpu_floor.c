/*
 * The floor of reading a vgpu region: one copy of SIZE bytes out of a mapping, and one seqlock-guarded read
 * of a cursor.
 *
 *   vgpu_floor PATH OFFSET SIZE ROUNDS
 *
 * maps PATH (a guest's RAM) read-only and prints "GB_PER_S CURSOR_NS": the median copy from OFFSET, and the
 * median of reading five words under a sequence word there.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

enum { READS = 100000, MAX_ROUNDS = 64 };

static double now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static uint32_t read_cursor(_Atomic uint32_t *words) {
  for (;;) {
    uint32_t seq = atomic_load_explicit(&words[0], memory_order_acquire), sum = 0;
    for (int i = 1; i < 6; i++) sum += atomic_load_explicit(&words[i], memory_order_relaxed);
    atomic_thread_fence(memory_order_acquire);
    /* What is there is no sequence word: any value that stands still will do. */
    if (atomic_load_explicit(&words[0], memory_order_relaxed) == seq) return sum;
  }
}

int main(int argc, char **argv) {
  struct stat st;
  double copies[MAX_ROUNDS], cursors[MAX_ROUNDS];
  if (argc != 5) return 2;
  size_t offset = strtoull(argv[2], NULL, 0), size = strtoull(argv[3], NULL, 0);
  int rounds = atoi(argv[4]);
  int fd = open(argv[1], O_RDONLY | O_CLOEXEC);
  if (fd < 0 || fstat(fd, &st) != 0 || rounds < 1 || rounds > MAX_ROUNDS || (size_t)st.st_size < offset + size) return 1;
  uint8_t *ram = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
  uint8_t *into = malloc(size);
  if (ram == MAP_FAILED || into == NULL) return 1;
  uint32_t sum = 0;
  memcpy(into, ram + offset, size);
  for (int i = 0; i < rounds; i++) {
    double start = now_ns();
    memcpy(into, ram + offset, size);
    copies[i] = (double)size / (now_ns() - start);
    start = now_ns();
    for (int n = 0; n < READS; n++) sum += read_cursor((_Atomic uint32_t *)(ram + offset));
    cursors[i] = (now_ns() - start) / READS;
  }
  qsort(copies, (size_t)rounds, sizeof *copies, by_value);
  qsort(cursors, (size_t)rounds, sizeof *cursors, by_value);
  fprintf(stderr, "%u\n", sum + into[size / 2]);
  printf("%.4f %.4f\n", copies[rounds / 2], cursors[rounds / 2]);
  return 0;
}
