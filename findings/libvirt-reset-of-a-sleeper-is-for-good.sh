#!/usr/bin/env bash
# A suspended domain that was reset stays `pmsuspended` for libvirt, and none of its commands wakes it again.
#
# Expected: virsh reset of a guest in S3 boots it; or the domain is shown as paused, and virsh resume helps.
# Found: reset and reboot say success. QEMU keeps the vCPUs of a VM that was reset asleep still, and names it
#   `prelaunch`, without an event; libvirt goes on to believe in the guest's sleep. So resume and suspend are
#   refused, as the domain is pmsuspended, and dompmwakeup is passed to QEMU, which says that it is not.
# Versions: libvirt 9.0.0 (Debian 9.0.0-4+deb12u2), session daemon, QEMU 7.2.22 (Debian
#   1:7.2+dfsg-7+deb12u18+b3). Seen 2026-11-29.
# Seen: asleep: pmsuspended (unknown), QEMU suspended
#   reset: success
#   after it: pmsuspended (unknown), QEMU prelaunch
#   dompmwakeup: guest is not in suspended state
#   resume: domain is pmsuspended
#   suspend: domain is pmsuspended
#   reboot: success
#   after all: pmsuspended (unknown), QEMU prelaunch
#   cont by qemu-monitor-command: running (unpaused), QEMU running
# Matters to: managers above libvirt, and people, who reset a guest that does not answer: a laptop image that
#   slept after 20 minutes looks like a broken VM, and is destroyed.
# Instead: dompmwakeup first, then reset; afterwards only
#   virsh qemu-monitor-command VM '{"execute":"cont"}', which taints the domain, or destroy and start.
set -euo pipefail
skip() { echo "SKIP: $1"; exit 77; }
changed() { echo "CHANGED: $1"; exit 1; }
T=$(mktemp -d)
PIDS=()
v() { timeout 60 virsh -q -c "qemu:///session?socket=$T/run/libvirt/libvirt-sock" "$@" 2>&1; }
cleanup() {
  if [ -S "$T/run/libvirt/libvirt-sock" ]; then v destroy vm >/dev/null || true; fi
  for p in "${PIDS[@]:-}"; do
    if [ -n "$p" ]; then kill "$p" 2>/dev/null || true; wait "$p" 2>/dev/null || true; fi
  done
  rm -rf "$T"
}
trap cleanup EXIT

if ! command -v qemu-system-x86_64 >/dev/null || ! command -v libvirtd >/dev/null; then
  [ "$(id -u)" = 0 ] || skip "no qemu-system-x86_64 or libvirtd, and only root can install them"
  timeout 90 apt-get install -y -q --no-install-recommends qemu-system-x86=1:7.2+dfsg-7+deb12u18+b3 seabios libvirt-daemon=9.0.0-4+deb12u2 \
    libvirt-daemon-driver-qemu=9.0.0-4+deb12u2 libvirt-clients=9.0.0-4+deb12u2 >/dev/null 2>&1 || skip "QEMU or libvirt cannot be had from apt here"
fi
command -v python3 >/dev/null || skip "no python3"
qemu-system-x86_64 --version | head -n 1
libvirtd --version

# A session's libvirtd, of nobody if this is root, in the folder; its parent takes note of children it leaves.
cat >"$T/libvirtd.py" <<'PY'
import ctypes, os, signal, sys
T = sys.argv[1]; libc = ctypes.CDLL(None); libc.prctl(36, 1, 0, 0, 0)
user = 65534 if os.getuid() == 0 else os.getuid(); os.chmod(T, 0o755); os.chown(T, user, -1)
child = os.fork()
if child == 0:
    if os.getuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)
    libc.prctl(1, signal.SIGTERM, 0, 0, 0)
    places = {k: f"{T}/{d}" for k, d in (("HOME", "home"), ("XDG_RUNTIME_DIR", "run"), ("XDG_CACHE_HOME", "cache"), ("XDG_CONFIG_HOME", "config"))}
    for d in places.values(): os.mkdir(d)
    os.execve(sys.argv[2], ["libvirtd"], {"PATH": os.environ["PATH"], **places})
def end(*_):
    os.kill(child, signal.SIGTERM)
signal.signal(signal.SIGTERM, end)
while os.wait()[0] != child: pass
PY
python3 "$T/libvirtd.py" "$T" "$(command -v libvirtd)" >"$T/log" 2>&1 &
PIDS+=($!)
for _ in $(seq 120); do if v version >/dev/null; then break; fi; sleep 0.5; done
v version >/dev/null || skip "libvirtd does not run here"
cat >"$T/vm.xml" <<XML
<domain type='qemu'><name>vm</name><memory unit='MiB'>64</memory><os><type arch='x86_64' machine='pc'>hvm</type></os>
<features><acpi/></features><pm><suspend-to-mem enabled='yes'/></pm>
<devices><emulator>$(command -v qemu-system-x86_64)</emulator><controller type='usb' model='none'/><memballoon model='none'/></devices></domain>
XML
v create "$T/vm.xml" >/dev/null || skip "libvirt cannot start a VM here"
qmp() { v qemu-monitor-command vm "$@"; }
status() { echo "$(v domstate vm --reason), QEMU $(qmp '{"execute":"query-status"}' | sed 's/.*"status":"\([^"]*\)".*/\1/')"; }
says() { if said=$(v "$@"); then echo success; else tail -n 1 <<<"$said" | sed 's/.*: //'; fi; }
until_state() { for _ in $(seq 300); do if [ "$(status)" = "$1" ]; then return; fi; sleep 0.1; done; }
# What a guest writes to sleep (S3), here by the monitor, once the firmware has set the port up.
for _ in $(seq 300); do
  qmp --hmp "o /h 0x604 0x2400" >/dev/null
  case $(status) in *suspended) break ;; esac
  sleep 0.1
done
until_state "pmsuspended (unknown), QEMU suspended"
seen=$(
  echo "asleep: $(status)"; echo "reset: $(says reset vm)"; echo "after it: $(status)"
  for command in dompmwakeup resume suspend reboot; do echo "$command: $(says "$command" vm)"; done
  echo "after all: $(status)"; qmp '{"execute":"cont"}' >/dev/null; until_state "running (unpaused), QEMU running"
  echo "cont by qemu-monitor-command: $(status)"
)
echo "$seen"
told=$(awk '/^# Matters/ { exit } sub(/^# Seen: /, "") { on = 1 } on { sub(/^#   /, ""); print }' "$0")
[ "$seen" = "$told" ] || changed "libvirt gets such a domain going, or says something else"
echo "as found"
