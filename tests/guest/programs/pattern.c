/*
 * pattern: memory with known content, for a test that reads and writes this guest from outside.
 *
 *   pattern MIB SEED [small|thp|2M|1G|gap|FILE]
 *
 * maps MIB MiB (rounded up to the page size), fills them, and says "ready PID 0xVA BYTES". The u32 word
 * number i holds mix(i * 0x9e3779b1 + SEED) (tests/guest/pattern.ts computes the same). The memory is of 4
 * KiB pages (small, the default), transparent huge pages if the kernel gives them, 2 MiB or 1 GiB pages, 4
 * KiB pages with every second page of the last quarter unmapped (gap), or a shared mapping of FILE. Then it
 * obeys lines:
 *
 *   sum                 "sum N of M right": how many words hold their pattern
 *   fill SEED           fills anew; "filled"
 *   peek OFFSET LENGTH  "peek HEX" (LENGTH at most 4096)
 *   poke OFFSET HEX     stores bytes; "poked"
 *   watch OFFSET        from now on says "changed OFFSET 0xOLD 0xNEW" when the u64 there changes (up to
 *                       16); "watching"
 *   unwatch             forgets them; "unwatched"
 *   protect OFFSET LENGTH none|r|rw|rx   "protected"
 *   unmap OFFSET LENGTH "unmapped"
 *   quit
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096, MAX_WATCHES = 16 };

static uint8_t *base;
static size_t bytes, gap_from; /* from gap_from on, every second page is unmapped */
static uint32_t seed;
static struct { size_t offset; uint64_t last; } watches[MAX_WATCHES];
static int watch_count;

static void die(const char *what) {
  printf("error %s: %s\n", what, strerror(errno));
  exit(1);
}

static uint32_t word(uint32_t i) {
  uint32_t h = i * 0x9e3779b1u + seed;
  h ^= h >> 16;
  h *= 0x85ebca6bu;
  h ^= h >> 13;
  h *= 0xc2b2ae35u;
  return h ^ h >> 16;
}

static int is_gap(size_t offset) { return offset >= gap_from && offset / PAGE % 2 == 1; }

static void fill(void) {
  for (size_t page = 0; page < bytes; page += PAGE) {
    if (is_gap(page)) continue;
    uint32_t *words = (uint32_t *)(base + page);
    for (uint32_t i = 0; i < PAGE / 4; i++) words[i] = word((uint32_t)(page / 4) + i);
  }
}

static void sum(void) {
  size_t right = 0, all = 0;
  for (size_t page = 0; page < bytes; page += PAGE) {
    if (is_gap(page)) continue;
    const volatile uint32_t *words = (const volatile uint32_t *)(base + page);
    for (uint32_t i = 0; i < PAGE / 4; i++) right += words[i] == word((uint32_t)(page / 4) + i);
    all += PAGE / 4;
  }
  printf("sum %zu of %zu right\n", right, all);
}

static void reserve_huge_pages(const char *size_kib, size_t page) {
  char path[96];
  snprintf(path, sizeof path, "/sys/kernel/mm/hugepages/hugepages-%skB/nr_hugepages", size_kib);
  FILE *file = fopen(path, "w");
  if (file == NULL) die(path);
  fprintf(file, "%zu", (bytes + page - 1) / page);
  if (fclose(file) != 0) die(path);
}

static void map(const char *kind) {
  int flags = MAP_PRIVATE | MAP_ANONYMOUS, fd = -1;
  size_t align = PAGE;
  if (strcmp(kind, "2M") == 0) {
    align = 2u << 20;
    reserve_huge_pages("2048", align);
    flags |= MAP_HUGETLB | 21 << MAP_HUGE_SHIFT;
  } else if (strcmp(kind, "1G") == 0) {
    align = 1u << 30;
    reserve_huge_pages("1048576", align);
    flags |= MAP_HUGETLB | 30 << MAP_HUGE_SHIFT;
  } else if (kind[0] == '/') {
    fd = open(kind, O_RDWR | O_CREAT, 0644);
    if (fd < 0 || ftruncate(fd, (off_t)bytes) < 0) die(kind);
    flags = MAP_SHARED;
  }
  bytes = (bytes + align - 1) / align * align;
  gap_from = bytes;
  size_t slack = strcmp(kind, "thp") == 0 ? 2u << 20 : 0;
  base = mmap(NULL, bytes + slack, PROT_READ | PROT_WRITE, flags, fd, 0);
  if (base == MAP_FAILED) die("mmap");
  if (slack > 0) {
    base = (uint8_t *)(((uintptr_t)base + slack - 1) & ~(uintptr_t)(slack - 1));
    if (madvise(base, bytes, MADV_HUGEPAGE) < 0) die("madvise");
  } else if (align == PAGE && fd < 0 && madvise(base, bytes, MADV_NOHUGEPAGE) < 0) {
    die("madvise");
  }
  if (strcmp(kind, "gap") == 0) {
    gap_from = bytes / PAGE * 3 / 4 * PAGE;
    for (size_t page = gap_from; page < bytes; page += PAGE)
      if (is_gap(page)) munmap(base + page, PAGE);
  }
}

