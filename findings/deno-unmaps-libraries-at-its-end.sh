#!/usr/bin/env bash
# Deno unmaps a library that was opened by dlopen as the process ends, without anybody having closed it,
#   while the library's own threads still run.
#
# Expected: what was never closed stays until the process is gone, as in C and in Python's ctypes: only the
#   destructors of the library are called.
# Found: Deno closes its libraries itself as it ends, and the loader takes them out of memory (LD_DEBUG says
#   "destroying link map"), some time before the process is gone. A thread that the library started has no
#   code and no data from then on, a signal handler that it installed neither.
# Versions: Deno 2.9.6 (npm), Python 3, glibc. Seen 2026-11-29.
# Seen: deno: called init, called fini, unmapped
#   deno, library linked with nodelete: called init, called fini
#   python: called init, called fini
# Matters to: libraries with worker threads, timers or signal handlers under Deno's FFI. On an idle machine
#   nothing is seen, as the process is gone before anything of the library runs again; on a busy one, one in
#   some 75 processes of ours ended by SIGSEGV with its work done and its output written.
# Instead: link such a library with -Wl,-z,nodelete, which closing does not unmap.
set -euo pipefail
skip() { echo "SKIP: $1"; exit 77; }
changed() { if [ "$?" = 124 ]; then skip "took too long here"; fi; echo "CHANGED: $1"; exit 1; }
T=$(mktemp -d)
trap 'rm -rf "$T"' EXIT

command -v npm >/dev/null || skip "no npm"
command -v python3 >/dev/null || skip "no python3"
command -v cc >/dev/null || skip "no C compiler"
cd "$T"; mkdir w; (cd w; echo '{"private":true}' >package.json
timeout 45 npm install --no-audit --no-fund --cache "$T/npm" deno@2.9.6 >/dev/null 2>&1) || skip "deno 2.9.6 cannot be had from npm here"
DENO="$T/w/node_modules/.bin/deno"; export DENO_DIR="$T/cache" DENO_NO_UPDATE_CHECK=1 HOME="$T"
"$DENO" --version | head -n 1 || skip "deno does not run here"
python3 --version

cat >thread.c <<'C'
int pause(void);
int pthread_create(unsigned long *, const void *, void *(*)(void *), void *);
static void *asleep(void *unused) { for (;;) pause(); return unused; }
int start(void) { unsigned long thread; return pthread_create(&thread, 0, asleep, 0); }
C
cc -shared -fPIC -pthread -o plain.so thread.c
cc -shared -fPIC -pthread -Wl,-z,nodelete -o stays.so thread.c
cat >open.js <<'JS'
const library = Deno.dlopen(Deno.args[0], { start: { parameters: [], result: "i32" } });
if (library.symbols.start() !== 0) throw new Error("no thread");
console.log("the program is done");
JS
cat >open.py <<'PY'
import ctypes, sys
library = ctypes.CDLL(sys.argv[1])
if library.start() != 0: sys.exit("no thread")
print("the program is done")
PY

# What the loader says of a library after all of a program.
fate() {
  local file=$1; shift
  LD_DEBUG=files timeout 60 "$@" >said 2>&1 || skip "the program does not run here"
  grep -q "the program is done" said || skip "the program does not run here"
  local fate=
  grep -q "calling init: .*/$file" said && fate="called init"
  grep -q "calling fini: .*/$file" said && fate="$fate, called fini"
  grep -q "file=.*/$file .*destroying link map" said && fate="$fate, unmapped"
  echo "$fate"
}
plain=$(fate plain.so "$DENO" run -A --no-config open.js "$T/plain.so")
stays=$(fate stays.so "$DENO" run -A --no-config open.js "$T/stays.so")
python=$(fate plain.so python3 open.py "$T/plain.so")
echo "deno: $plain"
echo "deno, library linked with nodelete: $stays"
echo "python: $python"
[ "$plain" = "called init, called fini, unmapped" ] || changed "Deno leaves a library where it is"
[ "$stays" = "called init, called fini" ] && [ "$python" = "called init, called fini" ] ||
  changed "the loader says something else of libraries that stay"
