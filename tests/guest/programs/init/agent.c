/* The agent's loop: one thread, poll over the port, the children's outputs, SIGCHLD and the power button. */
#define _GNU_SOURCE
#include "agent.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/input.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

enum { MAX_CHILDREN = 64, MAX_WORDS = 256, LINE_BYTES = 65536, CHUNK_BYTES = 16384 };

struct child {
  unsigned id; /* the exec request's; 0: a free slot */
  pid_t pid;
  int in;
  int out;
};

static int port;
static struct child children[MAX_CHILDREN];

static void send_all(const char *bytes, size_t length) {
  while (length > 0) {
    ssize_t n = write(port, bytes, length);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) machine_down(RB_POWER_OFF); /* without a port nobody can reach this guest any more */
    bytes += n;
    length -= (size_t)n;
  }
}

static void send_frame(const char *kind, unsigned id, const char *bytes, size_t length) {
  static char frame[CHUNK_BYTES + 64];
  int head = snprintf(frame, 64, "%s %u %zu\n", kind, id, length);
  memcpy(frame + head, bytes, length);
  send_all(frame, (size_t)head + length);
}

static void reply(const char *kind, unsigned id, const char *format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  if (length >= (int)sizeof text) length = sizeof text - 1;
  send_frame(kind, id, text, (size_t)length);
}

static void fail(unsigned id, const char *what) { reply("err", id, "%s: %s", what, strerror(errno)); }

/* Percent-decodes a word in place; the result's length, as it may hold NULs. */
static size_t decode(char *word) {
  char *to = word;
  for (char *from = word; *from != '\0'; from++) {
    if (from[0] == '%' && isxdigit((unsigned char)from[1]) && isxdigit((unsigned char)from[2])) {
      char hex[3] = {from[1], from[2], '\0'};
      *to++ = (char)strtoul(hex, NULL, 16);
      from += 2;
    } else {
      *to++ = *from;
    }
  }
  *to = '\0';
  return (size_t)(to - word);
}

static struct child *child_of(unsigned id) {
  for (int i = 0; i < MAX_CHILDREN; i++)
    if (children[i].id == id) return &children[i];
  return NULL;
}

/* Sends what a child's pipe holds now; 0 when it is at its end. */
static int drain(struct child *child, int all) {
  static char bytes[CHUNK_BYTES];
  for (;;) {
    ssize_t n = read(child->out, bytes, sizeof bytes);
    if (n == 0) return 0;
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    send_frame("data", child->id, bytes, (size_t)n);
    if (!all) return 1;
  }
}

static void close_if_open(int *fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

static void reap(void) {
  int status;
  for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
    for (int i = 0; i < MAX_CHILDREN; i++) {
      struct child *child = &children[i];
      if (child->id == 0 || child->pid != pid) continue;
      /* A grandchild may keep the pipe open: what the child itself wrote is in it already. */
      if (child->out >= 0) drain(child, 1);
      if (WIFEXITED(status)) reply("exit", child->id, "code %d", WEXITSTATUS(status));
      else reply("exit", child->id, "signal %d", WTERMSIG(status));
      close_if_open(&child->out);
      close_if_open(&child->in);
      child->id = 0;
    }
  }
}

static void run_child(char **words, int in, int out) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  setsid();
  dup2(in, 0);
  dup2(out, 1);
  dup2(out, 2);
  for (; *words != NULL && strchr(*words, '=') != NULL; words++) putenv(*words);
  if (*words == NULL) _exit(127);
  execvp(words[0], words);
  dprintf(2, "cannot run %s: %s\n", words[0], strerror(errno));
  _exit(127);
}

static void start(unsigned id, char **words) {
  struct child *child = child_of(0);
  int in[2], out[2];
  if (child == NULL) { reply("err", id, "more than %d programs at once", MAX_CHILDREN); return; }
  if (pipe2(in, O_CLOEXEC) < 0) { fail(id, "pipe2"); return; }
  if (pipe2(out, O_CLOEXEC) < 0) { fail(id, "pipe2"); close(in[0]); close(in[1]); return; }
  pid_t pid = fork();
  if (pid == 0) run_child(words, in[0], out[1]);
  close(in[0]);
  close(out[1]);
  if (pid < 0) { fail(id, "fork"); close(in[1]); close(out[0]); return; }
  fcntl(in[1], F_SETFL, O_NONBLOCK);
  fcntl(out[0], F_SETFL, O_NONBLOCK);
  *child = (struct child){.id = id, .pid = pid, .in = in[1], .out = out[0]};
  reply("ok", id, "%d", pid);
}

static void cat(unsigned id, const char *path) {
  static char bytes[CHUNK_BYTES];
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) { fail(id, path); return; }
  ssize_t n;
  while ((n = read(fd, bytes, sizeof bytes)) > 0) send_frame("data", id, bytes, (size_t)n);
  if (n < 0) fail(id, path);
  else reply("ok", id, "");
  close(fd);
}

static void list(unsigned id, const char *path) {
  DIR *folder = opendir(path);
  if (folder == NULL) { fail(id, path); return; }
  for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
    char line[264];
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    int length = snprintf(line, sizeof line, "%s\n", entry->d_name);
    send_frame("data", id, line, (size_t)length);
  }
  closedir(folder);
  reply("ok", id, "");
}

