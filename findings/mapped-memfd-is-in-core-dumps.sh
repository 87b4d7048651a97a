#!/usr/bin/env bash
# A program that maps a VM's memory from a memfd writes all of it into its core dump; from a file in /dev/shm
# it writes none.
#
# Expected: guest RAM mapped read-only and shared is file memory like any other, and the default
#   coredump_filter (0x33) leaves shared file mappings out.
# Found: the kernel takes a shared mapping whose file has no name left for anonymous memory (a memfd never has
#   one), and anonymous shared memory is dumped by default. The same bytes in a named file are not. QEMU may
#   exempt its own mapping (-machine dump-guest-core=off), but that does not travel with the descriptor: every
#   process that was handed the memfd has to ask for itself.
# Versions: Linux 6.18, CPython's mmap. Seen 2026-11-28.
# Seen: memfd: core holds the mapping True; named file in /dev/shm: core holds the mapping False;
#   memfd with MADV_DONTDUMP: core holds the mapping False
# Matters to: introspection and display clients on shared guest RAM: a crash of a small tool puts gigabytes of
#   a guest's secrets on the host's disk.
# Instead: madvise(MADV_DONTDUMP) right after each mmap of guest memory, or clear bit 1 of
#   /proc/self/coredump_filter.
set -euo pipefail
skip() { echo "SKIP: $1"; exit 77; }
changed() { if [ "$?" = 124 ]; then skip "took too long here"; fi; echo "CHANGED: $1"; exit 1; }
T=$(mktemp -d)
PIDS=()
cleanup() {
  for p in "${PIDS[@]:-}"; do
    if [ -n "$p" ]; then kill "$p" 2>/dev/null || true; wait "$p" 2>/dev/null || true; fi
  done
  rm -rf "$T"
}
trap cleanup EXIT

command -v python3 >/dev/null || skip "no python3"
[ "$(cat /proc/sys/kernel/core_pattern)" = core ] || skip "core dumps do not go to a plain file here"
[ "$(ulimit -Hc)" = unlimited ] || skip "core dumps are limited here"
[ -d /dev/shm ] || skip "no /dev/shm"
echo "Linux $(uname -r | cut -d. -f1-2), coredump_filter $(cat /proc/self/coredump_filter)"
timeout 60 python3 - "$T" <<'PY' || { rc=$?; [ $rc = 77 ] && skip "no core file was written"; changed "other mappings are dumped now"; }
import mmap, os, resource, sys, tempfile
T, size, seen = sys.argv[1], 64 << 20, {}
for kind in ("memfd", "named file in /dev/shm", "memfd with MADV_DONTDUMP"):
    d = tempfile.mkdtemp(dir=T); named = None
    if kind.startswith("memfd"): fd = os.memfd_create("ram")
    else: fd, named = tempfile.mkstemp(dir="/dev/shm")
    try:
        for _ in range(64): os.write(fd, b"g" * (1 << 20))
        pid = os.fork()
        if pid == 0:
            os.chdir(d); resource.setrlimit(resource.RLIMIT_CORE, (-1, -1))
            open("/proc/self/coredump_filter", "w").write("0x33")
            m = mmap.mmap(fd, size, prot=mmap.PROT_READ)
            if "DONTDUMP" in kind: m.madvise(mmap.MADV_DONTDUMP)
            os.abort()
        os.waitpid(pid, 0)
    finally:
        os.close(fd)
        if named: os.unlink(named)
    core = [f for f in os.listdir(d) if f.startswith("core")]
    if not core: sys.exit(77)
    path = d + "/" + core[0]; seen[kind] = os.path.getsize(path) >= size; os.unlink(path)
print("; ".join(f"{k}: core holds the mapping {v}" for k, v in seen.items()))
sys.exit(0 if list(seen.values()) == [True, False, False] else 1)
PY
echo "as found"