static int inside(size_t offset, size_t length) {
  if (offset <= bytes && length <= bytes - offset) return 1;
  printf("error outside\n");
  return 0;
}

static uint64_t load(size_t offset) { return __atomic_load_n((uint64_t *)(base + offset), __ATOMIC_ACQUIRE); }

static void look(void) {
  for (int i = 0; i < watch_count; i++) {
    uint64_t now = load(watches[i].offset);
    if (now == watches[i].last) continue;
    printf("changed %zu 0x%llx 0x%llx\n", watches[i].offset, (unsigned long long)watches[i].last, (unsigned long long)now);
    watches[i].last = now;
  }
}

static void peek(size_t offset, size_t length) {
  if (length > 4096) length = 4096;
  if (!inside(offset, length)) return;
  printf("peek ");
  for (size_t i = 0; i < length; i++) printf("%02x", base[offset + i]);
  printf("\n");
}

static void poke(size_t offset, const char *hex) {
  size_t length = strlen(hex) / 2;
  if (!inside(offset, length)) return;
  for (size_t i = 0; i < length; i++) {
    char digits[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
    base[offset + i] = (uint8_t)strtoul(digits, NULL, 16);
  }
  printf("poked\n");
}

static void watch(size_t offset) {
  if (watch_count == MAX_WATCHES) { printf("error too many\n"); return; }
  if (offset % 8 != 0) { printf("error not aligned\n"); return; }
  if (!inside(offset, 8)) return;
  watches[watch_count].offset = offset;
  watches[watch_count++].last = load(offset);
  printf("watching\n");
}

static void protect(size_t offset, size_t length, const char *how) {
  if (!inside(offset, length)) return;
  int mode = strcmp(how, "none") == 0 ? PROT_NONE : PROT_READ;
  if (strcmp(how, "rw") == 0) mode |= PROT_WRITE;
  if (strcmp(how, "rx") == 0) mode |= PROT_EXEC;
  if (mprotect(base + offset, length, mode) < 0) printf("error mprotect: %s\n", strerror(errno));
  else printf("protected\n");
}

static void obey(char *line) {
  char command[16] = "", text[8200] = "";
  size_t offset = 0, length = 0;
  sscanf(line, "%15s %zi %zi", command, &offset, &length);
  if (strcmp(command, "sum") == 0) sum();
  else if (strcmp(command, "fill") == 0) { seed = (uint32_t)offset; fill(); printf("filled\n"); }
  else if (strcmp(command, "peek") == 0) peek(offset, length);
  else if (strcmp(command, "poke") == 0 && sscanf(line, "%*s %*s %8199s", text) == 1) poke(offset, text);
  else if (strcmp(command, "watch") == 0) watch(offset);
  else if (strcmp(command, "unwatch") == 0) { watch_count = 0; printf("unwatched\n"); }
  else if (strcmp(command, "protect") == 0 && sscanf(line, "%*s %*s %*s %15s", text) == 1) protect(offset, length, text);
  else if (strcmp(command, "unmap") == 0) {
    if (inside(offset, length) && munmap(base + offset, length) == 0) printf("unmapped\n");
  } else if (strcmp(command, "quit") == 0) exit(0);
  else printf("error unknown: %s\n", command);
}

int main(int count, char **arguments) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (count < 3) { printf("usage: pattern MIB SEED [small|thp|2M|1G|gap|FILE]\n"); return 2; }
  bytes = (size_t)strtoul(arguments[1], NULL, 0) << 20;
  seed = (uint32_t)strtoul(arguments[2], NULL, 0);
  map(count > 3 ? arguments[3] : "small");
  fill();
  printf("ready %d 0x%llx %zu\n", getpid(), (unsigned long long)(uintptr_t)base, bytes);
  static char line[16384];
  size_t held = 0;
  for (;;) {
    struct pollfd input = {.fd = 0, .events = POLLIN};
    int ready = poll(&input, 1, watch_count > 0 ? 1 : -1);
    look();
    if (ready <= 0) continue;
    ssize_t n = read(0, line + held, sizeof line - 1 - held);
    if (n <= 0) return 0;
    held += (size_t)n;
    for (char *end; (end = memchr(line, '\n', held)) != NULL;) {
      *end = '\0';
      obey(line);
      held -= (size_t)(end + 1 - line);
      memmove(line, end + 1, held);
    }
    if (held == sizeof line - 1) held = 0; /* a line without end: no command of ours */
  }
}
