#!/usr/bin/env bash
# add_client with protocol vnc succeeds on a QEMU that runs no VNC server, and keeps the socket open for
# ever.
#
# Expected: an error, as add_client gives for spice without -spice.
# Found: it returns {}. Nobody ever speaks on the socket, and it is never closed: who waits for "RFB
#   003.008" waits for good. Each call leaves one more descriptor in QEMU, which no command closes any more:
#   closefd does not know it.
# Versions: QEMU 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3). Seen 2026-11-29.
# Seen: vnc: {}, spice: {'error': 'SPICE is not in use'}, closefd: {'error': "File descriptor named 'v9' not
#   found"}
#   the server said nothing in 3 s; QEMU has 10 more sockets after 10 calls, all still open
# Matters to: whoever opens a VM's display by descriptor (libvirt's open-graphics-fd does as much) and takes
#   success for a connection.
# Instead: ask query-vnc first (enabled), and give the greeting a limit.
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

qemu-system-x86_64 -nodefaults -machine pc -accel tcg -m 64 -vga std -display none -S \
  -qmp "unix:$T/qmp,server=on,wait=off" &
PIDS+=($!)
timeout 90 python3 - "$T" "${PIDS[0]}" <<'PY' || changed "add_client without a VNC server does something else now"
import sys; sys.path.insert(0, sys.argv[1])
from client import *
T, pid = sys.argv[1], sys.argv[2]; q = Qmp(T + "/qmp")
def sockets(): return sum(os.readlink(f"/proc/{pid}/fd/{n}").startswith("socket:") for n in os.listdir(f"/proc/{pid}/fd"))
def give(protocol, name):
    ours, theirs = socket.socketpair()
    assert q("getfd", fds=[theirs.fileno()], fdname=name) == {}; theirs.close()
    return ours, q("add_client", protocol=protocol, fdname=name, skipauth=True)
before = sockets(); given = [give("vnc", f"v{i}") for i in range(10)]; after = sockets()
other = give("spice", "s")[1]; close = q("closefd", fdname="v9")
print(f"vnc: {given[0][1]}, spice: {other}, closefd: {close}")
ours = given[0][0]; ours.settimeout(3)
try: said = ours.recv(12)
except TimeoutError: said = None
still = 0
for s, _ in given:
    s.setblocking(False)
    try: s.recv(1)
    except BlockingIOError: still += 1
print(f"the server said {'nothing in 3 s' if said is None else said}; QEMU has {after - before} more sockets after 10 calls, {'all' if still == 10 else still} still open")
sys.exit(0 if all(r == {} for _, r in given) and "error" in other and "error" in close and said is None and still == 10 and after - before == 10 else 1)
PY
echo "as found"
