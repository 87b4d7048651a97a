/*
 * /init of the test guests: mounts what a program expects, loads the modules of the list, says on the
 * console that the guest is ready, and becomes the agent (agent.h). It starts one other program by itself,
 * and only where the image has it: /bin/console, on the screen.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/input.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <termios.h>
#include <unistd.h>

#include "agent.h"

static void mount_at(const char *type, const char *path) {
  mkdir(path, 0755);
  if (mount(type, path, type, 0, NULL) < 0 && errno != EBUSY)
    printf("vmsig-guest: cannot mount %s at %s: %s\n", type, path, strerror(errno));
}

/* Each line of /modules.list is a path, in the order of loading. */
static void load_modules(void) {
  FILE *list = fopen("/modules.list", "re");
  if (list == NULL) return;
  char path[256];
  while (fgets(path, sizeof path, list) != NULL) {
    path[strcspn(path, "\n")] = '\0';
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST))
      printf("vmsig-guest: cannot load %s: %s\n", path, strerror(errno));
    if (fd >= 0) close(fd);
  }
  fclose(list);
}

/* The ACPI power button, there when the modules button and evdev are loaded. */
static int open_power_button(void) {
  for (int i = 0; i < 32; i++) {
    char path[32], name[64] = "";
    snprintf(path, sizeof path, "/dev/input/event%d", i);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) continue;
    if (ioctl(fd, EVIOCGNAME(sizeof name - 1), name) >= 0 && strcmp(name, "Power Button") == 0) return fd;
    close(fd);
  }
  return -1;
}

static int open_port(const char *path) {
  int fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (fd < 0) return -1;
  struct termios mode;
  if (tcgetattr(fd, &mode) < 0) return -1;
  cfmakeraw(&mode);
  mode.c_cflag |= CLOCAL | CREAD;
  cfsetspeed(&mode, B115200);
  if (tcsetattr(fd, TCSANOW, &mode) < 0) return -1;
  tcflush(fd, TCIFLUSH);
  return fd;
}

void machine_down(int how) {
  fflush(stdout);
  sync();
  reboot(how);
  printf("vmsig-guest: cannot go down: %s\n", strerror(errno));
  for (;;) pause();
}

/* The shell on the first virtual console, where the image has one. */
static void start_console(void) {
  if (access("/bin/console", X_OK) < 0 || fork() != 0) return;
  setsid();
  execl("/bin/console", "console", "/dev/tty1", NULL);
  _exit(127);
}

int main(void) {
  mount_at("devtmpfs", "/dev");
  /* The kernel opens the console for us only when /dev/console was in the initramfs. */
  int console = open("/dev/console", O_RDWR);
  if (console >= 0) {
    dup2(console, 0);
    dup2(console, 1);
    dup2(console, 2);
    if (console > 2) close(console);
  }
  setvbuf(stdout, NULL, _IOLBF, 0);
  mount_at("proc", "/proc");
  mount_at("sysfs", "/sys");
  mount_at("tmpfs", "/tmp");
  mount_at("tmpfs", "/run");
  mkdir("/dev/pts", 0755);
  mount_at("devpts", "/dev/pts");
  mount_at("tmpfs", "/dev/shm");
  /* In case /dev already had the links' names, these fail, and nothing is lost. */
  (void)!symlink("/proc/self/fd", "/dev/fd");
  sethostname("guest", 5);
  load_modules();

  setenv("PATH", "/bin", 1);
  setenv("HOME", "/tmp", 1);
  setenv("NO_COLOR", "1", 1);
  struct utsname system;
  uname(&system);
  /* A word of the kernel's command line that it does not know is ours: where the agent's port is. */
  const char *agent_port = getenv("agent_port");
  if (agent_port == NULL) agent_port = "/dev/ttyS1";
  int port = open_port(agent_port);
  if (port < 0) printf("\nvmsig-guest: no agent: %s: %s", agent_port, strerror(errno));
  printf("\nvmsig-guest: ready %s\n", system.release);
  /* The last thing: what is said here would come between the shell's lines, where they share a screen. */
  start_console();
  if (port < 0) {
    int button = open_power_button();
    struct pollfd wait = {.fd = button, .events = POLLIN};
    for (;;) {
      struct input_event event;
      poll(&wait, 1, -1);
      while (read(button, &event, sizeof event) == sizeof event)
        if (event.type == EV_KEY && event.code == KEY_POWER && event.value == 1) machine_down(RB_POWER_OFF);
    }
  }
  agent_serve(port, open_power_button());
  machine_down(RB_POWER_OFF);
  return 0;
}
