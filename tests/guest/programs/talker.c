/*
 * Talks on a serial port or virtio console, for tests of consoles:
 *   talker DEVICE login       asks for a name and greets it, again and again, like a getty
 *   talker DEVICE flood N     writes N lines of 64 bytes, numbered, as fast as the device takes them
 * Says "ready" on its standard output when the device is open, "done" when it has written all.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static void all(int fd, const char *bytes, size_t length) {
  while (length > 0) {
    ssize_t n = write(fd, bytes, length);
    if (n <= 0) exit(3);
    bytes += n;
    length -= (size_t)n;
  }
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  int fd = open(argv[1], O_RDWR | O_NOCTTY);
  if (fd < 0) {
    perror(argv[1]);
    return 1;
  }
  struct termios tty;
  if (tcgetattr(fd, &tty) == 0) {
    cfmakeraw(&tty);
    tcsetattr(fd, TCSANOW, &tty);
  }
  puts("ready");
  fflush(stdout);
  if (strcmp(argv[2], "flood") == 0) {
    long lines = atol(argc > 3 ? argv[3] : "1");
    char line[96];
    for (long i = 0; i < lines; i++) {
      snprintf(line, sizeof line, "%010ld %-52.52s\n", i % 10000000000, "the quick brown fox jumps over the lazy dog");
      all(fd, line, 64);
    }
    tcdrain(fd);
    puts("done");
    fflush(stdout);
    pause();
    return 0;
  }
  char name[256];
  for (;;) {
    size_t length = 0;
    all(fd, "login: ", 7);
    for (;;) {
      char c;
      if (read(fd, &c, 1) != 1) return 3;
      if (c == '\r' || c == '\n') break;
      all(fd, &c, 1);
      if (length < sizeof name - 1) name[length++] = c;
    }
    name[length] = 0;
    all(fd, "\r\nhello ", 8);
    all(fd, name, length);
    all(fd, "\r\n", 2);
  }
}
