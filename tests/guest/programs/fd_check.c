/*
 * fd_check: runs on the host, not in a guest. Takes one descriptor over the unix socket PATH (SEQPACKET),
 * becomes the user UID, and tells what that user can do with it, one line each, "NAME ok" or "NAME ERRNO":
 *
 *   fd_check PATH UID
 *
 *   map-read, map-write, write (pwrite), reopen-write (open O_RDWR of /proc/self/fd/N), reopen-truncate,
 *     truncate,
 *   chmod (fchmod 0777), dup-write (F_SETFL cannot add rights: pwrite through a duplicate)
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static void tell(const char *name, int failed) {
  if (failed) printf("%s %s\n", name, strerrorname_np(errno));
  else printf("%s ok\n", name);
}

static int receive(const char *path) {
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
  int sock = socket(AF_UNIX, SOCK_SEQPACKET, 0);
  if (sock < 0 || connect(sock, (struct sockaddr *)&address, sizeof address) < 0) return -1;
  char byte, control[CMSG_SPACE(sizeof(int))];
  struct iovec part = { &byte, 1 };
  struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
  if (recvmsg(sock, &message, 0) < 1) return -1;
  struct cmsghdr *head = CMSG_FIRSTHDR(&message);
  if (head == NULL || head->cmsg_type != SCM_RIGHTS) return -1;
  int fd;
  memcpy(&fd, CMSG_DATA(head), sizeof fd);
  return fd;
}

int main(int count, char **words) {
  if (count != 3) return 2;
  int fd = receive(words[1]);
  if (fd < 0) { perror("fd_check"); return 1; }
  uid_t uid = (uid_t)atoi(words[2]);
  if (uid != getuid() && (setgroups(0, NULL) < 0 || setgid(uid) < 0 || setuid(uid) < 0)) { perror("setuid"); return 1; }
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  tell("map-read", mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED);
  tell("map-write", mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
  tell("write", pwrite(fd, "x", 1, 0) < 0);
  tell("reopen-write", open(path, O_RDWR) < 0);
  tell("reopen-truncate", open(path, O_WRONLY | O_TRUNC) < 0);
  tell("truncate", ftruncate(fd, 4096) < 0);
  int twin = dup(fd);
  fcntl(twin, F_SETFL, O_RDWR);
  tell("dup-write", pwrite(twin, "x", 1, 0) < 0);
  tell("chmod", fchmod(fd, 0777) < 0);
  return 0;
}
