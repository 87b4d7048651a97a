#!/usr/bin/env bash
# A userfaultfd handler of shared memory never hears of a page that another process has only looked at.
#
# Expected: after UFFDIO_REGISTER with mode MISSING the handler is asked for each page when the program
#   first touches it, and gives its content; a reader in another process, who wrote nothing, makes no
#   difference.
# Found: for a memfd "missing" means that the FILE has no page there. A read of the hole through any other
#   mapping, shared or private and read-only, puts a page of zeros into the file. From then on the program
#   reads zeros, the handler is not asked, and its UFFDIO_COPY of the true content fails with EEXIST. A
#   pread of the hole does no harm.
# Versions: Linux 6.18, CPython's ctypes and mmap. Seen 2026-11-29.
# Seen: nobody looked: handler asked True, copy done, the program reads b'M'
#   looked at by pread: handler asked True, copy done, the program reads b'M'
#   looked at through a shared mapping: handler asked False, copy EEXIST, the program reads b'\x00'
#   looked at through a private mapping: handler asked False, copy EEXIST, the program reads b'\x00'
# Matters to: restores of VMs by userfaultfd (postcopy, lazily loaded snapshots) whose RAM is a memfd that a
#   scanner or a display client maps: the look replaces the guest's memory by zeros, and the guest runs on.
# Instead: do not read such RAM through a mapping before it is all there; find the pages by SEEK_DATA and
#   SEEK_HOLE, or read with pread. In a handler, take EEXIST for a loss and not for "done already".
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

[ "$(uname -m)" = x86_64 ] || skip "the system call's number below is x86-64's"
command -v python3 >/dev/null || skip "no python3"
uname -r
timeout 60 python3 - <<'PY' || { [ "$?" = 77 ] && skip "userfaultfd is not allowed here"; changed "the handler is asked, or the look leaves no page"; }
import ctypes, errno, fcntl, mmap, os, select, struct, sys, threading
libc = ctypes.CDLL(None, use_errno=True); P = 4096
libc.mmap.restype = ctypes.c_void_p; libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.memcpy.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
uffd = libc.syscall(323, os.O_CLOEXEC | os.O_NONBLOCK)      # userfaultfd
if uffd < 0: sys.exit(77)
def ioctl(number, layout, *values): fcntl.ioctl(uffd, number, bytearray(struct.pack(layout, *values)))
ioctl(0xc018aa3f, "QQQ", 0xaa, 1 << 5, 0)                   # UFFDIO_API with the feature MISSING_SHMEM
ram = os.memfd_create("ram"); os.ftruncate(ram, 4 * P); base = libc.mmap(None, 4 * P, 3, mmap.MAP_SHARED, ram, 0)
ioctl(0xc020aa00, "QQQQ", base, 4 * P, 1, 0)                # UFFDIO_REGISTER, MISSING
ways = ["nobody looked", "looked at by pread", "looked at through a shared mapping", "looked at through a private mapping"]
if (pid := os.fork()) == 0:
    os.pread(ram, 8, P)
    for page, kind in ((2, mmap.MAP_SHARED), (3, mmap.MAP_PRIVATE)): mmap.mmap(ram, 4 * P, kind, mmap.PROT_READ)[page * P]
    os._exit(0)
os.waitpid(pid, 0)
source = libc.mmap(None, P, 3, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0); ctypes.memset(source, ord("M"), P)
found = []
for n, way in enumerate(ways):
    got = ctypes.create_string_buffer(1)
    t = threading.Thread(target=libc.memcpy, args=(ctypes.addressof(got), base + n * P, 1), daemon=True); t.start()
    while t.is_alive() and not select.select([uffd], [], [], 0.2)[0]: pass
    asked = bool(select.select([uffd], [], [], 0)[0])
    if asked: os.read(uffd, 32)
    try: ioctl(0xc028aa03, "QQQQq", base + n * P, source, P, 0, 0); copy = "done"
    except OSError as e: copy = errno.errorcode[e.errno]
    t.join(); found.append((asked, copy, got.raw)); print(f"{way}: handler asked {asked}, copy {copy}, the program reads {got.raw}")
sys.exit(0 if found == [(True, "done", b"M")] * 2 + [(False, "EEXIST", b"\0")] * 2 else 1)
PY
echo "as found"
