/*
 * A program for the guest's agent to run, in tests:
 *   worker echo WORD…     prints the words and the variable GREETING, a line each
 *   worker cat            prints its standard input
 *   worker exit N         ends with N, "sorry" on its standard error
 *   worker spam N         prints N bytes
 *   worker wait FILE [STARTED]  ends when there is such a file; makes STARTED as it begins
 *   worker abort          ends by SIGABRT
 *   shutdown -P|-r …      as /sbin/shutdown: powers the machine off, or resets it
 *   worker mount DEVICE FOLDER  mounts an ext4
 *   worker liar PORT HOW  is an agent on PORT that answers its first question with HOW (garbage, binary,
 *                         long, late), or each one twice, and the others as it should
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <unistd.h>

static void say(int fd, const char *bytes, size_t length) {
  while (length > 0) {
    ssize_t n = write(fd, bytes, length);
    if (n <= 0) exit(3);
    bytes += n;
    length -= (size_t)n;
  }
}

static void lie(int fd, const char *how) {
  static char filler[65536];
  if (strcmp(how, "garbage") == 0) say(fd, "{]\n", 3);
  if (strcmp(how, "binary") == 0) {
    memset(filler, 0xff, sizeof filler);
    say(fd, filler, sizeof filler);
    say(fd, "\n", 1);
  }
  if (strcmp(how, "long") == 0) {
    memset(filler, 'a', sizeof filler);
    say(fd, "{\"return\":\"", 11);
    for (int i = 0; i < 512; i++) say(fd, filler, sizeof filler);
    say(fd, "\"}\n", 3);
  }
  if (strcmp(how, "late") == 0) {
    sleep(12);
    say(fd, "{\"return\":{\"version\":\"late\"}}\n", 31);
  }
}

/* Commands come a line each; a 0xff before one is what comes into step sends. */
static int liar(const char *port, const char *how) {
  int fd = open(port, O_RDWR);
  if (fd < 0) return 1;
  char line[4096];
  int has_lied = strcmp(how, "twice") == 0;
  for (;;) {
    size_t length = 0;
    for (;;) {
      char c;
      ssize_t n = read(fd, &c, 1);
      /* 0: the host has closed its end for now. */
      if (n == 0) { usleep(10000); continue; }
      if (n < 0) return 3;
      if (c == '\n') break;
      if (length < sizeof line - 1) line[length++] = c;
    }
    line[length] = 0;
    const char *id = strstr(line, "\"id\":");
    char answer[128];
    if (strstr(line, "guest-sync-delimited") != NULL && id != NULL) {
      int n = snprintf(answer, sizeof answer, "\xff{\"return\":%ld}\n", atol(id + 5));
      say(fd, answer, (size_t)n);
      continue;
    }
    if (!has_lied) {
      has_lied = 1;
      lie(fd, how);
      continue;
    }
    int n = snprintf(answer, sizeof answer, "{\"return\":{\"version\":\"liar\"}}\n");
    say(fd, answer, (size_t)n);
    if (strcmp(how, "twice") == 0) say(fd, answer, (size_t)n);
  }
}

/* Of what the agent says (-h -P +0 …) only how. */
static int shut_down(char **argv) {
  int how = RB_POWER_OFF;
  for (char **word = argv + 1; *word != NULL; word++) {
    if (strcmp(*word, "-r") == 0) how = RB_AUTOBOOT;
  }
  return reboot(how);
}

int main(int argc, char **argv) {
  if (strcmp(argv[0], "shutdown") == 0) return shut_down(argv);
  const char *what = argc > 1 ? argv[1] : "";
  const char *word = argc > 2 ? argv[2] : "0";
  if (strcmp(what, "echo") == 0) {
    for (int i = 2; i < argc; i++) puts(argv[i]);
    const char *greeting = getenv("GREETING");
    if (greeting != NULL) puts(greeting);
    return 0;
  }
  if (strcmp(what, "cat") == 0) {
    for (int c = getchar(); c != EOF; c = getchar()) putchar(c);
    return 0;
  }
  if (strcmp(what, "exit") == 0) {
    fputs("sorry\n", stderr);
    return atoi(word);
  }
  if (strcmp(what, "spam") == 0) {
    for (long i = 0, n = atol(word); i < n; i++) putchar('a' + (int)(i % 26));
    return 0;
  }
  if (strcmp(what, "liar") == 0) return argc > 3 ? liar(word, argv[3]) : 2;
  if (strcmp(what, "wait") == 0) {
    if (argc > 3) close(open(argv[3], O_CREAT | O_WRONLY, 0600));
    while (access(word, F_OK) != 0) usleep(20000);
    return 0;
  }
  if (strcmp(what, "abort") == 0) abort();
  if (strcmp(what, "mount") == 0 && argc > 3) {
    mkdir(argv[3], 0700);
    if (mount(word, argv[3], "ext4", 0, NULL) == 0) return 0;
    perror(word);
    return 1;
  }
  return 2;
}
