#!/usr/bin/env bash
# Deno's TOML parser copies a whole table once for each of its keys.
#
# Expected: parsing a table of n keys takes work in proportion to n.
# Found: the parser reads the pairs of a table one by one and merges each into a fresh copy of what it has so
#   far, so a table of n keys costs about n*n/2 key copies (counted here by calls of Object.hasOwn, not by the
#   clock). The same n keys spread over tables of ten keys cost next to nothing.
# Versions: deno-std 1.4.0 (npm; Deno's @std repackaged), Node.js 20. Seen 2026-11-28.
# Seen: one table of 200 keys: 20100 copies; of 800 keys: 320400; ratio 15.9 (4 would be in proportion)
#   800 keys in 80 tables of ten: 4400 copies
# Matters to: daemons whose configuration maps names to VMs, keys or addresses in one flat table and is read
#   again on each change: ten thousand keys are fifty million copies, on the thread that also serves.
# Instead: nest (one sub-table per VM), use JSON for generated lists, or parse in a Worker.
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

command -v node >/dev/null && command -v npm >/dev/null || skip "no node or npm"
cd "$T"; echo '{"private":true,"type":"module"}' >package.json
timeout 45 npm install --no-audit --no-fund --ignore-scripts --cache "$T/npm" deno-std@1.4.0 >/dev/null 2>&1 || skip "deno-std 1.4.0 cannot be had from npm here"
echo "deno-std 1.4.0, Node.js $(node --version)"
cat >t.js <<'JS'
import { parse } from "./node_modules/deno-std/toml/mod.js";
const real = Object.hasOwn;
function copies(text, keys) {
  let n = 0;
  Object.hasOwn = (...a) => (n++, real(...a));
  try {
    const t = parse(text);
    if (Object.values(t).reduce((s, x) => s + Object.keys(x).length, 0) !== keys) throw new Error("keys are missing");
  } finally { Object.hasOwn = real; }
  return n;
}
const table = (name, n) => `[${name}]\n` + Array.from({ length: n }, (_, i) => `k${i} = ${i}\n`).join("");
const a = copies(table("t", 200), 200), b = copies(table("t", 800), 800);
const c = copies(Array.from({ length: 80 }, (_, i) => table("t" + i, 10)).join(""), 800);
console.log(`one table of 200 keys: ${a} copies; of 800 keys: ${b}; ratio ${(b / a).toFixed(1)} (4 would be in proportion)`);
console.log(`800 keys in 80 tables of ten: ${c} copies`);
process.exit(b / a > 12 && c < b / 10 ? 0 : 1);
JS
timeout 60 node t.js || changed "the work is no longer that of n*n"
echo "as found"
