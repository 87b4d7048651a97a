#!/usr/bin/env bash
# A second add_client @dbus-display closes the first client's connection; both commands return success, and
# QMP tells nobody.
#
# Expected: two clients, as of VNC and Spice by the same command, or an error for the second.
# Found: QEMU's D-Bus display with p2p=on has one peer. The second one takes its place as soon as its
#   handshake is over, and the first gets an end of file. No query and no event tells whether there is a peer.
# Versions: QEMU 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3, its module ui-dbus of qemu-system-gui or
#   qemu-system-modules-opengl). Seen 2026-11-29.
# Seen: first: {}, then OK; second: {}, then OK; the first one: closed; the second one: open; events: none
# Matters to: tools that look in on a running VM beside its viewer (libmks, RDP bridges): a look takes the
#   screen away from the person who uses it, for good.
# Instead: look whether QEMU holds one end of a pair of unnamed unix sockets whose other end is somebody
#   else's (ss -xp), and leave that one alone; or take pictures by screendump or VNC.
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

qemu-system-x86_64 -display help 2>/dev/null | grep -qx dbus || skip "this QEMU has no D-Bus display (ui-dbus.so)"
qemu-system-x86_64 -nodefaults -machine pc -accel tcg -m 64 -vga std -display dbus,p2p=on -S \
  -qmp "unix:$T/qmp,server=on,wait=off" &
PIDS+=($!)
timeout 90 python3 - "$T" <<'PY' || changed "a second D-Bus client does something else now"
import sys; sys.path.insert(0, sys.argv[1])
from client import *
T = sys.argv[1]; q = Qmp(T + "/qmp")
def peer(name):
    ours, theirs = socket.socketpair(); ours.settimeout(20)
    q("getfd", fds=[theirs.fileno()], fdname=name); theirs.close()
    r = q("add_client", protocol="@dbus-display", fdname=name)
    ours.sendall(b"\0AUTH EXTERNAL " + str(os.getuid()).encode().hex().encode() + b"\r\n")
    said = ours.recv(200)
    ours.sendall(b"BEGIN\r\n")
    return ours, f"{r}, then {said.split()[0].decode()}"
def state(s, seconds):
    s.settimeout(seconds)
    try: return "closed" if s.recv(1) == b"" else "open"
    except TimeoutError: return "open"
    except ConnectionResetError: return "closed"
one, first = peer("one"); before = state(one, 2)
two, second = peer("two"); ended, kept = state(one, 20), state(two, 2)
q("query-status"); names = [e["event"] for e in q.events]
print(f"first: {first}; second: {second}; the first one: {ended}; the second one: {kept}; events: {', '.join(names) or 'none'}")
sys.exit(0 if before == "open" and (ended, kept) == ("closed", "open") and not names and "OK" in first and "OK" in second else 1)
PY
echo "as found"
