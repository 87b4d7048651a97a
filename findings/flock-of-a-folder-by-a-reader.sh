#!/usr/bin/env bash
# Whoever may read a folder may take the exclusive flock on it, and keep its owner out.
#
# Expected: an exclusive lock needs the right to write, as fcntl's write locks do (a descriptor opened for
#   writing).
# Found: flock(LOCK_EX) works through a read-only descriptor, and a folder can only be opened read-only, so
#   locks on folders are always of this kind: another user who can do no more than list a folder of mode 0755
#   takes the lock, and its owner gets EWOULDBLOCK. fcntl's F_WRLCK on a 0644 file by the same user fails with
#   EBADF, as expected. The same goes for flock on a world-readable file.
# Versions: Linux 6.18 (ext4), CPython's fcntl. Seen 2026-11-28.
# Seen: as another user: flock exclusive on the folder True, write a file in it False, fcntl write lock on a
#   0644 file False
#   its owner meanwhile: EWOULDBLOCK
# Matters to: daemons that lock their runtime folder (sockets, dumps, shared memory) to be the only one: any
#   local user stops them from starting.
# Instead: lock a file of mode 0600 inside the folder, or make the folder 0700 / 0750; and say in the error
#   who holds it (/proc/locks).
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

[ "$(id -u)" = 0 ] || skip "only root can act as another user here"
command -v python3 >/dev/null || skip "no python3"
chmod 755 "$T"; mkdir -m 755 "$T/run"; : >"$T/run/file"; chmod 644 "$T/run/file"
timeout 60 python3 - "$T/run" <<'PY' || changed "another user's lock is refused"
import errno, fcntl, os, sys
d = sys.argv[1]; up, down = os.pipe(), os.pipe()
def tries(f):
    try: f(); return True
    except OSError: return False
pid = os.fork()
if pid == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
    os.close(up[0]); os.close(down[1])
    folder = os.open(d, os.O_RDONLY)
    a = tries(lambda: fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB))
    b = tries(lambda: os.open(d + "/new", os.O_CREAT | os.O_WRONLY))
    c = tries(lambda: fcntl.lockf(os.open(d + "/file", os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB))
    os.write(up[1], bytes([a, b, c])); os.read(down[0], 1); os._exit(0)
a, b, c = (bool(x) for x in os.read(up[0], 3))
try: fcntl.flock(os.open(d, os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB); mine = "lock taken"
except OSError as e: mine = errno.errorcode[e.errno].replace("EAGAIN", "EWOULDBLOCK")
os.write(down[1], b"x"); os.waitpid(pid, 0)
print(f"as another user: flock exclusive on the folder {a}, write a file in it {b}, fcntl write lock on a 0644 file {c}")
print("its owner meanwhile:", mine)
sys.exit(0 if (a, b, c, mine) == (True, False, False, "EWOULDBLOCK") else 1)
PY
echo "as found, on Linux $(uname -r | cut -d. -f1-2)"
