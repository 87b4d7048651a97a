/*
 * A control's socket as another user has it: connects to PATH (SOCK_SEQPACKET), sends each line of
 * hexadecimal digits from stdin as one packet, and prints each packet that comes as such a line; "closed"
 * when the peer has closed. Started through setpriv; it knows no protocol.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static uint8_t packet[70000];
static char line[140010];

static int digit(char c) { return c <= '9' ? c - '0' : c - 'a' + 10; }

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  struct sockaddr_un a = {.sun_family = AF_UNIX};
  strncpy(a.sun_path, argv[1], sizeof a.sun_path - 1);
  int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
  if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) < 0) {
    printf("connect %s\n", strerrorname_np(errno));
    return 0;
  }
  printf("connected\n");
  fflush(stdout);
  setvbuf(stdin, NULL, _IONBF, 0);
  struct pollfd p[2] = {{.fd = 0, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
  for (;;) {
    if (poll(p, 2, -1) < 0) return 1;
    if (p[1].revents) {
      ssize_t n = recv(fd, packet, sizeof packet, 0);
      if (n <= 0) {
        printf("closed\n");
        return 0;
      }
      for (ssize_t i = 0; i < n; i++) printf("%02x", packet[i]);
      printf("\n");
      fflush(stdout);
    }
    if (p[0].revents) {
      if (!fgets(line, sizeof line, stdin)) return 0;
      size_t n = strcspn(line, "\n") / 2;
      for (size_t i = 0; i < n; i++) packet[i] = (uint8_t)(digit(line[2 * i]) << 4 | digit(line[2 * i + 1]));
      if (send(fd, packet, n, MSG_NOSIGNAL) < 0) {
        if (errno != EPIPE) {
          printf("send %s\n", strerrorname_np(errno));
          return 0;
        }
        /* Turned away as it connected: what it was told is still there to be read. */
        p[0].fd = -1;
      }
    }
  }
}
