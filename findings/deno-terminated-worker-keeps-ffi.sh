#!/usr/bin/env bash
# A Deno Worker that is terminated leaves what it opened by FFI: descriptors, mappings, and with them its file
#   locks.
#
# Expected: Worker.terminate() ends the worker and gives its resources back, as it does for Deno's own: a file
#   opened with Deno.openSync in the same worker is closed, and its lock is gone.
# Found: descriptors from dlopen-ed open() stay open in the process, with the flock they hold, and mappings
#   from mmap() stay mapped. Nobody has their numbers any more, so nothing can close them before the process
#   ends.
# Versions: Deno 2.9.6 (npm), Linux, glibc's libc.so.6. Seen 2026-11-28.
# Seen: before terminate: ffi.lock open true, deno.lock open true
#   after: ffi.lock open true, mapped true, lock taken true; deno.lock open false, lock taken false
# Matters to: programs that put VM memory (memfds, mmap) or a lock into a Worker and restart it on failure:
#   each restart keeps the guest's RAM alive once more, and the new worker waits for the lock that the dead
#   one holds.
# Instead: let the worker close on a message, and terminate it only after its answer; or open in the main
#   thread and hand the number over.
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

command -v npm >/dev/null || skip "no npm"
cd "$T"; mkdir w; (cd w; echo '{"private":true}' >package.json
timeout 45 npm install --no-audit --no-fund --cache "$T/npm" deno@2.9.6 >/dev/null 2>&1) || skip "deno 2.9.6 cannot be had from npm here"
DENO="$T/w/node_modules/.bin/deno"; export DENO_DIR="$T/cache" DENO_NO_UPDATE_CHECK=1 HOME="$T"
"$DENO" --version | head -n 1 || skip "deno does not run here"
cat >worker.js <<'JS'
const c = Deno.dlopen("libc.so.6", {
  open: { parameters: ["buffer", "i32", "i32"], result: "i32" },
  flock: { parameters: ["i32", "i32"], result: "i32" },
  mmap: { parameters: ["pointer", "usize", "i32", "i32", "i32", "i64"], result: "pointer" },
}).symbols;
const fd = c.open(new TextEncoder().encode("ffi.lock\0"), 0o102, 0o600);
c.flock(fd, 2);
c.mmap(null, 4096n, 1, 1, fd, 0n);
const file = Deno.openSync("deno.lock", { create: true, write: true });
file.lockSync(true);
postMessage(fd);
JS
cat >main.js <<'JS'
const open = (n) => [...Deno.readDirSync("/proc/self/fd")].some((e) => {
  try { return Deno.readLinkSync("/proc/self/fd/" + e.name).endsWith("/" + n); } catch { return false; }
});
const locked = (n) => Deno.readTextFileSync("/proc/locks").split("\n").some((l) => l.includes(`FLOCK`) && l.includes(` ${Deno.pid} `) && l.includes(`:${Deno.statSync(n).ino} `));
const w = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
await new Promise((r) => w.onmessage = r);
const before = [open("ffi.lock"), open("deno.lock")];
console.log(`before terminate: ffi.lock open ${before[0]}, deno.lock open ${before[1]}`);
w.terminate();
await new Promise((r) => setTimeout(r, 1500));
const after = [open("ffi.lock"), Deno.readTextFileSync("/proc/self/maps").includes("/ffi.lock"), locked("ffi.lock"), open("deno.lock"), locked("deno.lock")];
console.log(`after: ffi.lock open ${after[0]}, mapped ${after[1]}, lock taken ${after[2]}; deno.lock open ${after[3]}, lock taken ${after[4]}`);
Deno.exit(before.join() === "true,true" && after.join() === "true,true,true,false,false" ? 0 : 1);
JS
timeout 60 "$DENO" run --no-config -A main.js || changed "terminate() gives back other things now"
echo "as found"
