/*
 * ttylines: random lines on a terminal, page by page.
 *
 *   ttylines DEVICE
 *
 * Obeys lines: "page SEED LINES COLUMNS" clears the screen and prints so many lines from a generator that the
 * test has too; "put TEXT" writes TEXT, where \e is an escape; "blank" and "unblank" the screen (a console),
 * "front N" brings console N to the front. Answers "done" when the terminal has taken it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/tiocl.h>
#include <linux/vt.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static uint32_t state;

static uint32_t below(uint32_t n) {
  state ^= state << 13;
  state ^= state >> 17;
  state ^= state << 5;
  return (uint32_t)(((uint64_t)state * n) >> 32);
}

static void all(int fd, const char *bytes, size_t length) {
  while (length > 0) {
    ssize_t n = write(fd, bytes, length);
    if (n < 0) { printf("error write: %s\n", strerror(errno)); exit(1); }
    bytes += n;
    length -= (size_t)n;
  }
}

int main(int argc, char **argv) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  int fd = argc > 1 ? open(argv[1], O_RDWR | O_NOCTTY) : -1;
  if (fd < 0) { printf("error open: %s\n", strerror(errno)); return 1; }
  struct winsize size = { 0 };
  ioctl(fd, TIOCGWINSZ, &size);
  printf("ready %d %d\n", size.ws_col, size.ws_row);
  char line[4096];
  while (fgets(line, sizeof line, stdin) != NULL) {
    line[strcspn(line, "\n")] = 0;
    unsigned seed, lines, columns, number;
    if (sscanf(line, "page %u %u %u", &seed, &lines, &columns) == 3) {
      state = seed;
      all(fd, "\033[H\033[2J", 7);
      for (unsigned i = 0; i < lines; i++) {
        char text[1024];
        unsigned length = below(columns < 1000 ? columns : 1000);
        for (unsigned k = 0; k < length; k++) text[k] = (char)(32 + below(95));
        text[length++] = '\n';
        all(fd, text, length);
      }
    } else if (strncmp(line, "put ", 4) == 0) {
      char text[4096];
      size_t n = 0;
      for (const char *p = line + 4; *p != 0; p++) {
        if (p[0] == '\\' && p[1] == 'e') { text[n++] = 27; p++; } else text[n++] = *p;
      }
      all(fd, text, n);
    } else if (strcmp(line, "blank") == 0 || strcmp(line, "unblank") == 0) {
      char what = line[0] == 'b' ? TIOCL_BLANKSCREEN : TIOCL_UNBLANKSCREEN;
      if (ioctl(fd, TIOCLINUX, &what) < 0) printf("error %s: %s\n", line, strerror(errno));
    } else if (sscanf(line, "front %u", &number) == 1) {
      if (ioctl(fd, VT_ACTIVATE, number) < 0 || ioctl(fd, VT_WAITACTIVE, number) < 0)
        printf("error front: %s\n", strerror(errno));
    }
    tcdrain(fd);
    puts("done");
  }
  return 0;
}
