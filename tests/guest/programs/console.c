/*
 * console: a small shell on a terminal, for a person or a test that looks at the guest's screen.
 *
 *   console [DEVICE]
 *
 * DEVICE is /dev/tty1 unless said otherwise. It shows what is typed, as any terminal does, and answers lines
 * of a few words: help, echo, ls, cat, ps, uname. It never ends. /init starts it where the image has it.
 * Messages of the kernel below an emergency are kept off its screen ("random: crng init done" in the middle
 * of a line that was typed).
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <termios.h>
#include <unistd.h>

enum { MAX_WORDS = 64, LINE_BYTES = 512 };

static void fail(const char *what) { printf("%s: %s\n", what, strerror(errno)); }

static int by_name(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }

static void list(const char *path, int is_long) {
  struct dirent **entries;
  int count = scandir(path, &entries, NULL, by_name);
  if (count < 0) { fail(path); return; }
  for (int i = 0; i < count; i++) {
    const char *name = entries[i]->d_name;
    if (name[0] != '.') {
      char whole[4096];
      struct stat file;
      snprintf(whole, sizeof whole, "%s/%s", path, name);
      if (is_long && lstat(whole, &file) == 0)
        printf("%c%03o %9lld %s\n", S_ISDIR(file.st_mode) ? 'd' : '-', file.st_mode & 0777, (long long)file.st_size, name);
      else
        printf(is_long ? "%s\n" : "%s  ", name);
    }
    free(entries[i]);
  }
  free(entries);
  if (!is_long) printf("\n");
}

static void show(const char *path) {
  FILE *file = fopen(path, "re");
  if (file == NULL) { fail(path); return; }
  int c;
  while ((c = fgetc(file)) != EOF) putchar(c);
  fclose(file);
}

/* Processes with a command line: the kernel's own threads have none. */
static void processes(void) {
  struct dirent **entries;
  int count = scandir("/proc", &entries, NULL, versionsort);
  for (int i = 0; i < count; i++) {
    char path[300], line[256] = "";
    snprintf(path, sizeof path, "/proc/%s/cmdline", entries[i]->d_name);
    int fd = isdigit((unsigned char)entries[i]->d_name[0]) ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    ssize_t size = fd < 0 ? 0 : read(fd, line, sizeof line - 1);
    if (fd >= 0) close(fd);
    for (ssize_t at = 0; at + 1 < size; at++) if (line[at] == '\0') line[at] = ' ';
    if (size > 0) printf("%6s %s\n", entries[i]->d_name, line);
    free(entries[i]);
  }
  if (count >= 0) free(entries);
}

static void answer(char *line) {
  char *words[MAX_WORDS + 1];
  int count = 0;
  for (char *word = strtok(line, " \t\n"); word != NULL && count < MAX_WORDS; word = strtok(NULL, " \t\n")) words[count++] = word;
  if (count == 0) return;
  words[count] = NULL;
  if (strcmp(words[0], "echo") == 0) {
    for (int i = 1; i < count; i++) printf("%s%s", words[i], i + 1 < count ? " " : "");
    printf("\n");
  } else if (strcmp(words[0], "ls") == 0) {
    int is_long = count > 1 && strcmp(words[1], "-l") == 0;
    list(words[1 + is_long] == NULL || count <= 1 + is_long ? "/" : words[1 + is_long], is_long);
  } else if (strcmp(words[0], "cat") == 0) {
    for (int i = 1; i < count; i++) show(words[i]);
  } else if (strcmp(words[0], "ps") == 0) {
    processes();
  } else if (strcmp(words[0], "uname") == 0) {
    struct utsname it;
    uname(&it);
    printf("%s %s %s\n", it.sysname, it.release, it.machine);
  } else if (strcmp(words[0], "help") == 0) {
    printf("echo WORDS, ls [-l] [FOLDER], cat FILE, ps, uname\n");
  } else {
    printf("%s: no such command; help tells what there is\n", words[0]);
  }
}

int main(int argc, char **argv) {
  const char *device = argc > 1 ? argv[1] : "/dev/tty1";
  int fd = open(device, O_RDWR | O_NOCTTY);
  if (fd < 0) { fail(device); return 1; }
  for (int i = 0; i < 3; i++) dup2(fd, i);
  if (fd > 2) close(fd);
  /* Its keys for signals are nobody's: there is nothing to come back to. */
  struct termios mode;
  if (tcgetattr(0, &mode) == 0) {
    mode.c_lflag &= ~ISIG;
    tcsetattr(0, TCSANOW, &mode);
  }
  /* The kernel would write into what is typed: from here on its messages go to its log alone. */
  enum { CONSOLE_LEVEL = 8 };
  klogctl(CONSOLE_LEVEL, NULL, 1);
  struct utsname it;
  uname(&it);
  printf("\033[H\033[2JLinux %s on %s\n\n", it.release, strrchr(device, '/') + 1);
  char line[LINE_BYTES];
  for (;;) {
    printf("guest# ");
    fflush(stdout);
    if (fgets(line, sizeof line, stdin) == NULL) {
      /* Ctrl-D: a terminal goes on after it. */
      clearerr(stdin);
      printf("\n");
      continue;
    }
    answer(line);
  }
}
