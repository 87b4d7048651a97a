/*
 * A VM's end of a console without the VM, for console_stream_bench.ts: a socket that serves any number of
 * clients, each by a process of its own. What comes is sent back, except for a byte 1 and four bytes of a
 * number N (little endian): then N bytes are sent, byte i being (i % 65521) * 167 >> 3, as far as a byte
 * holds it. It waits for its reader, as a serial port does, so that nothing is lost.
 *
 *   console_server PATH
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PIECE 65521

static unsigned char pattern[PIECE], bytes[4096];

static int send_all(int to, const unsigned char *from, size_t length) {
  while (length > 0) {
    ssize_t n = send(to, from, length, MSG_NOSIGNAL);
    if (n <= 0) return 0;
    from += n;
    length -= (size_t)n;
  }
  return 1;
}

static int flood(int to, unsigned count) {
  while (count > 0) {
    unsigned length = count < PIECE ? count : PIECE;
    if (!send_all(to, pattern, length)) return 0;
    count -= length;
  }
  return 1;
}

static void serve(int client) {
  unsigned count = 0, digits = 0;
  for (ssize_t n; (n = read(client, bytes, sizeof bytes)) > 0;) {
    size_t echoed = 0;
    unsigned wanted = 0;
    for (ssize_t i = 0; i < n; i++) {
      if (digits == 0 && bytes[i] != 1) bytes[echoed++] = bytes[i];
      else if (digits == 0) digits = 4;
      else {
        count = count >> 8 | (unsigned)bytes[i] << 24;
        if (--digits == 0) wanted = count;
      }
    }
    if (!send_all(client, bytes, echoed) || !flood(client, wanted)) return;
  }
}

int main(int argc, char **argv) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (argc != 2 || strlen(argv[1]) >= sizeof address.sun_path) {
    fprintf(stderr, "usage: console_server PATH\n");
    return 2;
  }
  strcpy(address.sun_path, argv[1]);
  for (unsigned i = 0; i < PIECE; i++) pattern[i] = (unsigned char)(i * 167 >> 3);
  int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (server < 0 || bind(server, (struct sockaddr *)&address, sizeof address) < 0 || listen(server, 8) < 0) {
    perror(argv[1]);
    return 1;
  }
  signal(SIGCHLD, SIG_IGN);
  puts("0");
  fflush(stdout);
  for (;;) {
    int client = accept4(server, NULL, NULL, SOCK_CLOEXEC);
    if (client < 0) continue;
    if (fork() == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      serve(client);
      return 0;
    }
    close(client);
  }
}
