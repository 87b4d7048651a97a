/*
 * What the attackers have in common: workers that are forked and die with their parent, a count that they
 * share, an end by count, by time or by SIGTERM, a seeded generator, and one line of totals on stdout: "sent
 * answered closed late refused seconds". They speak only to the socket that they are given, and each of their
 * loops is bounded.
 */
#pragma once
#include "../bench/c/control.h"
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* How long the other side may leave one peer without an answer or an end, s: above the daemon's own 5 s
 * for a HELLO. */
#define PATIENCE_S 12
/* So many refused connects in a row mean that nobody listens any more. */
#define NOBODY 200

struct totals {
  /* Attacks begun; one is taken before it is made, so that the workers together make as many as they are
   * told. */
  atomic_long taken;
  /* Attacks carried through, whatever became of them. */
  atomic_long sent;
  /* Those that were answered with at least one frame or line before the end. */
  atomic_long answered;
  /* Those that the other side ended without a word. */
  atomic_long closed;
  /* Those that got neither an answer nor an end within PATIENCE_S. */
  atomic_long late;
  /* Connects that nobody took. */
  atomic_long refused;
  atomic_bool stop;
};

static struct totals *totals;
static long wanted;
static double deadline_us;

static inline void on_stop(int signal) {
  (void)signal;
  atomic_store(&totals->stop, true);
}

static inline bool over(void) {
  return atomic_load(&totals->stop) || now_us() >= deadline_us;
}

/* Takes the next attack, or says that there is none left. */
static inline bool next_attack(void) {
  if (over()) return false;
  return atomic_fetch_add(&totals->taken, 1) < wanted || wanted == 0;
}

static inline uint64_t next_random(uint64_t *state) {
  /* splitmix64 */
  uint64_t z = (*state += 0x9e3779b97f4a7c15ull);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}

static inline uint32_t below(uint64_t *state, uint32_t limit) { return (uint32_t)(next_random(state) % limit); }

static inline void set_patience(int fd) {
  struct timeval t = {.tv_sec = PATIENCE_S};
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
}

/* Connects; -1 when nobody took it in time, -2 when nobody listens any more. */
static inline int knock(const char *path, int type) {
  static _Thread_local int in_a_row;
  struct sockaddr_un a = address(path);
  int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
  if (fd < 0) die("socket");
  set_patience(fd);
  if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0) {
    in_a_row = 0;
    return fd;
  }
  int why = errno;
  close(fd);
  if (why == EAGAIN || why == EINTR) {
    if (why == EAGAIN) atomic_fetch_add(&totals->late, 1);
    return -1;
  }
  atomic_fetch_add(&totals->refused, 1);
  usleep(5000);
  return ++in_a_row >= NOBODY ? -2 : -1;
}

/* Reads until the other side ends the connection, and counts what became of it. */
static inline void take_verdict(int fd, uint8_t *buffer, size_t size) {
  bool answered = false;
  for (int frames = 0; frames < 4096; frames++) {
    ssize_t n = recv(fd, buffer, size, 0);
    if (n > 0) {
      answered = true;
      /* Let in: there is no end to wait for. */
      if (n >= HEAD && get16(buffer + 4) == WELCOME) break;
      continue;
    }
    if (n < 0 && errno == EINTR && !over()) continue;
    if (n < 0 && errno == EAGAIN) {
      atomic_fetch_add(&totals->late, 1);
      return;
    }
    break;
  }
  atomic_fetch_add(answered ? &totals->answered : &totals->closed, 1);
}

/* Runs `work` in `workers` processes until they are done, and prints the totals. */
static inline int run_workers(int workers, long count, double seconds, uint64_t seed, void (*work)(int worker, uint64_t seed)) {
  struct rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max < 65536 ? files.rlim_max : 65536;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  totals = mmap(0, sizeof *totals, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (totals == MAP_FAILED) die("mmap");
  wanted = count;
  double started = now_us();
  deadline_us = started + seconds * 1e6;
  signal(SIGPIPE, SIG_IGN);
  struct sigaction end = {.sa_handler = on_stop};
  sigaction(SIGTERM, &end, 0);
  sigaction(SIGINT, &end, 0);
  pid_t parent = getpid(), children[256];
  if (workers > 256) workers = 256;
  for (int i = 0; i < workers; i++) {
    children[i] = fork();
    if (children[i] < 0) die("fork");
    if (children[i] == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (getppid() != parent) _exit(1);
      work(i, seed + (uint64_t)i * 0x1000193);
      _exit(0);
    }
  }
  printf("attacking\n");
  fflush(stdout);
  int failed = 0, left = workers;
  while (left > 0) {
    int status;
    pid_t ended = wait(&status);
    if (ended < 0 && errno == EINTR) {
      /* Told to stop: those who wait in a call are told, too. */
      for (int i = 0; i < workers; i++)
        if (children[i] > 0) kill(children[i], SIGTERM);
      continue;
    }
    if (ended < 0) die("wait");
    for (int i = 0; i < workers; i++)
      if (children[i] == ended) children[i] = 0;
    left--;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) failed++;
  }
  printf("%ld %ld %ld %ld %ld %.3f\n", totals->sent, totals->answered, totals->closed, totals->late, totals->refused,
         (now_us() - started) / 1e6);
  return failed > 0;
}
