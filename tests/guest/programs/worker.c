/*
 * A program for the guest's agent to run, in tests:
 *   worker echo WORD…     prints the words and the variable GREETING, a line each
 *   worker cat            prints its standard input
 *   worker exit N         ends with N, "sorry" on its standard error
 *   worker spam N         prints N bytes
 *   worker wait FILE      ends when there is such a file
 *   worker abort          ends by SIGABRT
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv) {
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
  if (strcmp(what, "wait") == 0) {
    while (access(word, F_OK) != 0) usleep(20000);
    return 0;
  }
  if (strcmp(what, "abort") == 0) abort();
  return 2;
}
