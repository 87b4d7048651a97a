/*
 * The floor of the bus benchmarks, in C: an epoll echo server on SOCK_SEQPACKET, and the clients that measure
 * both it and vmsig with the same code.
 *
 *   bus_floor server PATH                     echoes each packet; a packet with the word 1 at byte 12 is
 *     fanned out to all other connections instead
 *   bus_floor pingpong PATH N [hello]         one at a time: prints "p50 p99" in us
 *   bus_floor pinger PATH SECONDS [hello]     the same on one connection, a round for each line "N" on
 *     stdin: prints "p50 p99 longest pings" in us; a round ends after SECONDS at the latest
 *   bus_floor door PATH                       accepts and closes, and does nothing else: what a flood of
 *     connects costs by itself
 *   bus_floor inflight PATH N DEPTH [hello]   DEPTH in flight: prints packets a second
 *   bus_floor fanout PATH N WATCHERS [hello]  one event to WATCHERS connections: prints the median us
 *     until the last one has it
 *   bus_floor deliver PATH N WATCHERS ENDPOINTS ENDPOINT hello   vmsig only: WATCHERS connections to
 *     each endpoint 0 … ENDPOINTS-1, each of which wants that endpoint alone; one event of
 *                                             ENDPOINT (-1: of each in turn) to its watchers: prints the
 *                                               median us until the last one has it, from the command
 *                                             and from the event's own stamp: the second one is the
 *                                               daemon's alone, without the VM's own time
 *   bus_floor hold PATH N ENDPOINTS hello     vmsig only: N connections, each of which wants all of one
 *     endpoint, in turn; says "held", and reads whatever comes until stdin ends
 *   bus_floor acquire PATH N                  vmsig only: CMD_ACQUIRE until LEASE_GRANTED (released in
 *     between, not measured): median us
 *
 * With "hello" the peer is vmsig: the client says HELLO first, and its packets are CMD_VM query frames, which
 * travel socket -> admission -> context -> adapter -> context -> socket. The frames are those of the
 * protocol, written by hand.
 */
#include "control.h"
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/stat.h>

#define MAX_CONNECTIONS 4096
#define MAX_PINGS 1000000

/* With `hello` the peer is vmsig. */
static int join(const char *path, int hello, uint8_t sources, uint64_t endpoints) {
  int fd = dial(path);
  if (hello) say_hello(fd, sources, endpoints);
  return fd;
}

