/*
 * A control that was let in and hands over descriptors that are not what it says: pipes, sockets (its own
 * connection too), folders, unsealed and half-sealed memfds, more than a frame may carry, fewer than it
 * claims, with kinds that carry none. Behind each frame it asks something and waits for the answer, so that
 * the daemon has dealt with it; after a breach it joins again, and what it hands over last is its own
 * connection. None of what it sends is a frame ring that may be published: a daemon keeps none of it.
 *
 *   fd_flood PATH WORKERS COUNT SECONDS SEED      COUNT descriptors in all
 *
 * Of the totals "sent" are descriptors, "answered" frames that came back, "closed" connections that the
 * daemon ended, "late" sends that could not be made, "refused" connects or HELLOs that were turned away.
 */
#include "attack.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>

#define MOST 253
/* Frames of one connection at most. */
#define ENOUGH 64
enum { FRAME_RING = 83, SOURCE_FRAME = 1, ASKED = 4711 };

static const char *path;
/* Mostly those that a control may publish: the others are a breach, however many descriptors they bring. */
static const uint16_t KINDS[] = {FRAME_RING, FRAME_RING, FRAME_RING, FRAME_RING, FRAME_RING, FRAME_RING, FRAME_RING, FRAME_RING,
                                 37, 37, 81, 81, 82, 82, 77, 80, 48, 3, 84, CMD_VM, CMD_INPUT, 79, HELLO, 99};

/* A descriptor of one of the sorts; `own` stands for the connection itself. */
static int made(uint64_t *random, int own) {
  int pair[2];
  switch (below(random, 12)) {
    case 0: return dup(own);
    case 1:
      if (pipe2(pair, O_CLOEXEC) < 0) die("pipe");
      close(pair[1]);
      return pair[0];
    case 2:
      if (pipe2(pair, O_CLOEXEC) < 0) die("pipe");
      close(pair[0]);
      return pair[1];
    case 3:
      if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) die("socketpair");
      close(pair[1]);
      return pair[0];
    case 4: return open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    case 5: return open("/dev/null", O_RDWR | O_CLOEXEC);
    case 6: return open("/dev/zero", O_PATH | O_CLOEXEC);
    case 7: return eventfd(1, EFD_CLOEXEC);
    case 8: return epoll_create1(EPOLL_CLOEXEC);
    case 9: {
      int fd = memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
      if (fd >= 0 && ftruncate(fd, 65536) < 0) die("ftruncate");
      return fd;
    }
    case 10: {
      /* Sealed, but it may still grow and be written to. */
      int fd = memfd_create("half", MFD_CLOEXEC | MFD_ALLOW_SEALING);
      if (fd >= 0 && (ftruncate(fd, 65536) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0)) die("seal");
      return fd;
    }
    default: {
      int fd = memfd_create("empty", MFD_CLOEXEC);
      return fd;
    }
  }
}

static int join(void) {
  int fd = knock(path, SOCK_SEQPACKET);
  if (fd < 0) return fd;
  /* {proto: 1, name: "ring"} */
  static const uint8_t body[] = {0xa2, 0x65, 'p', 'r', 'o', 't', 'o', 1, 0x64, 'n', 'a', 'm', 'e', 0x64, 'r', 'i', 'n', 'g'};
  static uint8_t f[PACKET];
  head(f, HELLO, 0, 0, 0, 0);
  f[9] = 2;
  put32(f + 24, sizeof body);
  memcpy(f + HEAD, body, sizeof body);
  ssize_t n = send(fd, f, HEAD + sizeof body, MSG_NOSIGNAL);
  if (n > 0) n = recv(fd, f, sizeof f, 0);
  if (n >= HEAD && get16(f + 4) == WELCOME) return fd;
  close(fd);
  atomic_fetch_add(&totals->refused, 1);
  usleep(2000);
  return -1;
}

/* Sends one frame with descriptors; how many went, -1 when the other side has gone, 0 when it could not be
 * sent. As `last` it is a ring in order that is its own connection. */
