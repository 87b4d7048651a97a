/*
 * The floor of the memory benches: the same walk, the same batch and the same virtual read as src/guest does,
 * written in C over the same mapped RAM. RAM is one mapping: `low` bytes from GPA 0, the rest from GPA 4 GiB.
 *
 * Built on demand by tests/bench/mem_floor.ts:  cc -std=gnu11 -O2 -fPIC -shared
 */
#include <stdint.h>
#include <string.h>

struct ram {
  const uint8_t *base;
  uint64_t low, size;
};

#define FRAME 0x000ffffffffff000ull
#define BAD (~0ull)

/* Offset of a physical address in the mapping, or BAD. */
static inline uint64_t at(const struct ram *ram, uint64_t gpa) {
  if (gpa < ram->low) return gpa;
  uint64_t high = gpa - (4ull << 30);
  return gpa >= (4ull << 30) && high < ram->size - ram->low ? ram->low + high : BAD;
}

static inline uint64_t load(const struct ram *ram, uint64_t gpa) {
  uint64_t offset = at(ram, gpa), value;
  if (offset == BAD) return 0;
  memcpy(&value, ram->base + offset, 8);
  return value;
}

/*
 * One walk from the root without any cache; all levels' permissions and the reserved bits looked at, as ours
 * does. Not inlined: one translation is one call, as a library gives it.
 */
static __attribute__((noinline)) uint64_t walk(const struct ram *ram, uint64_t root, int levels, uint64_t va, uint64_t *allow) {
  int64_t sign = (int64_t)va >> (levels == 5 ? 56 : 47);
  if (sign != 0 && sign != -1) return BAD;
  uint64_t table = root, bits = ~0ull;
  for (int level = levels - 1; level >= 0; level--) {
    int shift = 12 + 9 * level;
    uint64_t entry = load(ram, table + 8 * (va >> shift & 511));
    if (!(entry & 1)) return BAD;
    bits &= entry;
    if (level == 0 || entry & 0x80) {
      uint64_t low = (1ull << shift) - 1;
      if (level > 2 || (level && entry & FRAME & low & ~0x1fffull)) return BAD;
      *allow = bits;
      return (entry & FRAME & ~low) | (va & low);
    }
    table = entry & FRAME;
  }
  return BAD;
}

/* The sum of n translations. */
uint64_t floor_translate(const uint8_t *base, uint64_t low, uint64_t size, uint64_t root, int levels,
                         const double *addresses, uint32_t n) {
  struct ram ram = {base, low, size};
  uint64_t sum = 0, allow = 0;
  for (uint32_t i = 0; i < n; i++) sum += walk(&ram, root, levels, (uint64_t)(int64_t)addresses[i], &allow);
  return sum + (allow & 1);
}

/* The sum of n translations, each of which waits for the one before: `zero` is 0, which the compiler
 * cannot know. */
uint64_t floor_translate_chain(const uint8_t *base, uint64_t low, uint64_t size, uint64_t root, int levels,
                               const double *addresses, uint32_t n, uint32_t zero) {
  struct ram ram = {base, low, size};
  uint64_t sum = 0, allow = 0;
  for (uint32_t i = 0, at = 0; i < n; i++) {
    uint64_t gpa = walk(&ram, root, levels, (uint64_t)(int64_t)addresses[at], &allow);
    sum += gpa;
    at = (at + 1 + (uint32_t)(gpa & zero)) & (n - 1);
  }
  return sum + (allow & 1);
}

/* n eight-byte reads, each with a whole walk. */
uint64_t floor_scatter_plain(const uint8_t *base, uint64_t low, uint64_t size, uint64_t root, int levels,
                             const double *addresses, uint32_t n, uint64_t *values) {
  struct ram ram = {base, low, size};
  uint64_t count = 0, allow;
  for (uint32_t i = 0; i < n; i++) {
    uint64_t gpa = walk(&ram, root, levels, (uint64_t)(int64_t)addresses[i], &allow);
    if (gpa == BAD) continue;
    values[i] = load(&ram, gpa);
    count++;
  }
  return count;
}

/* The same with shared tables read once: a direct-mapped cache of last-level tables, two passes. */
uint64_t floor_scatter(const uint8_t *base, uint64_t low, uint64_t size, uint64_t root, int levels,
                       const double *addresses, uint32_t n, uint64_t *values, uint64_t *physical) {
  enum { SLOTS = 4096 };
  static uint64_t tags[SLOTS], tables[SLOTS];
  struct ram ram = {base, low, size};
  memset(tags, 0xff, sizeof tags);
  for (uint32_t i = 0; i < n; i++) {
    uint64_t va = (uint64_t)(int64_t)addresses[i], tag = va >> 21, slot = (tag ^ tag >> 12) & (SLOTS - 1), allow;
    if (tags[slot] == tag) {
      uint64_t entry = load(&ram, tables[slot] + 8 * (va >> 12 & 511));
      physical[i] = entry & 1 ? (entry & FRAME) | (va & 4095) : BAD;
      continue;
    }
    uint64_t table = root;
    int level = levels - 1;
    for (; level > 0; level--) {
      uint64_t entry = load(&ram, table + 8 * (va >> (12 + 9 * level) & 511));
      if (!(entry & 1) || entry & 0x80) break;
      table = entry & FRAME;
    }
    if (level == 0) {
      tags[slot] = tag;
      tables[slot] = table;
    }
    physical[i] = walk(&ram, root, levels, va, &allow);
  }
  uint64_t count = 0;
  for (uint32_t i = 0; i < n; i++) {
    if (physical[i] == BAD) continue;
    values[i] = load(&ram, physical[i]);
    count++;
  }
  return count;
}

/* `rounds` virtual reads of `bytes` each, `stride` apart: the walk of each page and a memcpy. */
uint64_t floor_read(const uint8_t *base, uint64_t low, uint64_t size, uint64_t root, int levels, uint64_t va,
                    uint32_t bytes, uint64_t stride, uint32_t wrap, uint32_t rounds, uint8_t *into) {
  struct ram ram = {base, low, size};
  uint64_t done = 0, allow;
  for (uint32_t r = 0; r < rounds; r++) {
    uint64_t from = va + (uint64_t)(r % wrap) * stride;
    for (uint32_t have = 0; have < bytes;) {
      uint64_t gpa = walk(&ram, root, levels, from + have, &allow);
      uint32_t n = 4096 - ((from + have) & 4095);
      if (n > bytes - have) n = bytes - have;
      uint64_t offset = gpa == BAD ? BAD : at(&ram, gpa);
      if (offset == BAD) return done;
      memcpy(into + have, ram.base + offset, n);
      have += n;
      done += n;
    }
  }
  return done;
}

/* memcpy alone, of the same size, from sources as far apart: what 64 KiB reads are held against. */
uint64_t floor_memcpy(const uint8_t *from, uint32_t bytes, uint64_t stride, uint32_t wrap, uint32_t rounds, uint8_t *into) {
  for (uint32_t r = 0; r < rounds; r++) memcpy(into, from + (uint64_t)(r % wrap) * stride, bytes);
  return (uint64_t)bytes * rounds + into[0] - into[0];
}
