/*
 * procs: processes that a test can recognise from outside.
 *
 *   procs COUNT [THREADS]
 *
 * makes COUNT children named proc-0000, proc-0001, …, each with THREADS more threads (default 0) named
 * thr-0000 …, with command line "procs child NUMBER", and the same four known mappings in each, at
 * 0x700000000000 + NUMBER * 0x1000000:
 *
 *   +0         16 KiB rw-p, its first u64 is 0x70726f6373000000 + NUMBER
 *   +0x10000    8 KiB r--p
 *   +0x20000    4 KiB r-xp
 *   +0x30000   64 KiB ---p
 *
 * Says "child NUMBER PID" for each as it is up, then "ready"; obeys "kill NUMBER" ("killed"), "add" (one more
 * child) and "quit", which ends all; so does the end of its input.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_CHILDREN = 4096 };

static pid_t pids[MAX_CHILDREN];
static int child_count;
static const char *thread_count = "0";

static void map_at(uintptr_t address, size_t size, int mode, uint64_t mark) {
  void *at = mmap((void *)address, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (at == MAP_FAILED) { printf("error mmap: %s\n", strerror(errno)); exit(1); }
  *(uint64_t *)at = mark;
  if (mprotect(at, size, mode) < 0) { printf("error mprotect: %s\n", strerror(errno)); exit(1); }
}

static void *idle_thread(void *number) {
  char name[16];
  snprintf(name, sizeof name, "thr-%04d", (int)(intptr_t)number);
  prctl(PR_SET_NAME, name);
  while (pause() < 0) {}
  return NULL;
}

static int child_main(int number, int threads, int ready_fd) {
  char name[16];
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  snprintf(name, sizeof name, "proc-%04d", number);
  prctl(PR_SET_NAME, name);
  uintptr_t base = 0x700000000000u + (uintptr_t)number * 0x1000000u;
  uint64_t mark = 0x70726f6373000000u + (uint64_t)number;
  map_at(base, 16384, PROT_READ | PROT_WRITE, mark);
  map_at(base + 0x10000, 8192, PROT_READ, mark);
  map_at(base + 0x20000, 4096, PROT_READ | PROT_EXEC, mark);
  map_at(base + 0x30000, 65536, PROT_NONE, mark);
  for (intptr_t i = 0; i < threads; i++) {
    pthread_t thread;
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 65536);
    if (pthread_create(&thread, &small, idle_thread, (void *)i) != 0) { printf("error no thread\n"); return 1; }
  }
  if (write(ready_fd, "", 1) != 1) return 1;
  close(ready_fd);
  for (;;) pause();
}

static void add_child(const char *self) {
  if (child_count == MAX_CHILDREN) { printf("error too many\n"); return; }
  int ready[2];
  if (pipe(ready) < 0) { printf("error pipe: %s\n", strerror(errno)); exit(1); }
  pid_t pid = fork();
  if (pid < 0) { printf("error fork: %s\n", strerror(errno)); exit(1); }
  if (pid == 0) {
    char number[16], fd[16];
    snprintf(number, sizeof number, "%d", child_count);
    snprintf(fd, sizeof fd, "%d", ready[1]);
    setenv("PROCS_THREADS", thread_count, 1);
    setenv("PROCS_READY_FD", fd, 1);
    close(ready[0]);
    execl(self, "procs", "child", number, (char *)NULL);
    _exit(127);
  }
  close(ready[1]);
  char byte;
  if (read(ready[0], &byte, 1) != 1) { printf("error child %d did not come up\n", child_count); exit(1); }
  close(ready[0]);
  pids[child_count] = pid;
  printf("child %d %d\n", child_count, pid);
  child_count++;
}

static void kill_child(int number) {
  if (number < 0 || number >= child_count || pids[number] == 0) { printf("error no such child\n"); return; }
  kill(pids[number], SIGKILL);
  waitpid(pids[number], NULL, 0);
  pids[number] = 0;
  printf("killed\n");
}

int main(int count, char **arguments) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  const char *threads = getenv("PROCS_THREADS"), *ready = getenv("PROCS_READY_FD");
  if (count == 3 && strcmp(arguments[1], "child") == 0 && threads != NULL && ready != NULL)
    return child_main(atoi(arguments[2]), atoi(threads), atoi(ready));
  if (count < 2) { printf("usage: procs COUNT [THREADS]\n"); return 2; }
  if (count > 2) thread_count = arguments[2];
  for (int i = atoi(arguments[1]); i > 0; i--) add_child("/proc/self/exe");
  printf("ready\n");
  char line[64];
  while (fgets(line, sizeof line, stdin) != NULL) {
    int number;
    if (sscanf(line, "kill %d", &number) == 1) kill_child(number);
    else if (strncmp(line, "add", 3) == 0) add_child("/proc/self/exe");
    else if (strncmp(line, "quit", 4) == 0) break;
    else printf("error unknown\n");
  }
  for (int i = 0; i < child_count; i++)
    if (pids[i] != 0) kill(pids[i], SIGKILL);
  return 0;
}
