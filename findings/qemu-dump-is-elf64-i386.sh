#!/usr/bin/env bash
# The ELF core of a 64-bit VM that is still in its firmware says "64-bit i386", and a reader finds no memory
# in it at all.
#
# Expected: dump-guest-memory of an x86_64 VM gives an x86-64 core whenever it is taken.
# Found: the machine field follows the mode of the FIRST vCPU at that moment (firmware, boot loader, early
#   kernel: EM_386), the class follows the memory map (the flash that ends at 4 GiB makes it ELFCLASS64 even
#   with 64 MiB), the registers are 32-bit, and e_ehsize is 8, a pointer's size instead of the header's 64.
#   LIEF follows the machine, reads a 32-bit header and sees 0 program headers; pyelftools follows the class
#   and sees all. The kdump format of the very same state says x86_64. A further surprise: the file is created
#   with mode 0400.
# Versions: QEMU 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3), LIEF 1.0.0, pyelftools 0.33. Seen 2026-11-28.
# Seen: class 64, machine EM_386, e_ehsize 8, mode 0400, registers 144 bytes; pyelftools 5 program headers,
#   LIEF 0; kdump: x86_64
# Matters to: tools that pick a reader by e_machine, or fail on it, for dumps of VMs that hang early, and
#   whoever dumps twice to one path as a user.
# Instead: take the class from e_ident, the state from the note named QEMU (64-bit registers at all times, CR3
#   among them), never e_ehsize or e_machine; dump to a descriptor (fd:NAME) of your own instead of a path.
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
timeout 45 "$T/v/bin/pip" install -q lief==1.0.0 pyelftools==0.33 >/dev/null 2>&1 || skip "lief 1.0.0 or pyelftools 0.33 cannot be had from PyPI here"
echo "LIEF 1.0.0, pyelftools 0.33"
qemu-system-x86_64 -nodefaults -machine pc -accel tcg -m 64 -display none -vga std -qmp "unix:$T/qmp,server=on,wait=off" &
PIDS+=($!)
timeout 60 "$T/v/bin/python" - "$T" <<'PY' || changed "QEMU's header or a reader's view of it is another"
import sys; sys.path.insert(0, sys.argv[1])
from client import *
import stat, lief
from elftools.elf.elffile import ELFFile
T = sys.argv[1]; q = Qmp(T + "/qmp")
time.sleep(1); q("stop")
assert q("dump-guest-memory", paging=False, protocol=f"file:{T}/elf") == {}
assert q("dump-guest-memory", paging=False, protocol=f"file:{T}/kdump", format="kdump-zlib") == {}
mode = stat.S_IMODE(os.stat(T + "/elf").st_mode)
e = ELFFile(open(T + "/elf", "rb"))
head = open(T + "/elf", "rb").read(64)
note = next(s for s in e.iter_segments() if s["p_type"] == "PT_NOTE").data()
regs = int.from_bytes(note[4:8], "little")
lief.logging.disable()
b = lief.parse(T + "/elf"); seen = len(b.segments) if b else 0
kdump = b"x86_64" in open(T + "/kdump", "rb").read(16384)
print(f"class {e.elfclass}, machine {e['e_machine']}, e_ehsize {e['e_ehsize']}, mode {mode:04o}, registers {regs} bytes; "
      f"pyelftools {e.num_segments()} program headers, LIEF {seen}; kdump: {'x86_64' if kdump else 'other'}")
ok = (e.elfclass, e["e_machine"], e["e_ehsize"], mode, regs) == (64, "EM_386", 8, 0o400, 144)
sys.exit(0 if ok and e.num_segments() >= 4 and seen == 0 and kdump else 1)
PY
echo "as found"
