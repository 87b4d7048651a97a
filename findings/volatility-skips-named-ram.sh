#!/usr/bin/env bash
# volatility3 reads the saved state of a VM only if its RAM is called pc.ram: with a memory backend the same
# VM has no memory.
#
# Expected: a migration stream in a file (migrate exec:, libvirt's save) is read whatever backend the RAM came
#   from; "-m 64" and "-m 64 with memory-backend=ram0" are the same machine to the guest.
# Found: QEMU names the RAM block after the backend's id (ram0). volatility3's layer takes pages of the block
#   pc.ram alone, so it finds no segment and says "SegmentedLayer must contain some segments", which reads
#   like a broken file.
# Versions: QEMU 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3), volatility3 2.28.2. Seen 2026-11-28.
# Seen: default: 16384 pages, up to 0x3ffffff
#   backend ram0: SegmentedLayer must contain some segments
#   backend pc.ram: 16384 pages, up to 0x3ffffff
# Matters to: VMs whose memory is shared with a second process (vhost-user, virtiofs, introspection): they all
#   have a named backend.
# Instead: give the backend the id pc.ram where the state shall be readable (QEMU allows it; libvirt does so),
#   or take dump-guest-memory's ELF.
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

python3 -m venv "$T/v" >/dev/null 2>&1 || skip "python3 has no venv"
timeout 45 "$T/v/bin/pip" install -q volatility3==2.28.2 >/dev/null 2>&1 || skip "volatility3 2.28.2 cannot be had from PyPI here"
echo "volatility3 2.28.2"
for id in none ram0 pc.ram; do
  ram=(-object "memory-backend-memfd,id=$id,size=64M,share=on" -machine "pc,memory-backend=$id")
  if [ $id = none ]; then ram=(-machine pc); fi
  qemu-system-x86_64 -nodefaults -accel tcg -m 64 "${ram[@]}" -display none -S -qmp "unix:$T/qmp.$id,server=on,wait=off" &
  PIDS+=($!)
done
timeout 60 "$T/v/bin/python" - "$T" <<'PY' || changed "volatility3 sees other memory in one of the two states"
import sys; sys.path.insert(0, sys.argv[1])
from client import *
from volatility3.framework import contexts
from volatility3.framework.layers import physical, qemu
T = sys.argv[1]; seen = {}
for name in ("none", "ram0", "pc.ram"):
    q = Qmp(T + "/qmp." + name); state = f"{T}/state.{name}"
    q("migrate", uri=f"exec:cat >{state}")
    for _ in range(200):
        if q("query-migrate").get("status") == "completed": break
        time.sleep(0.1)
    c = contexts.Context()
    c.config["file.location"] = "file://" + state; c.config["vm.base_layer"] = "file"
    c.add_layer(physical.FileLayer(c, "file", "file"))
    try:
        layer = qemu.QemuSuspendLayer(c, "vm", "vm")
        seen[name] = f"{len(layer._segments)} pages, up to {layer.maximum_address:#x}"
    except ValueError as e: seen[name] = str(e)
    print("default:" if name == "none" else f"backend {name}:", seen[name])
sys.exit(0 if seen["none"] == seen["pc.ram"] == "16384 pages, up to 0x3ffffff" and "must contain some segments" in seen["ram0"] else 1)
PY
echo "as found"
