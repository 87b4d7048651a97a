/*
 * decoys COUNT: an unprivileged process that writes COUNT pages which look like the kernel's VMCOREINFO note,
 * says "ready", and keeps them until its input ends.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int argc, char **argv) {
  long count = argc > 1 ? atol(argv[1]) : 64;
  if (count <= 0) { fprintf(stderr, "error count\n"); return 1; }
  char *at = mmap(NULL, (size_t)count * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) { perror("error mmap"); return 1; }
  for (long i = 0; i < count; i++, at += 4096) {
    char *text = at + 24;
    sprintf(text,
            "OSRELEASE=6.6.%ld-decoy\nBUILD-ID=%040lx\nPAGESIZE=4096\nSYMBOL(swapper_pg_dir)=ffffffff82%06lx\n"
            "SYMBOL(_stext)=ffffffff81000000\nNUMBER(phys_base)=%ld\nKERNELOFFSET=0\n",
            i, i, (i % 256) << 12, (i % 64) << 21);
    uint32_t head[3] = {11, (uint32_t)strlen(text), 0};
    memcpy(at, head, sizeof head);
    memcpy(at + 12, "VMCOREINFO\0\0", 12);
  }
  puts("ready");
  fflush(stdout);
  char byte;
  while (read(0, &byte, 1) > 0) {}
  return 0;
}
