#!/usr/bin/env bash
# A file made with O_TMPFILE and published with linkat is never named by IN_CLOSE_WRITE; events name a file
# that is not there.
#
# Expected: the safe way to publish (write unnamed, then link) shows up in a watched folder as one event at
#   the end, under the file's name; before the link nobody can see the file.
# Found: the watcher is told at once, by IN_OPEN and IN_MODIFY of "#INODE", a name that does not exist. linkat
#   gives IN_CREATE of the real name. The writer's later writes and its close are still told as "#INODE", so a
#   watcher for IN_CLOSE_WRITE or IN_MOVED_TO (the usual advice) never hears of the file, and one for
#   IN_CREATE may find it still being written.
# Versions: Linux 6.18 (ext4), CPython's os and ctypes only. Seen 2026-11-28.
# Seen: open: OPEN #N; write: MODIFY #N; linkat: CREATE ram0.bin; write: MODIFY #N; close: CLOSE_WRITE #N
# Matters to: daemons that watch a folder for descriptions or dumps of VMs which other programs publish
#   atomically.
# Instead: treat IN_CREATE, IN_CLOSE_WRITE and IN_MOVED_TO alike as "look at the folder again", ignore the
#   name in the event, and check the content's own end mark or length.
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
echo "Linux $(uname -r | cut -d. -f1-2), file system $(stat -f -c %T "$T")"
timeout 60 python3 - "$T" <<'PY' || { rc=$?; [ $rc = 77 ] && skip "this file system has no O_TMPFILE"; changed "the events have other names"; }
import ctypes, os, re, select, struct, sys
d = sys.argv[1]; libc = ctypes.CDLL(None, use_errno=True)
names = {0x2: "MODIFY", 0x8: "CLOSE_WRITE", 0x20: "OPEN", 0x80: "MOVED_TO", 0x100: "CREATE"}
i = libc.inotify_init1(0)
libc.inotify_add_watch(i, d.encode(), sum(names))
log = []
def note(step):
    while select.select([i], [], [], 0.2)[0]:
        b = os.read(i, 65536); o = 0
        while o < len(b):
            _, mask, _, n = struct.unpack_from("iIII", b, o)
            name = re.sub(r"^#\d+$", "#N", b[o + 16:o + 16 + n].rstrip(b"\0").decode())
            log.append(f"{step}: {names[mask]} {name}"); o += 16 + n
try: f = os.open(d, os.O_TMPFILE | os.O_WRONLY, 0o600)
except OSError: sys.exit(77)
note("open")
os.write(f, b"a"); note("write")
if libc.linkat(-100, b"/proc/self/fd/%d" % f, -100, (d + "/ram0.bin").encode(), 0x400): sys.exit(77)
note("linkat")
os.write(f, b"b"); note("write")
os.close(f); note("close")
print("; ".join(log))
sys.exit(0 if log == ["open: OPEN #N", "write: MODIFY #N", "linkat: CREATE ram0.bin", "write: MODIFY #N", "close: CLOSE_WRITE #N"] else 1)
PY
echo "as found"
