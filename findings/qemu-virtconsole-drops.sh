#!/usr/bin/env bash
# QEMU throws away what a guest prints on a virtio console while the reader of its socket pauses; on a serial
# port or a virtserialport the same bytes all arrive.
#
# Expected: a reader that pauses makes the guest wait, as a 16550 and a virtserialport do, or somebody is told
#   of the loss.
# Found: when the socket is full (Linux here: with 278 writes unread, of a line or of one byte each), QEMU
#   holds back the writers on the other two and drops the console's bytes: the guest's write() and tcdrain()
#   succeed, and QMP has no event. Nothing marks the hole; what comes after the pause arrives again. (A
#   comment in QEMU's source says so, and why: Linux's console driver would stop the whole guest.)
# Versions: QEMU 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3), Linux 6.1.176 in the guest. Seen 2026-11-29.
# Seen: virtconsole: 278 of 16,384 lines arrived, then 'end'
#     while the reader paused: its writer finished with success, 14,456 bytes lay unread
#   virtserialport: 16,384 of 16,384 lines arrived, then 'end'
#     while the reader paused: its writer had to wait, 14,456 bytes lay unread
#   serial: 16,384 of 16,384 lines arrived, then 'end'
#     while the reader paused: its writer had to wait, 278 bytes lay unread
#   virtconsole: 16,384 lines in the logfile of its character device
#   QMP events: none; on QEMU's stderr: nothing
# Matters to: test runners and log collectors that read a guest's console (console=hvc0) and do something
#   else between two reads: lines are missing, and a pattern that is waited for never comes.
# Instead: read a virtconsole without a pause, in a thread or process that does nothing else; or add
#   logfile=FILE to its character device, which gets every byte, and read that; or have the guest write what
#   must arrive to a virtserialport or a serial port.
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

