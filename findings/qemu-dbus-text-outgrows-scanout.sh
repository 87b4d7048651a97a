#!/usr/bin/env bash
# Over QEMU's D-Bus display the picture of a text screen is wider than any size that the listener was told.
#
# Expected: Scanout says how large the picture is, and Update changes a part of it that lies inside.
# Found: QEMU sends a Scanout only when the whole picture changes at once, and the VGA draws text row by
#   row. A listener that was there before has the 640x480 of the card's first surface, or of the last
#   graphics mode, and gets Updates 720 wide over 400 lines: past its picture on one side and short of it on
#   the other. Only the properties Width and Height of the Console object know. VNC clients are told of the
#   change by DesktopSize.
# Versions: QEMU 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3, its module ui-dbus of qemu-system-gui or
#   qemu-system-modules-opengl). Seen 2026-11-29.
# Seen: Scanouts: 640x480; Updates reach 720x400; the Console's properties: 720x400
# Matters to: viewers, recorders and RDP bridges over the D-Bus display: a firmware's or a boot loader's
#   screen is cut off at the right, or the copy runs over the edge of the buffer that was made for 640x480.
# Instead: take the Console's Width and Height (and their PropertiesChanged) for the size, clip each Update
#   to what you have, and make the picture larger when one lies outside.
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
qemu-system-x86_64 -nodefaults -machine pc -accel tcg -m 64 -vga std -display dbus,p2p=on -S -qmp "unix:$T/qmp,server=on,wait=off" &
PIDS+=($!)
timeout 100 python3 - "$T" <<'PY' || changed "the listener is told the size of a text screen now"
import sys; sys.path.insert(0, sys.argv[1])
from client import *
import struct
T = sys.argv[1]; q = Qmp(T + "/qmp")
def pad(data, to): return data + bytes(-len(data) % to)
def text(s): return struct.pack("<I", len(s)) + s.encode() + b"\0"
class Bus:                                                  # as much of D-Bus as this needs
    def __init__(self, sock):
        self.s, self.f, self.n = sock, sock.makefile("rb"), 0; sock.settimeout(60)
        sock.sendall(b"\0AUTH EXTERNAL " + str(os.getuid()).encode().hex().encode() + b"\r\n"); self.f.readline()
        sock.sendall(b"NEGOTIATE_UNIX_FD\r\n"); self.f.readline(); sock.sendall(b"BEGIN\r\n")
    def send(self, kind, fields, signature="", body=b"", fds=()):
        head = b""; self.n += 1
        if signature: fields = {**fields, 8: ("g", bytes([len(signature)]) + signature.encode() + b"\0")}
        for code, (t, v) in fields.items():
            head = pad(head, 8) + bytes([code, 1]) + t.encode() + b"\0"
            head = (head if t == "g" else pad(head, 4)) + v
        fixed = struct.pack("<cBBBIII", b"l", kind, 0, 1, len(body), self.n, len(head))
        socket.send_fds(self.s, [pad(fixed + head, 8) + body], list(fds))
    def call(self, path, interface, member, signature, body, fds=()):
        f = {1: ("o", text(path)), 2: ("s", text(interface)), 3: ("s", text(member))}
        if fds: f[9] = ("u", struct.pack("<I", len(fds)))
        self.send(1, f, signature, body, fds)
    def read(self):
        fixed = self.f.read(16)
        if len(fixed) < 16: raise EOFError("display closed")
        body, serial, head = struct.unpack("<III", fixed[4:]); h = self.f.read(head + -head % 8); at, member = 0, None
        while at < head:
            at += -at % 8; code, t = h[at], h[at + 2:at + 3]; at += 4
            if t == b"g": at += h[at] + 2; continue
            at += -at % 4
            (v,) = struct.unpack_from("<I", h, at); at += 4
            if t != b"u":
                if code == 3: member = h[at:at + v].decode()
                at += v + 1
        return fixed[1], serial, member, self.f.read(body)
    def answer(self, serial, signature="", body=b""): self.send(2, {5: ("u", struct.pack("<I", serial))}, signature, body)
ours, theirs = socket.socketpair(); q("getfd", fds=[theirs.fileno()], fdname="x")
q("add_client", protocol="@dbus-display", fdname="x"); theirs.close(); bus = Bus(ours); console = "/org/qemu/Display1/Console_0"
ours, theirs = socket.socketpair()
bus.call(console, "org.qemu.Display1.Console", "RegisterListener", "h", struct.pack("<I", 0), [theirs.fileno()]); theirs.close()
listener = Bus(ours); q("cont"); scanouts, reach = [], (0, 0)
while reach[1] < 400:                                       # the whole text screen of 25 rows of 16 lines
    kind, serial, member, body = listener.read()
    if kind != 1: continue
    if member == "Scanout": scanouts.append("%dx%d" % struct.unpack_from("<II", body))
    if member == "Update":
        x, y, w, h = struct.unpack_from("<iiii", body); reach = max(reach[0], x + w), max(reach[1], y + h)
    listener.answer(serial, *(("a{sv}", bytes(8)) if member == "GetAll" else ()))
size = []
for name in ("Width", "Height"):
    bus.call(console, "org.freedesktop.DBus.Properties", "Get", "ss", pad(text("org.qemu.Display1.Console"), 4) + text(name))
    while True:
        kind, _, _, body = bus.read()
        if kind == 2 and body[:3] == b"\1u\0": size.append(struct.unpack_from("<I", body, 4)[0]); break
print(f"Scanouts: {', '.join(dict.fromkeys(scanouts))}; Updates reach {reach[0]}x{reach[1]}; the Console's properties: {size[0]}x{size[1]}")
sys.exit(0 if set(scanouts) == {"640x480"} and reach == (720, 400) and size == [720, 400] else 1)
PY
echo "as found"