static void server(const char *path) {
  struct sockaddr_un a = address(path);
  unlink(path);
  int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (listener < 0 || bind(listener, (struct sockaddr *)&a, sizeof a) < 0 || listen(listener, 1024) < 0) die("listen");
  int ep = epoll_create1(0);
  struct epoll_event e = {.events = EPOLLIN, .data.fd = listener}, events[256];
  epoll_ctl(ep, EPOLL_CTL_ADD, listener, &e);
  static int connections[MAX_CONNECTIONS];
  int count = 0;
  printf("ready\n");
  fflush(stdout);
  uint8_t buffer[PACKET];
  for (;;) {
    int n = epoll_wait(ep, events, 256, -1);
    for (int i = 0; i < n; i++) {
      int fd = events[i].data.fd;
      if (fd == listener) {
        int c = accept4(listener, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (c < 0 || count == MAX_CONNECTIONS) continue;
        e.events = EPOLLIN;
        e.data.fd = c;
        epoll_ctl(ep, EPOLL_CTL_ADD, c, &e);
        connections[count++] = c;
        continue;
      }
      ssize_t got = recv(fd, buffer, sizeof buffer, 0);
      if (got <= 0) {
        for (int k = 0; k < count; k++)
          if (connections[k] == fd) connections[k] = connections[--count];
        close(fd);
        continue;
      }
      uint32_t word;
      memcpy(&word, buffer + 12, 4);
      if (word != 1)
        send(fd, buffer, got, MSG_NOSIGNAL);
      else
        for (int k = 0; k < count; k++)
          if (connections[k] != fd) send(connections[k], buffer, got, MSG_NOSIGNAL);
    }
  }
}

/* Sends and receives one packet at a time, n times or until it has taken so many seconds; sorted, in us. */
static int ping(int fd, int n, double seconds, double *t) {
  uint8_t f[HEAD], r[PACKET];
  head(f, CMD_VM, 0, 7, 0, 0);
  double end = now_us() + seconds * 1e6;
  int i = 0;
  while (i < n) {
    double a = now_us();
    if (send(fd, f, HEAD, 0) != HEAD) die("send");
    if (recv(fd, r, sizeof r, 0) < HEAD) die("recv");
    double b = now_us();
    t[i++] = b - a;
    if (b > end) break;
  }
  qsort(t, i, sizeof *t, by_value);
  return i;
}

static void pingpong(const char *path, int n, int hello) {
  int fd = join(path, hello, 0, 0);
  double *t = malloc(sizeof *t * (n > 2000 ? n : 2000));
  ping(fd, 2000, 1e6, t);
  ping(fd, n, 1e6, t);
  printf("%.2f %.2f\n", t[n / 2], t[(int)(n * 0.99)]);
}

static void pinger(const char *path, double seconds, int hello) {
  int fd = join(path, hello, 0, 0);
  double *t = malloc(sizeof *t * MAX_PINGS);
  char line[64];
  printf("joined\n");
  fflush(stdout);
  while (fgets(line, sizeof line, stdin)) {
    int n = atoi(line);
    n = ping(fd, n < 1 ? 1 : n > MAX_PINGS ? MAX_PINGS : n, seconds, t);
    printf("%.2f %.2f %.2f %d\n", t[n / 2], t[(int)(n * 0.99)], t[n - 1], n);
    fflush(stdout);
  }
}

static void door(const char *path) {
  struct sockaddr_un a = address(path);
  unlink(path);
  int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (listener < 0 || bind(listener, (struct sockaddr *)&a, sizeof a) < 0 || listen(listener, 1024) < 0) die("listen");
  /* Whoever may knock at the daemon's door may knock at this one. */
  if (chmod(path, 0666) < 0) die("chmod");
  printf("ready\n");
  fflush(stdout);
  for (;;) {
    int c = accept4(listener, 0, 0, SOCK_CLOEXEC);
    if (c >= 0) close(c);
  }
}

static void inflight(const char *path, int n, int depth, int hello) {
  int fd = join(path, hello, 0, 0);
  uint8_t f[HEAD], r[PACKET];
  head(f, CMD_VM, 0, 7, 0, 0);
  double a = 0;
  int sent = 0;
  for (int i = 0; i < depth; i++, sent++) send(fd, f, HEAD, 0);
  for (int got = 0; got < n; got++) {
    if (got == n / 10) a = now_us();
    if (recv(fd, r, sizeof r, 0) < HEAD) die("recv");
    if (sent < n) {
      send(fd, f, HEAD, 0);
      sent++;
    }
  }
  printf("%.0f\n", (n - n / 10) / (now_us() - a) * 1e6);
}

/* With `endpoints` > 0 the watchers are those of each endpoint; with `endpoint` < 0 the events go round. */
static void fanout(const char *path, int n, int watchers, int endpoints, int endpoint, int hello) {
  int trigger = join(path, hello, 0, 0);
  int ep = epoll_create1(0);
  int groups = endpoints > 0 ? endpoints : 1;
  /* Source VMHOST alone. */
  for (int i = 0; i < watchers * groups; i++) {
    int fd = join(path, hello, 1 << 5, endpoints > 0 ? 1ull << (i % endpoints) : 0);
    struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
  }
  uint8_t f[HEAD], r[PACKET];
  double *t = malloc(sizeof *t * n), *since = malloc(sizeof *since * n);
  struct epoll_event events[1024];
  usleep(100000);
  /* Each VM is stopped and continued as often: the next run finds it running. */
  int turn = endpoint < 0 ? groups : 1, warm = turn > 1 ? 2 * turn : 50;
  n -= n % (2 * turn);
  for (int i = -warm; i < n; i++) {
    /* vmsig: stop and cont in turn; the C server: a packet that is fanned out. */
    int round = i + warm;
    uint32_t on = (uint32_t)(endpoint < 0 ? round % groups : endpoint);
    head(f, CMD_VM, hello ? on : 1, 7, hello ? (round / turn & 1 ? 1 : 2) : 0, 0);
    double a = now_us(), stamped = a;
    if (send(trigger, f, HEAD, 0) != HEAD) die("send");
    for (int got = 0; got < watchers;) {
      int k = epoll_wait(ep, events, 1024, 5000);
      if (k <= 0) {
        fprintf(stderr, "a watcher got nothing\n");
        exit(1);
      }
      for (int j = 0; j < k; j++)
        while (recv(events[j].data.fd, r, sizeof r, MSG_DONTWAIT) >= HEAD) got++;
    }
    double b = now_us();
    if (hello) {
      uint64_t ns;
      memcpy(&ns, r + 32, 8);
      stamped = (double)ns / 1e3;
    }
    if (i >= 0) {
      t[i] = b - a;
      since[i] = b - stamped;
    }
    if (hello && recv(trigger, r, sizeof r, 0) < HEAD) die("ack");
  }
  qsort(t, n, sizeof *t, by_value);
  qsort(since, n, sizeof *since, by_value);
  if (endpoints > 0) printf("%.2f %.2f\n", t[n / 2], since[n / 2]);
  else printf("%.2f\n", t[n / 2]);
}

/* Controls that stand by and keep up. */
static void hold(const char *path, int n, int endpoints) {
  int ep = epoll_create1(0);
  struct epoll_event e = {.events = EPOLLIN, .data.fd = STDIN_FILENO}, events[256];
  /* A control's own end ends us: nobody is to be missing without notice. */
  epoll_ctl(ep, EPOLL_CTL_ADD, STDIN_FILENO, &e);
  for (int i = 0; i < n; i++) {
    e.data.fd = join(path, 1, 0x7f, 1ull << (i % endpoints));
    epoll_ctl(ep, EPOLL_CTL_ADD, e.data.fd, &e);
  }
  printf("held\n");
  fflush(stdout);
  uint8_t r[PACKET];
  for (;;) {
    int k = epoll_wait(ep, events, 256, -1);
    for (int j = 0; j < k; j++) {
      int fd = events[j].data.fd;
      if (fd == STDIN_FILENO) return;
      ssize_t got = recv(fd, r, sizeof r, MSG_DONTWAIT);
      if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) die("a control is gone");
    }
  }
}

