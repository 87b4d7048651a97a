#!/usr/bin/env bash
# Whoever only reads a VM's RAM through a mapping of its memfd makes the host keep all of it, for as long as
# QEMU lives.
#
# Expected: a page of guest RAM that the guest never touched costs nothing, and a read-only look at it costs
#   nothing either: for anonymous memory the kernel shows its one page of zeros.
# Found: a memfd is a file of tmpfs. A read of a hole through a mapping, shared or private, read-only or not,
#   allocates a page in the file, and so does process_vm_readv, which reads through the mapping of QEMU. The
#   page stays when the reader has gone, since the file is QEMU's. A pread of the same hole allocates nothing.
# Versions: QEMU 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3), Linux 6.18. Seen 2026-11-29.
# Seen: pread: 0 MiB of 256 before, 0 MiB after the reader has gone
#   shared: 0 MiB of 256 before, 256 MiB after the reader has gone
#   private: 0 MiB of 256 before, 256 MiB after the reader has gone
#   process_vm_readv: 0 MiB of 256 before, 256 MiB after the reader has gone
# Matters to: scanners of guest memory on a host that promises its VMs more RAM than it has: one look at each
#   VM fills it.
# Instead: ask first which pages there are (lseek with SEEK_DATA and SEEK_HOLE on the memfd) and read only
#   those, or read with pread.
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

if ! command -v qemu-system-x86_64 >/dev/null; then
  [ "$(id -u)" = 0 ] || skip "no qemu-system-x86_64, and only root can install it"
  timeout 60 apt-get install -y -q --no-install-recommends qemu-system-x86=1:7.2+dfsg-7+deb12u18+b3 seabios >/dev/null 2>&1 ||
    skip "qemu-system-x86 1:7.2+dfsg-7+deb12u18+b3 cannot be had from apt here"
fi
command -v python3 >/dev/null || skip "no python3"
qemu-system-x86_64 --version | head -n 1
uname -r

cat >"$T/look.py" <<'PY'
import ctypes, mmap, os, sys
how, pid = sys.argv[1], int(sys.argv[2])
path = next(f"/proc/{pid}/fd/{n}" for n in os.listdir(f"/proc/{pid}/fd")
            if os.readlink(f"/proc/{pid}/fd/{n}").startswith("/memfd:"))
fd = os.open(path, os.O_RDONLY)
size = os.fstat(fd).st_size
PAGE = mmap.PAGESIZE
if how == "pread":
    for at in range(0, size, PAGE): os.pread(fd, 1, at)
elif how in ("shared", "private"):
    flags = mmap.MAP_SHARED if how == "shared" else mmap.MAP_PRIVATE
    view = mmap.mmap(fd, size, flags=flags, prot=mmap.PROT_READ)
    for at in range(0, size, PAGE): view[at]
elif how == "process_vm_readv":
    line = next(l for l in open(f"/proc/{pid}/maps") if "/memfd:" in l and int(l.split("-")[1].split()[0], 16) - int(l.split("-")[0], 16) == size)
    start = int(line.split("-")[0], 16)
    class Iov(ctypes.Structure): _fields_ = [("base", ctypes.c_void_p), ("len", ctypes.c_size_t)]
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(1)
    for at in range(0, size, PAGE):
        local, remote = Iov(ctypes.addressof(buffer), 1), Iov(start + at, 1)
        n = libc.process_vm_readv(pid, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0)
        if n != 1: sys.exit(f"process_vm_readv: {os.strerror(ctypes.get_errno())}")
PY
cat >"$T/held.py" <<'PY'
import os, sys
pid = int(sys.argv[1])
for n in os.listdir(f"/proc/{pid}/fd"):
    path = f"/proc/{pid}/fd/{n}"
    if os.readlink(path).startswith("/memfd:"): print(os.stat(path).st_blocks // 2048)
PY

declare -A AFTER
for how in pread shared private process_vm_readv; do
  qemu-system-x86_64 -nodefaults -machine pc,memory-backend=ram -accel tcg -m 256 -display none -S \
    -object memory-backend-memfd,id=ram,size=256M,share=on 2>/dev/null &
  QEMU=$!
  PIDS+=("$QEMU")
  for _ in $(seq 200); do
    before=$(python3 "$T/held.py" "$QEMU" 2>/dev/null || true)
    [ -n "$before" ] && break
    sleep 0.05
  done
  [ -n "$before" ] || skip "QEMU has no memfd"
  sleep 1
  before=$(python3 "$T/held.py" "$QEMU")
  timeout 60 python3 "$T/look.py" "$how" "$QEMU" || skip "no look at QEMU's memory by $how"
  AFTER[$how]=$(python3 "$T/held.py" "$QEMU")
  echo "$how: $before MiB of 256 before, ${AFTER[$how]} MiB after the reader has gone"
  kill "$QEMU"; wait "$QEMU" 2>/dev/null || true
done
[ "${AFTER[pread]}" -lt 64 ] || changed "pread fills the holes, too"
[ "${AFTER[shared]}" = 256 ] && [ "${AFTER[private]}" = 256 ] &&
  [ "${AFTER[process_vm_readv]}" = 256 ] || changed "a read through a mapping no longer fills the holes"
