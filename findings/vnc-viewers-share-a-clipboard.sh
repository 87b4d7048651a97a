#!/usr/bin/env bash
# What one VNC viewer of a VM copies is offered to every other viewer, though the guest has no clipboard
# agent.
#
# Expected: QEMU's clipboard joins viewer and guest, and needs -chardev qemu-vdagent with clipboard=on and an
#   agent in the guest; without these a viewer's cut text goes nowhere.
# Found: QEMU keeps one clipboard per process for all its peers. A viewer's text is announced to each viewer
#   that speaks the extended clipboard, and given to it on request; no option of -vnc turns that off.
# Versions: QEMU 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3). Seen 2026-11-28.
# Seen: one copies; two is told of a text: True
#   two asks, and gets b'only for one'
# Matters to: consoles with several viewers (support, teaching, a recorder beside a person): a front end that
#   sends the local clipboard when its window gets the focus gives it, passwords among it, to the others.
# Instead: do not offer a viewer's clipboard unasked, or give viewers a proxy that drops ClientCutText.
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

qemu-system-x86_64 -nodefaults -machine pc -accel tcg -m 64 -display none -vga std -vnc "unix:$T/vnc" -S \
  -qmp "unix:$T/qmp,server=on,wait=off" &
PIDS+=($!)
timeout 90 python3 - "$T" "${PIDS[*]:-}" <<'PY' || changed "viewers no longer share a clipboard"
import sys; sys.path.insert(0, sys.argv[1])
from client import *
import zlib
def viewer(path, *encodings):
    s = socket.socket(socket.AF_UNIX); s.settimeout(60); s.connect(path); f = s.makefile("rb")
    f.read(12); s.sendall(b"RFB 003.008\n"); f.read(f.read(1)[0]); s.sendall(b"\1"); f.read(4); s.sendall(b"\1")
    f.read(20); f.read(int.from_bytes(f.read(4), "big"))
    s.sendall(bytes([2, 0]) + len(encodings).to_bytes(2, "big") + b"".join(e.to_bytes(4, "big", signed=True) for e in encodings))
    return s, f
T = sys.argv[1]; Qmp(T + "/qmp").close()
EXTENDED, TEXT, CAPS, REQUEST, NOTIFY, PROVIDE = 0xc0a1e5ce - 2**32, 1, 1 << 24, 1 << 25, 1 << 27, 1 << 28
def cut_text(f):                                            # flags and body of the next extended message
    assert f.read(4) == b"\3\0\0\0"
    n = int.from_bytes(f.read(4), "big", signed=True); assert n < 0
    return int.from_bytes(f.read(4), "big"), f.read(-n - 4)
one, f1 = viewer(T + "/vnc", 0, EXTENDED); two, f2 = viewer(T + "/vnc", 0, EXTENDED)
c1, c2 = cut_text(f1)[0], cut_text(f2)[0]
text = b"only for one"; one.sendall(b"\6\0\0\0" + len(text).to_bytes(4, "big") + text)
flags, _ = cut_text(f2); print(f"one copies; two is told of a text: {bool(flags & NOTIFY and flags & TEXT)}")
two.sendall(b"\6\0\0\0" + (-4).to_bytes(4, "big", signed=True) + (REQUEST | TEXT).to_bytes(4, "big"))
flags, body = cut_text(f2); plain = zlib.decompressobj().decompress(body); got = plain[4:].rstrip(b"\0")
print(f"two asks, and gets {got!r}")
sys.exit(0 if c1 & c2 & CAPS and flags & PROVIDE and got == text else 1)
PY
echo "as found"
