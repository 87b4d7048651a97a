#!/usr/bin/env bash
# screendump of a head that shows nothing succeeds, with a picture of an English sentence that QEMU drew.
#
# Expected: a screendump of a display that has no picture fails, or is empty, as it fails for a head that does
#   not exist.
# Found: virtio-gpu's heads begin with a placeholder of 640x480 that says that the guest has not initialized
#   the display, in QEMU's own font. The dump returns {} like any other; every such head gives the same bytes,
#   and VNC shows them, too.
# Versions: QEMU 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3). Seen 2026-11-28.
# Seen: unused head: {}, ['P6', '640', '480'], 2 colours, 1044 pixels not black in rows 226 to 238
#   another card: {}, same bytes True; head that does not exist: {'error': 'Device card (head 2) is not bound
#     to a QemuConsole'}
# Matters to: screenshot checks, OCR and "the screen has stopped changing, so the guest is ready": the
#   sentence is read as the guest's, and is a still, non-black, valid picture.
# Instead: take one dump of a head that is certainly off (an unused head, or a VM under -S) and treat an equal
#   one as no picture.
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

qemu-system-x86_64 -nodefaults -machine pc -accel tcg -m 64 -display none -device virtio-vga,id=card,max_outputs=2 -device virtio-gpu-pci,id=extra -S \
  -qmp "unix:$T/qmp,server=on,wait=off" &
PIDS+=($!)
timeout 90 python3 - "$T" "${PIDS[*]:-}" <<'PY' || changed "a head without picture is dumped otherwise now"
import sys; sys.path.insert(0, sys.argv[1])
from client import *
T = sys.argv[1]; q = Qmp(T + "/qmp")
def dump(device, head):
    r = q("screendump", filename=T + "/a.ppm", device=device, head=head)
    return r, open(T + "/a.ppm", "rb").read() if r == {} else b""
(r1, one), (r2, two), (r3, _) = dump("card", 1), dump("extra", 0), dump("card", 2)
pixels = one[15:]; colours = {pixels[i:i + 3] for i in range(0, len(pixels), 3)}
lit = [i // 3 for i in range(0, len(pixels), 3) if pixels[i:i + 3] != b"\0\0\0"]; rows = [p // 640 for p in lit]
print(f"unused head: {r1}, {one[:11].decode().split()}, {len(colours)} colours, {len(lit)} pixels not black in rows {min(rows)} to {max(rows)}")
print(f"another card: {r2}, same bytes {one == two}; head that does not exist: {r3}")
sys.exit(0 if one == two and one.startswith(b"P6\n640 480\n") and len(colours) == 2 and len(lit) > 300 and max(rows) - min(rows) < 16 and "error" in r3 else 1)
PY
echo "as found"
