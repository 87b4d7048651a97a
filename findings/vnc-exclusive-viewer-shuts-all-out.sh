#!/usr/bin/env bash
# While one viewer of QEMU's VNC server has an exclusive session, every other one passes authentication and is
# closed without a byte; the viewers before it ended in the same way.
#
# Expected: who is refused or ended is told why: the server's SecurityResult of RFB 3.8 carries a reason.
# Found: with QEMU's default (share=allow-exclusive) a viewer with the shared-flag 0, which is TigerVNC's
#   default, closes the connections of all others. Whoever comes later to share gets "authentication
#   succeeded", sends its ClientInit, and is closed there; SecurityResult has gone by then. QMP tells
#   VNC_DISCONNECTED, as when one leaves.
# Versions: QEMU 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3). Seen 2026-11-29.
# Seen: two that share: in, in; exclusive: in; the first two: closed, closed
#   while it stays: shares: closed without a byte; after it: shares: in
# Matters to: recorders, watchers and noVNC proxies beside a person's viewer: they lose the screen as by a
#   crash and, reconnecting in a loop, never learn that somebody wants to be alone.
# Instead: start QEMU with share=force-shared (exclusive ones are refused) or share=ignore; and read a close
#   right behind ClientInit as "taken", with a pause, not as an error of the network.
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
  -vnc "unix:$T/vnc" -qmp "unix:$T/qmp,server=on,wait=off" &
PIDS+=($!)
timeout 90 python3 - "$T" <<'PY' || changed "viewers are let in and ended otherwise now"
import sys; sys.path.insert(0, sys.argv[1])
from client import *
T = sys.argv[1]; q = Qmp(T + "/qmp")
def exactly(s, n):
    data = b""
    while len(data) < n:
        try: got = s.recv(n - len(data))
        except ConnectionResetError: got = b""
        if not got: break
        data += got
    return data
def viewer(shared):
    s = socket.socket(socket.AF_UNIX); s.settimeout(20); s.connect(T + "/vnc")
    exactly(s, 12); s.sendall(b"RFB 003.008\n")
    exactly(s, exactly(s, 1)[0]); s.sendall(b"\1")
    assert exactly(s, 4) == bytes(4), "authentication succeeds"
    s.sendall(bytes([shared]))
    init = exactly(s, 24)
    if len(init) == 24: exactly(s, int.from_bytes(init[20:], "big")); return s, "in"
    return s, "closed without a byte" if init == b"" else "?"
a, first = viewer(1); b, second = viewer(1); c, alone = viewer(0)
ended = ["closed" if exactly(s, 1) == b"" else "open" for s in (a, b)]
d, later = viewer(1); c.close()
for _ in range(100):
    e, again = viewer(1)
    if again == "in": break
    e.close(); time.sleep(0.1)
print(f"two that share: {first}, {second}; exclusive: {alone}; the first two: {', '.join(ended)}")
print(f"while it stays: shares: {later}; after it: shares: {again}")
found = (first, second, alone, ended, later, again)
sys.exit(0 if found == ("in", "in", "in", ["closed", "closed"], "closed without a byte", "in") else 1)
PY
echo "as found"