want() { # PROGRAM-OR-FILE PACKAGE=VERSION …
  local file=$1; shift
  case $file in /*) [ -e "$file" ] && return 0 ;; *) command -v "$file" >/dev/null && return 0 ;; esac
  [ "$(id -u)" = 0 ] || skip "no $file, and only root can install it"
  timeout 60 apt-get install -y -q --no-install-recommends "$@" >/dev/null 2>&1 ||
    skip "$* cannot be had from apt here"
}
want qemu-system-x86_64 qemu-system-x86=1:7.2+dfsg-7+deb12u18+b3 seabios
want cc gcc libc6-dev
command -v python3 >/dev/null || skip "no python3"
qemu-system-x86_64 --version | head -n 1
[ "$(cat /proc/sys/net/core/wmem_default)" -le 300000 ] ||
  skip "sockets buffer more here than this guest writes"

R=6.1.0-50-cloud-amd64
(cd "$T" && timeout 60 apt-get download -q -o APT::Sandbox::User=root "linux-image-$R=6.1.176-1" &&
  dpkg-deb --fsys-tarfile ./*.deb | tar -x --wildcards ./boot/vmlinuz-* '*/virtio*.ko') >/dev/null 2>&1 ||
  skip "linux-image-$R 6.1.176-1 cannot be had from apt here"

# The guest: three writers of the same lines. It says on the first serial port what it did, and is told there
# when to begin and when to write one line more.
cat >"$T/init.c" <<'C'
static const char *modules[] = {"virtio", "virtio_ring", "virtio_pci_modern_dev", "virtio_pci_legacy_dev",
                                "virtio_pci", "virtio_console"};
static const char *ways[][2] = {
    {"virtconsole", "/dev/hvc0"}, {"virtserialport", "/dev/vport0p1"}, {"serial", "/dev/ttyS1"}};
static int control;
static int opened(const char *path) {
  for (;;) {
    int fd = open(path, O_RDWR | O_NOCTTY);
    struct termios t;
    if (fd >= 0 && !tcgetattr(fd, &t)) cfmakeraw(&t), cfsetspeed(&t, B115200), tcsetattr(fd, TCSANOW, &t);
    if (fd >= 0) return fd;
    usleep(100000);
  }
}
static void told(char what) {
  char c;
  while (read(control, &c, 1) != 1 || c != what) {}
}
static void writer(const char *name, int fd, int end) {
  char line[64], c;
  int taken = 0;
  for (int i = 0; i < LINES; i++) {
    int n = sprintf(line, "%05d %s\n", i, "abcdefghijklmnopqrstuvwxyz0123456789abcdefghi");
    for (int at = 0, got; at < n; at += got)
      if ((got = write(fd, line + at, n - at)) <= 0) _exit(1);
    taken++;
  }
  if (isatty(fd) && tcdrain(fd)) _exit(1);
  dprintf(control, "%s took %d\n", name, taken);
  read(end, &c, 1);
  _exit(write(fd, "end\n", 4) != 4);
}
int main(void) {
  mount("dev", "/dev", "devtmpfs", 0, "");
  control = opened("/dev/ttyS0");
  for (unsigned i = 0; i < sizeof modules / sizeof *modules; i++) {
    char path[64];
    sprintf(path, "/%s.ko", modules[i]);
    int fd = open(path, O_RDONLY);
    if (syscall(SYS_finit_module, fd, "", 0)) dprintf(control, "no %s\n", path);
    close(fd);
  }
  int fds[3], end[2];
  for (int i = 0; i < 3; i++) fds[i] = opened(ways[i][1]);
  pipe(end);
  dprintf(control, "ready\n");
  told('b');
  for (int i = 0; i < 3; i++)
    if (!fork()) close(end[1]), writer(ways[i][0], fds[i], end[0]);
  told('e');
  close(end[1]);
  for (;;) pause();
}
C
LINES_EACH=16384
INCLUDES=()
for h in fcntl stdio stdlib string sys/mount sys/syscall termios unistd; do INCLUDES+=(-include "$h.h"); done
cc -static -O1 -w -D_GNU_SOURCE "-DLINES=$LINES_EACH" "${INCLUDES[@]}" -o "$T/init" "$T/init.c" ||
  skip "cc cannot link a static program here"
python3 - "$T" <<'PY'
import glob, os, sys
T = sys.argv[1]; out = open(T + "/initramfs", "wb")
def add(name, mode, data=b""):
    head = [1, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
    part = b"070701" + b"".join(b"%08x" % n for n in head) + name.encode() + b"\0"
    out.write(part + bytes(-len(part) % 4) + data + bytes(-len(data) % 4))
add("dev", 0o40755)
add("init", 0o100755, open(T + "/init", "rb").read())
for ko in glob.glob(T + "/**/virtio*.ko", recursive=True):
    add(os.path.basename(ko), 0o100644, open(ko, "rb").read())
add("TRAILER!!!", 0)
PY

CHARDEVS=()
for way in control serial virtconsole virtserialport; do
  CHARDEVS+=(-chardev "socket,id=$way,path=$T/$way,server=on,wait=off,logfile=$T/$way.log")
done
qemu-system-x86_64 -nodefaults -machine pc -accel tcg -m 128 -display none -kernel "$T"/boot/vmlinuz-* \
  -initrd "$T/initramfs" -append "quiet console=tty0" "${CHARDEVS[@]}" -serial chardev:control \
  -serial chardev:serial -device virtio-serial-pci -device virtconsole,chardev=virtconsole \
  -device virtserialport,chardev=virtserialport -qmp "unix:$T/qmp,server=on,wait=off" 2>"$T/stderr" &
PIDS+=($!)
timeout 90 python3 - "$T" "$LINES_EACH" <<'PY' || changed "a console keeps its bytes, or its log lacks them"
import array, fcntl, json, socket, sys, termios, threading, time
T = sys.argv[1]; N = int(sys.argv[2])
def connected(name):
    while True:
        try: s = socket.socket(socket.AF_UNIX); s.connect(f"{T}/{name}"); return s
        except OSError: time.sleep(0.05)
ways = {name: connected(name) for name in ("virtconsole", "virtserialport", "serial")}
control = connected("control"); qmp = connected("qmp")
qmp.sendall(b'{"execute": "qmp_capabilities"}')
events = []
def listen():
    for line in qmp.makefile(): events.extend([json.loads(line)["event"]] if '"event"' in line else [])
threading.Thread(target=listen, daemon=True).start()
said = []
def hear():
    for line in control.makefile(): said.append(line.strip())
threading.Thread(target=hear, daemon=True).start()
def until(line):
    while line not in said: time.sleep(0.1)
def waiting(s):
    n = array.array("i", [0]); fcntl.ioctl(s, termios.FIONREAD, n); return n[0]
def took(name): return f"{name} took {N}"
until("ready"); events.clear(); control.sendall(b"b")
for s in ways.values(): s.recv(1, socket.MSG_PEEK)
# The pause: till the console's writer has finished and nothing has changed for 3 s; had it to wait, 15 s.
before = None; since = time.monotonic()
while time.monotonic() - since < (3 if took("virtconsole") in said else 15):
    now = ([waiting(s) for s in ways.values()], len(said))
    if now != before: before = now; since = time.monotonic()
    time.sleep(0.2)
paused = {name: (took(name) in said, waiting(s)) for name, s in ways.items()}
# All that the console will ever give of these lines is in its socket now: read that, then the rest of all.
s = ways["virtconsole"]; got = {name: b"" for name in ways}
while waiting(s): got["virtconsole"] += s.recv(65536)
control.sendall(b"e")
def drain(name):
    parts = [got[name]]; tail = b""
    while not tail.endswith(b"end\n"): parts.append(ways[name].recv(65536)); tail = (tail + parts[-1])[-8:]
    got[name] = b"".join(parts)
threads = [threading.Thread(target=drain, args=[name]) for name in ways]
for t in threads: t.start()
for t in threads: t.join()
right = {b"%05d abcdefghijklmnopqrstuvwxyz0123456789abcdefghi" % i for i in range(N)}
whole = {}
for name in ways:
    until(took(name)); lines = got[name].split(b"\n"); whole[name] = len(right.intersection(lines))
    print(f"{name}: {whole[name]:,} of {N:,} lines arrived, then {lines[-2].decode()!r}")
    how = "finished with success" if paused[name][0] else "had to wait"
    print(f"  while the reader paused: its writer {how}, {paused[name][1]:,} bytes lay unread")
logged = len(right.intersection(open(T + "/virtconsole.log", "rb").read().split(b"\n")))
print(f"virtconsole: {logged:,} lines in the logfile of its character device")
bad = [line for line in said if line.startswith("no ")]
print(f"QMP events: {events or 'none'}; on QEMU's stderr: {open(T + '/stderr').read() or 'nothing'}")
held = N == whole["virtserialport"] == whole["serial"] == logged
sys.exit(0 if not bad and not events and whole["virtconsole"] < N and held else 1)
PY
echo "as found: nobody is told"
