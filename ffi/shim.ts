/**
 * Loads the shim, once a thread, when it is first needed.
 *
 * Run by Deno, the library lies beside the sources. In a compiled executable it is embedded: Deno would
 * extract it to a file in TMPDIR, which another user of the machine may have put there first. So its bytes go
 * into a memfd and are loaded through /proc/self/fd: no name, nobody else's file, nothing left behind.
 *
 * It does not build the library and does not look for it anywhere else.
 * @module
 */
import { Fault, messageOf } from "../src/base/fault.ts";
import { SHIM_VERSION, type ShimSymbols, SYMBOLS, VERSION_SYMBOLS } from "./symbols.ts";

export type { ShimSymbols } from "./symbols.ts";

const LIBRARY: URL = new URL("../shim/libvmsig_shim.so", import.meta.url);
const MFD_CLOEXEC = 1;

let loaded: ShimSymbols | undefined;

/**
 * The shim's functions.
 *
 * @throws {Fault} `missing` when the library is not there, cannot be loaded, or is of another version
 */
export function shim(): ShimSymbols {
  return loaded ??= isEmbedded(LIBRARY, Deno.build.standalone)
    ? loadEmbedded(readLibrary(LIBRARY))
    : loadFile(LIBRARY);
}

/**
 * Whether a file is inside a compiled executable. In a Worker Deno 2.4.2 does not tell (`standalone` is
 * undefined there), but the embedded files of an executable APP always lie under TMPDIR/deno-compile-APP,
 * where nothing is on disk. To be wrong about a real file of such a name does no harm: its bytes are read and
 * loaded as well.
 *
 * @param file where the library would be
 * @param standalone what `Deno.build.standalone` says on this thread
 */
export function isEmbedded(file: URL, standalone: boolean | undefined): boolean {
  return standalone === true || file.pathname.includes("/deno-compile-");
}

/**
 * Loads the library from a file.
 *
 * @throws {Fault} `missing`, with the remedy
 */
export function loadFile(file: URL): ShimSymbols {
  if (file.protocol !== "file:") {
    throw new Fault(
      "missing",
      `Cannot load the C shim from ${file.href}: run vmsig from files on this machine`,
    );
  }
  return open(decodeURIComponent(file.pathname), decodeURIComponent(file.pathname));
}

/**
 * Loads the library from its bytes, through a memfd: what a compiled executable does.
 *
 * @throws {Fault} `missing`, with the remedy
 */
export function loadEmbedded(bytes: Uint8Array): ShimSymbols {
  const libc = openLibc();
  const { memfd_create, write, close } = libc.symbols;
  const fd = memfd_create(new TextEncoder().encode("vmsig-shim\0"), MFD_CLOEXEC);
  try {
    if (fd < 0) throw missing("the embedded C shim", "this kernel gives no memfd (memfd_create failed)");
    for (let done = 0; done < bytes.length;) {
      const rest = bytes.slice(done);
      const n = Number(write(fd, rest, BigInt(rest.length)));
      if (n <= 0) throw missing("the embedded C shim", "its memfd cannot be written; is memory short?");
      done += n;
    }
    return open(`/proc/self/fd/${fd}`, "the embedded C shim");
  } finally {
    if (fd >= 0) close(fd);
    libc.close();
  }
}

function readLibrary(file: URL): Uint8Array {
  try {
    return Deno.readFileSync(file);
  } catch (error) {
    throw missing("the embedded C shim", `${messageOf(error)}; compile with --include shim/libvmsig_shim.so`);
  }
}

function open(path: string, what: string): ShimSymbols {
  checkVersion(path, what);
  try {
    return Deno.dlopen(path, SYMBOLS).symbols;
  } catch (error) {
    throw missing(what, `${firstLine(error)}; build it anew: scripts/build-shim`, error);
  }
}

// First by the one symbol that never changes: an older library lacks others, and would be told as a missing
// symbol.
function checkVersion(path: string, what: string): void {
  let version: number;
  try {
    const library = Deno.dlopen(path, VERSION_SYMBOLS);
    version = library.symbols.vmsig_shim_version();
    library.close();
  } catch (error) {
    const remedy = error instanceof Deno.errors.NotCapable
      ? "run Deno with --allow-ffi"
      : "build it: scripts/build-shim";
    throw missing(what, `${firstLine(error)}; ${remedy}`, error);
  }
  if (version !== SHIM_VERSION) {
    throw missing(
      what,
      `it is version ${version}, and ${SHIM_VERSION} is needed; build it anew: scripts/build-shim`,
    );
  }
}

function openLibc() {
  try {
    return Deno.dlopen("libc.so.6", {
      memfd_create: { parameters: ["buffer", "u32"], result: "i32" },
      write: { parameters: ["i32", "buffer", "usize"], result: "isize" },
      close: { parameters: ["i32"], result: "i32" },
    });
  } catch (error) {
    throw missing("libc.so.6", firstLine(error), error);
  }
}

function missing(what: string, why: string, cause?: unknown): Fault {
  return new Fault("missing", `Cannot load ${what}: ${why}`, { cause });
}

function firstLine(error: unknown): string {
  return messageOf(error).split("\n", 1)[0] ?? "";
}