static void acquire(const char *path, int n) {
  int fd = join(path, 1, 0, 0);
  uint8_t f[HEAD], r[PACKET];
  double *t = malloc(sizeof *t * n);
  for (int i = -500; i < n; i++) {
    head(f, CMD_ACQUIRE, 0, 7, CLASS_POWER, 0);
    double a = now_us();
    send(fd, f, HEAD, 0);
    if (recv(fd, r, sizeof r, 0) < HEAD || get16(r + 4) != LEASE_GRANTED) die("no LEASE_GRANTED");
    if (i >= 0) t[i] = now_us() - a;
    head(f, CMD_RELEASE, 0, 8, CLASS_POWER, 0);
    send(fd, f, HEAD, 0);
    if (recv(fd, r, sizeof r, 0) < HEAD || get16(r + 4) != LEASE_RELEASED) die("no LEASE_RELEASED");
  }
  qsort(t, n, sizeof *t, by_value);
  printf("%.2f\n", t[n / 2]);
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  const char *what = argv[1], *path = argv[2];
  int hello = argc > 3 && !strcmp(argv[argc - 1], "hello");
  if (!strcmp(what, "server")) server(path);
  if (!strcmp(what, "door")) door(path);
  if (argc < 4) return 2;
  int n = atoi(argv[3]);
  if (!strcmp(what, "pingpong")) pingpong(path, n, hello);
  else if (!strcmp(what, "pinger")) pinger(path, n, hello);
  else if (!strcmp(what, "inflight") && argc > 4) inflight(path, n, atoi(argv[4]), hello);
  else if (!strcmp(what, "fanout") && argc > 4) fanout(path, n, atoi(argv[4]), 0, 0, hello);
  else if (!strcmp(what, "deliver") && argc > 6) fanout(path, n, atoi(argv[4]), atoi(argv[5]), atoi(argv[6]), 1);
  else if (!strcmp(what, "hold") && argc > 5) hold(path, n, atoi(argv[4]));
  else if (!strcmp(what, "acquire")) acquire(path, n);
  else return 2;
  return 0;
}
