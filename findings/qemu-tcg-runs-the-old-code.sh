#!/usr/bin/env bash
# Guest code that another process changes in shared guest RAM goes on running in its old form under TCG.
#
# Expected: RAM in a memfd with share=on is one memory for all: who writes an instruction there changes what
#   the guest executes, as it does under KVM.
# Found: TCG runs its translation of a page until QEMU itself sees a write to that page; a write through
#   another process's mapping it cannot see. The guest's own reads, xp and the monitor's disassembly (x /i)
#   show the new instruction, while the old one runs, over stop and cont, too. A write of the same byte by
#   QEMU's gdbstub takes at once.
# Versions: QEMU 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3), accelerator tcg. Seen 2026-11-29.
# Seen: before: A; the memory after the write from outside: movb $0x42, %al; the guest runs: A
#   after stop and cont: A; after the same write by gdb: B
# Matters to: hooks, breakpoints and patches set through shared guest RAM (introspection, fuzzers),
#   developed in a CI without KVM: the write reads back right, and nothing happens.
# Instead: write code by the gdbstub (M packets) under TCG, or write before the guest runs that page for the
#   first time. Data needs none of this.
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

# The guest, a boot sector: prints "A" to port 0xe9, waits a little, begins anew.
python3 - "$T" <<'PY'
import sys
code = bytes([0xb0, 0x41, 0xe6, 0xe9, 0x31, 0xc9, 0xe2, 0xfe, 0xeb, 0xf6])
open(sys.argv[1] + "/floppy", "wb").write(code + bytes(510 - len(code)) + b"\x55\xaa" + bytes(1474560 - 512))
PY
qemu-system-x86_64 -nodefaults -machine pc,memory-backend=ram0 -accel tcg -m 64 -display none \
  -object memory-backend-memfd,id=ram0,size=64M,share=on -drive "file=$T/floppy,if=floppy,format=raw" -boot a \
  -debugcon "file:$T/out" -global isa-debugcon.iobase=0xe9 -gdb "unix:$T/gdb,server=on,wait=off" \
  -qmp "unix:$T/qmp,server=on,wait=off" &
PIDS+=($!)
timeout 100 python3 - "$T" "${PIDS[*]}" <<'PY' || changed "code written from outside runs at once now"
import sys; sys.path.insert(0, sys.argv[1])
from client import *
import re
T, pid = sys.argv[1], sys.argv[2].split()[-1]; q = Qmp(T + "/qmp")
def said(n):                                                # the next n bytes that the guest prints
    at = os.path.getsize(T + "/out")
    while os.path.getsize(T + "/out") < at + n: time.sleep(0.05)
    with open(T + "/out", "rb") as f: f.seek(at); return f.read(n).decode("latin1")
def word(n=200):                                            # what it prints by now: the last of n
    return said(n)[-1]
while not os.path.exists(T + "/out") or not open(T + "/out", "rb").read().endswith(b"A" * 20): time.sleep(0.1)
before = word(20)
fd = next(f for n in os.listdir(f"/proc/{pid}/fd") if "/memfd:memory-backend" in os.readlink(f := f"/proc/{pid}/fd/{n}"))
ram = os.open(fd, os.O_RDWR); os.pwrite(ram, b"B", 0x7c01)
shown = " ".join(re.search(r"mov.*", q.hmp("x /1i 0x7c00"))[0].split()); outside = word()
q("stop"); q("cont"); again = word()
os.pwrite(ram, b"A", 0x7c01)                                # put back, then the same write by QEMU itself
g = socket.socket(socket.AF_UNIX); g.settimeout(30); g.connect(T + "/gdb")
def packet(text):
    g.sendall(f"${text}#{sum(text.encode()) & 255:02x}".encode()); got = b""
    while not re.search(rb"\+\$[^#]*#..$", got): got += g.recv(4096)
    g.sendall(b"+"); return re.search(rb"\+\$([^#]*)#..$", got)[1].decode()
packet("?"); wrote = packet("M7c01,1:42"); packet("D"); gdb = word()
print(f"before: {before}; the memory after the write from outside: {shown}; the guest runs: {outside}")
print(f"after stop and cont: {again}; after the same write by gdb: {gdb}")
sys.exit(0 if (before, outside, again, wrote, gdb) == ("A", "A", "A", "OK", "B") and "42" in shown else 1)
PY
echo "as found"