static void store(unsigned id, const char *path, int flags, const char *bytes, size_t length) {
  int fd = open(path, O_WRONLY | O_CLOEXEC | flags, 0644);
  if (fd < 0) { fail(id, path); return; }
  ssize_t n = write(fd, bytes, length);
  if (n != (ssize_t)length) fail(id, path);
  else reply("ok", id, "");
  close(fd);
}

static void load_module(unsigned id, const char *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) { fail(id, path); return; }
  if (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST) fail(id, path);
  else reply("ok", id, "");
  close(fd);
}

static void to_child(unsigned id, const char *command, char **words, size_t text_length) {
  struct child *child = words[0] == NULL ? NULL : child_of((unsigned)strtoul(words[0], NULL, 10));
  if (child == NULL || child->id == 0) { reply("err", id, "no such program is running"); return; }
  if (strcmp(command, "kill") == 0) {
    if (words[1] == NULL || kill(child->pid, atoi(words[1])) < 0) { fail(id, "kill"); return; }
  } else if (strcmp(command, "eof") == 0) {
    close_if_open(&child->in);
  } else if (words[1] == NULL || write(child->in, words[1], text_length) != (ssize_t)text_length) {
    fail(id, "its standard input");
    return;
  }
  reply("ok", id, "");
}

static void go_down(unsigned id, const char *command) {
  reply("ok", id, "");
  tcdrain(port);
  machine_down(strcmp(command, "reboot") == 0 ? RB_AUTOBOOT : RB_POWER_OFF);
}

static void handle(char *line) {
  char *words[MAX_WORDS + 1] = {NULL};
  size_t last_length = 0;
  int count = 0;
  for (char *at = line; at != NULL && count < MAX_WORDS;) words[count++] = strsep(&at, " ");
  for (int i = 0; i < count; i++) last_length = decode(words[i]);
  if (count < 2) return;
  unsigned id = (unsigned)strtoul(words[0], NULL, 10);
  const char *command = words[1];
  char **rest = words + 2;
  if (strcmp(command, "ping") == 0) reply("ok", id, "");
  else if (strcmp(command, "exec") == 0 && count > 2) start(id, rest);
  else if (strcmp(command, "stdin") == 0 || strcmp(command, "eof") == 0 || strcmp(command, "kill") == 0)
    to_child(id, command, rest, last_length);
  else if (strcmp(command, "cat") == 0 && count > 2) cat(id, rest[0]);
  else if (strcmp(command, "ls") == 0 && count > 2) list(id, rest[0]);
  else if (strcmp(command, "write") == 0 && count > 3)
    store(id, rest[0], O_CREAT | O_TRUNC, rest[1], last_length);
  else if (strcmp(command, "append") == 0 && count > 3)
    store(id, rest[0], O_CREAT | O_APPEND, rest[1], last_length);
  else if (strcmp(command, "insmod") == 0 && count > 2) load_module(id, rest[0]);
  else if (strcmp(command, "poweroff") == 0 || strcmp(command, "reboot") == 0) go_down(id, command);
  else if (strcmp(command, "suspend") == 0) store(id, "/sys/power/state", 0, "mem", 3);
  else if (strcmp(command, "panic") == 0) { reply("ok", id, ""); tcdrain(port); store(id, "/proc/sysrq-trigger", 0, "c", 1); }
  else reply("err", id, "unknown request: %s", command);
}

static void read_port(void) {
  static char line[LINE_BYTES];
  static size_t length;
  char bytes[4096];
  ssize_t n = read(port, bytes, sizeof bytes);
  for (ssize_t i = 0; i < n; i++) {
    if (bytes[i] == '\n') {
      line[length] = '\0';
      length = 0;
      handle(line);
    } else if (length < sizeof line - 1) {
      line[length++] = bytes[i];
    }
  }
}

static void read_button(int button) {
  struct input_event event;
  while (read(button, &event, sizeof event) == sizeof event)
    if (event.type == EV_KEY && event.code == KEY_POWER && event.value == 1) machine_down(RB_POWER_OFF);
}

void agent_serve(int port_fd, int power_button_fd) {
  port = port_fd;
  signal(SIGPIPE, SIG_IGN);
  sigset_t child_signal;
  sigemptyset(&child_signal);
  sigaddset(&child_signal, SIGCHLD);
  sigprocmask(SIG_BLOCK, &child_signal, NULL);
  int signals = signalfd(-1, &child_signal, SFD_CLOEXEC | SFD_NONBLOCK);
  struct utsname system;
  uname(&system);
  reply("hello", 0, "%s", system.release);
  for (;;) {
    struct pollfd wait[MAX_CHILDREN + 3] = {
      {.fd = port, .events = POLLIN}, {.fd = signals, .events = POLLIN}, {.fd = power_button_fd, .events = POLLIN}};
    struct child *owner[MAX_CHILDREN + 3] = {NULL};
    nfds_t count = 3;
    for (int i = 0; i < MAX_CHILDREN; i++) {
      if (children[i].id == 0 || children[i].out < 0) continue;
      owner[count] = &children[i];
      wait[count++] = (struct pollfd){.fd = children[i].out, .events = POLLIN};
    }
    if (poll(wait, count, -1) < 0) continue;
    if (wait[2].revents) read_button(power_button_fd);
    for (nfds_t i = 3; i < count; i++)
      if (wait[i].revents && !drain(owner[i], 0)) close_if_open(&owner[i]->out);
    if (wait[1].revents) {
      struct signalfd_siginfo info;
      while (read(signals, &info, sizeof info) == sizeof info) {}
      reap();
    }
    if (wait[0].revents) read_port();
  }
}
