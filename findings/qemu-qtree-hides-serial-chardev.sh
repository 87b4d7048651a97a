#!/usr/bin/env bash
# QEMU's device tree leaves out the character device of a serial port, and names that of all its neighbours.
#
# Expected: `info qtree` prints each device's properties, so it tells which -chardev is behind which device of
#   the guest; it does for a virtio console, a parallel port and a USB serial adapter.
# Found: for isa-serial and pci-serial there is no chardev line at all, though `qom-get PATH chardev` on the
#   same device answers with the label. What they have is an alias of a part inside them that sits on no bus,
#   and the tree shows properties that are no aliases, of devices on buses.
# Versions: QEMU 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3). Seen 2026-11-29.
# Seen: device, in info qtree, by qom-get
#   isa-serial       -          com1
#   pci-serial       -          pci1
#   isa-parallel     par1       par1
#   usb-serial       usb1       usb1
#   virtconsole      hvc1       hvc1
# Matters to: whoever wants to know which socket or terminal of the host is which serial console of a VM that
#   somebody else started: the tree alone finds virtio consoles and no serial port.
# Instead: qom-list /machine/unattached, /machine/peripheral and /machine/peripheral-anon, and qom-get chardev
#   of each child whose type is a serial device; join it with query-chardev.
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

qemu-system-x86_64 -nodefaults -machine pc -accel tcg -m 64 -display none -vga none -S \
  -chardev null,id=com1 -device isa-serial,chardev=com1 \
  -chardev null,id=pci1 -device pci-serial,chardev=pci1 \
  -chardev null,id=par1 -device isa-parallel,chardev=par1 \
  -device piix3-usb-uhci -chardev null,id=usb1 -device usb-serial,chardev=usb1 \
  -device virtio-serial-pci -chardev null,id=hvc1 -device virtconsole,chardev=hvc1 \
  -qmp "unix:$T/qmp,server=on,wait=off" &
PIDS+=($!)
timeout 90 python3 - "$T" <<'PY' || changed "info qtree tells the character devices of serial ports now"
import sys; sys.path.insert(0, sys.argv[1])
from client import *
import re
q = Qmp(sys.argv[1] + "/qmp")
tree = {}
device = None
for line in q.hmp("info qtree").splitlines():
    m = re.match(r' *dev: ([\w-]+), id', line)
    if m: device = m[1]; tree.setdefault(device, "-"); continue
    m = re.match(r' *chardev = "(\w+)"', line)
    if m and device: tree[device] = m[1]
asked = {}
for folder in ("/machine/unattached", "/machine/peripheral", "/machine/peripheral-anon"):
    for child in q("qom-list", path=folder):
        m = re.match(r"child<([\w-]+)>", child["type"])
        if not m: continue
        label = q("qom-get", path=folder + "/" + child["name"], property="chardev")
        if isinstance(label, str) and label: asked[m[1]] = label
want = {"isa-serial": ("-", "com1"), "pci-serial": ("-", "pci1"), "isa-parallel": ("par1", "par1"),
        "usb-serial": ("usb1", "usb1"), "virtconsole": ("hvc1", "hvc1")}
print("device, in info qtree, by qom-get")
for name, pair in want.items():
    print(f"{name:<16} {tree.get(name, '-'):<10} {asked.get(name, '-')}")
ok = all((tree.get(n, "-"), asked.get(n, "-")) == p for n, p in want.items())
sys.exit(0 if ok else 1)
PY
echo "as found"
