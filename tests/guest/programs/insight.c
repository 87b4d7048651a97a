// What a guest knows of itself, for mem_insight.test.ts:
//   insight log                   the kernel's log with levels, as dmesg -r reads it
//   insight links PID             a line "FD TARGET" for each descriptor of a process
//   insight sockets               opens sockets, says "ready PORT4 PORT6 PID", waits for its input's end
//   insight odd WORD…             has a name that is no text, many files, one of them deleted, sockets of the
//                                 families that the kernel has; says "ready FAMILY…", waits likewise
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int show_log(void) {
  int size = klogctl(10, NULL, 0);
  char *text = malloc(size > 0 ? size : 1);
  int have = klogctl(3, text, size);
  if (have < 0) return 1;
  return fwrite(text, 1, have, stdout) == (size_t)have ? 0 : 1;
}

static int show_links(const char *pid) {
  char folder[64], path[384], target[4096];
  snprintf(folder, sizeof folder, "/proc/%.20s/fd", pid);
  DIR *dir = opendir(folder);
  if (dir == NULL) return 1;
  for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
    if (entry->d_name[0] == '.') continue;
    snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
    ssize_t n = readlink(path, target, sizeof target);
    if (n >= 0) printf("%s %.*s\n", entry->d_name, (int)n, target);
  }
  closedir(dir);
  return 0;
}

static int port_of(int fd) {
  struct sockaddr_in6 name;
  socklen_t size = sizeof name;
  getsockname(fd, (struct sockaddr *)&name, &size);
  return ntohs(name.sin6_port); // at the same place in both families
}

static int open_sockets(void) {
  struct ifreq lo = {.ifr_name = "lo"};
  int tcp4 = socket(AF_INET, SOCK_STREAM, 0);
  ioctl(tcp4, SIOCGIFFLAGS, &lo);
  lo.ifr_flags |= IFF_UP;
  ioctl(tcp4, SIOCSIFFLAGS, &lo);
  struct sockaddr_in a4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct sockaddr_in6 a6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_ANY_INIT};
  struct sockaddr_un au = {.sun_family = AF_UNIX, .sun_path = "/tmp-insight"};
  if (bind(tcp4, (struct sockaddr *)&a4, sizeof a4) != 0 || listen(tcp4, 1) != 0) return 2;
  a4.sin_port = htons(port_of(tcp4));
  int peer = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(peer, (struct sockaddr *)&a4, sizeof a4) != 0) return 3;
  int tcp6 = socket(AF_INET6, SOCK_STREAM, 0);
  int has6 = tcp6 >= 0 && bind(tcp6, (struct sockaddr *)&a6, sizeof a6) == 0 && listen(tcp6, 1) == 0;
  int udp4 = socket(AF_INET, SOCK_DGRAM, 0);
  if (bind(udp4, (struct sockaddr *)&a4, sizeof a4) != 0) return 4;
  int local = socket(AF_UNIX, SOCK_STREAM, 0);
  if (bind(local, (struct sockaddr *)&au, sizeof au) != 0 || listen(local, 1) != 0) return 5;
  printf("ready %d %d %d\n", ntohs(a4.sin_port), has6 ? port_of(tcp6) : 0, (int)getpid());
  fflush(stdout);
  char byte;
  while (read(0, &byte, 1) > 0) continue;
  unlink(au.sun_path);
  return 0;
}

static int be_odd(void) {
  static const int families[] = {AF_NETLINK, AF_PACKET, AF_UNIX, AF_INET, AF_INET6};
  prctl(PR_SET_NAME, "\xff\xfe) S 1 \n(", 0, 0, 0);
  for (int i = 0; i < 300; i++) {
    if (open("/dev/null", i & 1 ? O_RDWR : O_RDONLY | O_CLOEXEC) < 0) return 2;
  }
  if (open("/odd \xff\n", O_RDWR | O_CREAT | O_TRUNC, 0600) < 0 || unlink("/odd \xff\n") != 0) return 3;
  int ends[2];
  if (pipe(ends) != 0 || eventfd(0, 0) < 0) return 4;
  printf("ready");
  for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
    if (socket(families[i], families[i] == AF_PACKET ? SOCK_RAW : SOCK_DGRAM, 0) >= 0) printf(" %d", families[i]);
  }
  printf("\n");
  fflush(stdout);
  char byte;
  while (read(0, &byte, 1) > 0) continue;
  return 0;
}

int main(int argc, char **argv) {
  if (argc >= 2 && strcmp(argv[1], "odd") == 0) return be_odd();
  if (argc == 2 && strcmp(argv[1], "log") == 0) return show_log();
  if (argc == 3 && strcmp(argv[1], "links") == 0) return show_links(argv[2]);
  if (argc == 2 && strcmp(argv[1], "sockets") == 0) return open_sockets();
  return 64;
}
