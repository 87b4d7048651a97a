#!/usr/bin/env bash
# remove-fd on a paused VM says success and does nothing, and a getfd descriptor is inherited by the monitor's
# next client.
#
# Expected: remove-fd closes the descriptor; when the client that sent descriptors leaves, QEMU closes what
#   nobody uses.
# Found: (1) QEMU cleans its fdsets only while the VM runs. On a paused one remove-fd returns {}, the set is
#   still listed and the descriptor stays open; cont does not make up for it. (2) add-fd descriptors go with
#   the last monitor client while the VM runs, and stay while it is paused. (3) getfd descriptors never go:
#   whoever connects next to that monitor may use or close them by name.
# Versions: QEMU 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3). Seen 2026-11-28.
# Seen: paused: remove-fd {} -> still listed, open 1; after cont: open 1; removed again: open 0
#   client left, VM paused: open 2, set kept True, getfd kept True
#   client left, VM running: open 1, set kept False, getfd kept True
# Matters to: tools that pause a VM to take a picture or a dump into a memfd: each one leaks a file (and its
#   memory) into QEMU, and a name like "x" left by a dead client is taken up silently by the next.
# Instead: use a fresh name each time, closefd after use and at the start of a connection, do remove-fd while
#   the VM runs, and read query-fdsets after it: the reply does not tell.
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

cat >"$T/client.py" <<'PY'
import json, os, socket, sys, time
class Qmp:
    def __init__(self, path):
        for _ in range(200):
            try:
                self.s = socket.socket(socket.AF_UNIX); self.s.settimeout(60); self.s.connect(path); break
            except OSError: time.sleep(0.05)
        self.f = self.s.makefile("rb"); self.events = []
        self.f.readline(); self("qmp_capabilities")
    def send(self, data, fds=()):
        socket.send_fds(self.s, [data], list(fds))
        while True:
            line = self.f.readline()
            if not line: raise EOFError("monitor closed")
            if not line.startswith(b'{"timestamp"'): return line
            self.events.append(json.loads(line))
    def __call__(self, execute, fds=(), **args):
        args = {k.replace("_", "-"): v for k, v in args.items()}
        r = json.loads(self.send(json.dumps({"execute": execute, "arguments": args}).encode(), fds))
        return r["return"] if "return" in r else {"error": r["error"]["desc"]}
    def hmp(self, line): return self("human-monitor-command", command_line=line)
    def close(self): self.f.close(); self.s.close()
PY

qemu-system-x86_64 -nodefaults -machine pc -accel tcg -m 64 -display none -S -qmp "unix:$T/qmp,server=on,wait=off" &
PIDS+=($!)
timeout 60 python3 - "$T" "$!" <<'PY' || changed "QEMU's descriptors live for another time"
import sys; sys.path.insert(0, sys.argv[1])
from client import *
T, pid = sys.argv[1], sys.argv[2]; q = Qmp(T + "/qmp")
fd = os.memfd_create("probe")
def held(): return sum("memfd:probe" in os.readlink(f"/proc/{pid}/fd/{n}") for n in os.listdir(f"/proc/{pid}/fd"))
q("add-fd", [fd], fdset_id=5)
r = q("remove-fd", fdset_id=5); listed = len(q("query-fdsets")); a = held()
q("cont"); b = held(); q("remove-fd", fdset_id=5); c = held()
print(f"paused: remove-fd {r} -> listed {listed}, open {a}; after cont: open {b}; removed again: open {c}")
ok = (r, listed, a, b, c) == ({}, 1, 1, 1, 0)
for state, keeps in (("stop", True), ("cont", False)):
    q(state); q("add-fd", [fd], fdset_id=6); q("getfd", [fd], fdname="x"); q.close(); time.sleep(0.5)
    n = held(); q = Qmp(T + "/qmp")
    kept = len(q("query-fdsets")) == 1; got = q("closefd", fdname="x") == {}
    print(f"client left, VM {'paused' if state == 'stop' else 'running'}: open {n}, set kept {kept}, getfd kept {got}")
    ok = ok and kept == keeps and got
sys.exit(0 if ok else 1)
PY
echo "as found"