static int hand_over(int fd, uint64_t *random, bool last) {
  static uint8_t f[HEAD + 4096];
  int fds[MOST];
  uint32_t manner = below(random, 16);
  int count = last ? 1 : manner == 0 ? 9 + (int)below(random, MOST - 8) : manner < 11 ? 1 : 1 + (int)below(random, 8);
  for (int i = 0; i < count; i++) {
    fds[i] = last ? dup(fd) : made(random, fd);
    if (fds[i] < 0) die("a descriptor");
  }
  uint16_t kind = last ? FRAME_RING : KINDS[below(random, sizeof KINDS / sizeof *KINDS)];
  head(f, kind, !last && below(random, 8) == 0 ? 77 : below(random, 2), 0, 65536, 0);
  f[6] = SOURCE_FRAME;
  f[7] = kind >= 64 && kind < 80 && kind != 77 ? 1 : 0;
  f[8] = 2;
  put32(f + 56, 2);
  put32(f + 60, 4096);
  uint32_t body = !last && below(random, 8) == 0 ? below(random, 4096) : 0;
  f[9] = body > 0 ? 1 : 0;
  put32(f + 24, body);
  /* Mostly what is there, sometimes more or fewer. */
  put16(f + 10, (uint16_t)(!last && below(random, 10) == 0 ? below(random, 12) : (uint32_t)count));
  static union {
    struct cmsghdr align;
    uint8_t bytes[CMSG_SPACE(sizeof(int) * MOST)];
  } control;
  memset(&control, 0, sizeof control);
  struct iovec part = {f, HEAD + body};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)count)};
  struct cmsghdr *c = CMSG_FIRSTHDR(&message);
  c->cmsg_level = SOL_SOCKET;
  c->cmsg_type = SCM_RIGHTS;
  c->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)count);
  memcpy(CMSG_DATA(c), fds, sizeof(int) * (size_t)count);
  ssize_t n = sendmsg(fd, &message, MSG_NOSIGNAL);
  int why = errno;
  for (int i = 0; i < count; i++) close(fds[i]);
  if (n >= 0) return count;
  /* Too many in flight (ETOOMANYREFS), or a socket that is full: it is tried again. */
  if (why == EAGAIN || why == ETOOMANYREFS || why == EINTR || why == ENOBUFS) {
    atomic_fetch_add(&totals->late, 1);
    usleep(1000);
    return 0;
  }
  return -1;
}

/* Asks for a VM's state and waits for the answer; false when the other side has ended the connection
 * instead. */
static bool in_step(int fd) {
  static uint8_t f[PACKET];
  head(f, CMD_VM, 0, ASKED, 0, 0);
  ssize_t n = send(fd, f, HEAD, MSG_NOSIGNAL);
  for (int frames = 0; n > 0 && frames < 100000; frames++) {
    n = recv(fd, f, sizeof f, 0);
    if (n >= HEAD) atomic_fetch_add(&totals->answered, 1);
    if (n >= HEAD && get32(f + 20) == ASKED) return true;
    if (n < 0 && errno == EAGAIN) atomic_fetch_add(&totals->late, 1);
  }
  return false;
}

static void work(int worker, uint64_t random) {
  (void)worker;
  while (!over() && atomic_load(&totals->taken) < wanted) {
    int fd = join();
    if (fd == -2) return;
    if (fd < 0) continue;
    bool open = true;
    for (int frames = 0; open && frames < ENOUGH && !over(); frames++) {
      bool last = frames == ENOUGH - 1 || atomic_load(&totals->taken) >= wanted;
      int went = hand_over(fd, &random, last);
      if (went > 0) {
        atomic_fetch_add(&totals->taken, went);
        atomic_fetch_add(&totals->sent, went);
      }
      open = went >= 0 && in_step(fd);
      if (!open) atomic_fetch_add(&totals->closed, 1);
      if (last) break;
    }
    close(fd);
  }
}

int main(int argc, char **argv) {
  if (argc != 6) return 2;
  path = argv[1];
  return run_workers(atoi(argv[2]), atol(argv[3]), atof(argv[4]), strtoull(argv[5], 0, 10), work);
}
