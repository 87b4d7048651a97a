#!/usr/bin/env bash
# Each ArrayBuffer that Deno's FFI puts over a mapping counts as heap of the mapping's size: looking at
# guest RAM through fresh ones makes V8 collect garbage all the time.
#
# Expected: Deno.UnsafePointerView.getArrayBuffer() is a view of memory that is not V8's; making one costs
#   some bytes, whatever its length is.
# Found: V8 books the whole length as external memory of the program until the view is collected. A loop
#   that makes a view of 16 GiB and reads 8 bytes of it drives the sum past any limit, and V8 answers with
#   full collections ("external memory pressure"), none of which frees a byte; memoryUsage().external shows
#   more than the machine has. The same loop over one view that is kept runs without a single one.
# Versions: Deno 2.9.6 (npm), Linux, glibc's libc.so.6. Seen 2026-11-29.
# Seen: one view kept, 3000 reads: 1 full collection, external 16 GiB
#   a fresh view each time, 3000 reads: more than 20 full collections, external over 64 GiB
# Matters to: introspection, frame buffers and rings over mmap in Deno: a small program stutters, the more
#   the larger the VM, and a monitor of its memory reports nonsense.
# Instead: one getArrayBuffer for the life of the mapping, and subarray or DataView of it; or
#   UnsafePointerView's own getUint32 and copyInto, which book nothing.
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
DENO="$T/w/node_modules/.bin/deno"; export DENO_DIR="$T/cache" DENO_NO_UPDATE_CHECK=1 HOME="$T" NO_COLOR=1
"$DENO" --version | head -n 1 || skip "deno does not run here"
cat >view.js <<'JS'
const c = Deno.dlopen("libc.so.6", {
  memfd_create: { parameters: ["buffer", "u32"], result: "i32" },
  ftruncate: { parameters: ["i32", "i64"], result: "i32" },
  mmap: { parameters: ["pointer", "usize", "i32", "i32", "i32", "i64"], result: "pointer" },
}).symbols;
const size = 2 ** 34, fd = c.memfd_create(new Uint8Array([114, 0]), 0);
c.ftruncate(fd, BigInt(size));                              // 16 GiB of nothing: only its first page is touched
const at = c.mmap(null, BigInt(size), 1, 1, fd, 0n), fresh = Deno.args[0] === "fresh";
const kept = fresh ? null : Deno.UnsafePointerView.getArrayBuffer(at, size);
let most = 0;
for (let i = 0; i < 3000; i++) {
  new Uint8Array(kept ?? Deno.UnsafePointerView.getArrayBuffer(at, size), 0, 8)[0];
  most = Math.max(most, Deno.memoryUsage().external);
}
console.log(`\nEXTERNAL ${Math.floor(most / 2 ** 30)}`);
JS
for way in kept fresh; do timeout 60 "$DENO" run -A --v8-flags=--trace-gc view.js "$way" >"$way" || changed "the loop does not run"; done
full() { grep -o 'Mark-Compact' "$1" | wc -l; }
external() { sed -n 's/.*EXTERNAL //p' "$1"; }
one=$(full kept); many=$(full fresh); kept=$(external kept); fresh=$(external fresh)
more="$many"; if [ "$many" -gt 20 ]; then more="more than 20"; fi
over="$fresh"; if [ "$fresh" -gt 64 ]; then over="over 64"; fi
echo "one view kept, 3000 reads: $one full collection, external $kept GiB"
echo "a fresh view each time, 3000 reads: $more full collections, external $over GiB"
[ "$one" -le 2 ] && [ "$many" -gt 20 ] && [ "$kept" = 16 ] && [ "$fresh" -gt 64 ] || changed "views are booked in another way now"
echo "as found"
