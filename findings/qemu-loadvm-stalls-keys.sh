#!/usr/bin/env bash
# After loadvm QEMU's keyboard stands still for as long as the VM had run since the snapshot, if one send-key
# was under way.
#
# Expected: going back to a snapshot gives up keys that wait to be sent, or sends them; what is typed after it
#   arrives at once.
# Found: the queue behind send-key and VNC keys is timed by the VM's clock, which the snapshot sets back, and
#   is itself no part of the snapshot. A key that is down at the load is released in the restored guest only
#   when the clock has come to where it was, and every later send-key waits behind it, with success (VNC keys
#   use the same queue). input-send-event is not held up.
# Versions: QEMU 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3). Seen 2026-11-28.
# Seen: 20 s after the snapshot, loaded with no key under way: a comes, and goes after 0 s
#   loaded while x was down for 1 s; 8 s later: x released False, y pressed False, z by input-send-event
#     pressed True
#   x released and y pressed after 22 s
# Matters to: test runners that type, give up and go back to a snapshot of an hour ago: a key hangs in the
#   restored guest and the next keys come an hour later.
# Instead: before loading wait until the last key's hold time is over, or type by input-send-event alone.
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

command -v qemu-img >/dev/null || skip "no qemu-img (Debian: qemu-utils)"
qemu-img create -q -f qcow2 "$T/d.qcow2" 16M
qemu-system-x86_64 -nodefaults -machine pc -accel tcg -m 64 -display none -drive "file=$T/d.qcow2,if=none,id=d" -device virtio-blk-pci,drive=d \
  -trace input_event_key_qcode -D "$T/log" \
  -qmp "unix:$T/qmp,server=on,wait=off" &
PIDS+=($!)
timeout 90 python3 - "$T" "${PIDS[*]:-}" <<'PY' || changed "keys after loadvm are no longer held up"
import sys; sys.path.insert(0, sys.argv[1])
from client import *
import re
T = sys.argv[1]; q = Qmp(T + "/qmp")
def key(name, hold): assert q("send-key", keys=[{"type": "qcode", "data": name}], hold_time=hold) == {}
def seen(name, down): return bool(re.search(rf"key qcode {name}, down {down}", open(T + "/log").read()))
def until(name, down):
    t = time.monotonic()
    while not seen(name, down):
        if time.monotonic() - t > 60: sys.exit(f"{name}, down {down} never came")
        time.sleep(0.1)
    return time.monotonic() - t
assert q.hmp("savevm one").strip() == ""; time.sleep(20)
assert q.hmp("loadvm one").strip() == ""; key("a", 50); a = until("a", 0)
print(f"20 s after the snapshot, loaded with no key under way: a comes, and goes after {a:.0f} s")
time.sleep(max(0, 20 - a)); key("x", 1000); until("x", 1); assert q.hmp("loadvm one").strip() == ""
t = time.monotonic(); key("y", 50)
q("input-send-event", events=[{"type": "key", "data": {"down": True, "key": {"type": "qcode", "data": "z"}}}]); until("z", 1)
time.sleep(8); early = seen("x", 0) or seen("y", 1)
print(f"loaded while x was down for 1 s; 8 s later: x released {seen('x', 0)}, y pressed {seen('y', 1)}, z by input-send-event pressed {seen('z', 1)}")
until("x", 0); until("y", 1); print(f"x released and y pressed after {time.monotonic() - t:.0f} s")
sys.exit(0 if a < 12 and not early else 1)
PY
echo "as found"
