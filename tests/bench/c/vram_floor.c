/*
 * The floor of display.vram_answers, in C: as many bytes of a process's memory as a picture has, as often, in
 * one read, compared with the bytes before, without a word to the scheduler. Says "ready" after the first.
 *
 *   vram_floor PID ADDRESS BYTES PER_SECOND
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
  if (argc != 5) {
    fprintf(stderr, "usage: vram_floor PID ADDRESS BYTES PER_SECOND\n");
    return 2;
  }
  char path[64];
  snprintf(path, sizeof path, "/proc/%s/mem", argv[1]);
  off_t at = (off_t)strtoull(argv[2], NULL, 10);
  size_t bytes = strtoull(argv[3], NULL, 10);
  long gap = 1000000000L / strtol(argv[4], NULL, 10);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  char *picture = calloc(1, bytes), *next = malloc(bytes);
  if (fd < 0 || picture == NULL || next == NULL) {
    perror(path);
    return 1;
  }
  struct timespec due;
  clock_gettime(CLOCK_MONOTONIC, &due);
  for (int first = 1;; first = 0) {
    for (size_t done = 0; done < bytes;) {
      ssize_t n = pread(fd, next + done, bytes - done, at + (off_t)done);
      if (n <= 0) {
        perror("pread");
        return 1;
      }
      done += (size_t)n;
    }
    if (memcmp(picture, next, bytes) != 0) memcpy(picture, next, bytes);
    if (first) {
      puts("ready");
      fflush(stdout);
    }
    due.tv_nsec += gap;
    if (due.tv_nsec >= 1000000000L) {
      due.tv_sec++;
      due.tv_nsec -= 1000000000L;
    }
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
  }
}
