/*
 * evrec: records every input event of the guest, from devices that come and go, one a line, in order:
 *
 *   device event3 NAME        a device has been opened (before its first event)
 *   gone event3               a device has gone
 *   event3 TYPE CODE VALUE    an event, in evdev's numbers; SYN_REPORT included (0 0 0)
 *
 * Reading goes on while the output is slow: what cannot be written yet waits in memory, so that the kernel's
 * small buffer for each reader (64 events) does not overflow (it would show as SYN_DROPPED, 0 3 0). It is
 * realtime for the same reason: on a busy host the guest gets its input in heaps, and whatever else runs in
 * the guest (the program that carries the recorder's lines to the serial port) would stand between two heaps.
 * "evrec --late" writes only once nothing has come for 200 ms: the guest's serial line is so slow that a
 * burst of input which is told while it comes can starve the recorder itself. "evrec --time" puts the
 * kernel's time of the event (CLOCK_MONOTONIC, ns) before each event line.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/input.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { MAX_DEVICES = 64 };

static struct device { int fd; char name[32]; } devices[MAX_DEVICES];
static int device_count, with_time, late;
static char *waiting;
static size_t waiting_bytes, waiting_capacity;

static void put(const char *format, ...) {
  char line[512];
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  if (waiting_bytes + (size_t)length > waiting_capacity) {
    waiting_capacity = (waiting_bytes + (size_t)length) * 2;
    waiting = realloc(waiting, waiting_capacity);
    if (waiting == NULL) abort();
  }
  memcpy(waiting + waiting_bytes, line, (size_t)length);
  waiting_bytes += (size_t)length;
}

/* Writes as much as the pipe takes now. */
static void flush_waiting(void) {
  if (waiting_bytes == 0) return;
  ssize_t n = write(1, waiting, waiting_bytes);
  if (n < 0 && errno != EAGAIN && errno != EINTR) exit(0); /* nobody listens any more */
  if (n <= 0) return;
  memmove(waiting, waiting + n, waiting_bytes - (size_t)n);
  waiting_bytes -= (size_t)n;
}

static void open_device(const char *name) {
  if (strncmp(name, "event", 5) != 0 || device_count == MAX_DEVICES) return;
  for (int i = 0; i < device_count; i++)
    if (strcmp(devices[i].name, name) == 0) return;
  char path[64], label[256] = "";
  snprintf(path, sizeof path, "/dev/input/%.31s", name);
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return;
  int clock = CLOCK_MONOTONIC;
  ioctl(fd, EVIOCSCLOCKID, &clock);
  ioctl(fd, EVIOCGNAME(sizeof label - 1), label);
  struct device *device = &devices[device_count++];
  device->fd = fd;
  snprintf(device->name, sizeof device->name, "%.31s", name);
  put("device %s %s\n", device->name, label);
}

static void open_all(void) {
  DIR *folder = opendir("/dev/input");
  if (folder == NULL) return;
  for (struct dirent *entry; (entry = readdir(folder)) != NULL;) open_device(entry->d_name);
  closedir(folder);
}

/* Returns 0 when the device has gone. */
static int read_device(struct device *device) {
  struct input_event events[64];
  for (;;) {
    ssize_t n = read(device->fd, events, sizeof events);
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    if (n == 0) return 0;
    for (size_t i = 0; i < (size_t)n / sizeof events[0]; i++) {
      struct input_event *event = &events[i];
      if (with_time)
        put("%lld ", (long long)event->input_event_sec * 1000000000 + (long long)event->input_event_usec * 1000);
      put("%s %u %u %d\n", device->name, event->type, event->code, event->value);
    }
  }
}

static void close_device(int i) {
  put("gone %s\n", devices[i].name);
  close(devices[i].fd);
  devices[i] = devices[--device_count];
}

int main(int count, char **arguments) {
  for (int i = 1; i < count; i++) {
    with_time |= strcmp(arguments[i], "--time") == 0;
    late |= strcmp(arguments[i], "--late") == 0;
  }
  /* Refused outside a test's guest, where nobody is root: it is as good as it can be then. */
  sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){.sched_priority = 10});
  int writing = 1;
  fcntl(1, F_SETFL, O_NONBLOCK);
  int changes = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  /* Without any input device there is no folder yet; then /dev is watched for it too. */
  inotify_add_watch(changes, "/dev", IN_CREATE);
  inotify_add_watch(changes, "/dev/input", IN_CREATE);
  open_all();
  put("recording\n");
  for (;;) {
    struct pollfd wait[MAX_DEVICES + 2];
    int opened = device_count;
    for (int i = 0; i < opened; i++) wait[i] = (struct pollfd){.fd = devices[i].fd, .events = POLLIN};
    wait[opened] = (struct pollfd){.fd = changes, .events = POLLIN};
    wait[opened + 1] = (struct pollfd){.fd = 1, .events = writing && waiting_bytes > 0 ? POLLOUT : 0};
    int ready = poll(wait, (nfds_t)opened + 2, late && !writing && waiting_bytes > 0 ? 200 : -1);
    if (ready < 0) continue;
    if (late) writing = ready == 0 || (writing && waiting_bytes > 0);
    for (int i = opened - 1; i >= 0; i--)
      if (wait[i].revents) {
        if (late) writing = 0;
        if (!read_device(&devices[i])) close_device(i);
      }
    if (wait[opened].revents) {
      char drop[4096];
      while (read(changes, drop, sizeof drop) > 0) {}
      inotify_add_watch(changes, "/dev/input", IN_CREATE);
      open_all();
    }
    if (writing) flush_waiting();
  }
}
