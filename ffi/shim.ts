/**
 * Loads the shim, once per thread, when it is first needed: first what a client needs, and each other group
 * of functions when one of it is called (symbol_groups.ts).
 *
 * Run by Deno, the library lies beside the sources. In a compiled executable it is embedded: Deno would
 * extract it to a file in TMPDIR, which another user of the machine may have put there first. So its bytes go
 * into a memfd and are loaded through /proc/self/fd: no name, nobody else's file, nothing left behind.
 *
 * It does not build the library and does not look for it anywhere else.
 * @module
 */
import { Fault, messageOf } from "../src/base/fault.ts";
import { SYMBOL_GROUPS } from "./symbol_groups.ts";
import { SHIM_VERSION, type ShimSymbols, SYMBOLS, VERSION_SYMBOLS } from "./symbols.ts";

export type { ShimSymbols } from "./symbols.ts";

const LIBRARY: URL = new URL("../shim/libvmsig_shim.so", import.meta.url);
const MFD_CLOEXEC = 1;
const EMBEDDED = "the embedded C shim";

let loaded: ShimSymbols | undefined;

/**
 * The shim's functions.
 *
 * @throws {Fault} `missing` when the library is not there, cannot be loaded, or is of another version
 */
export function shim(): ShimSymbols {
  return loaded ??= isEmbedded(LIBRARY, Deno.build.standalone) ? beginEmbedded() : beginFile(LIBRARY);
}

/**
 * The shim's functions, all of them bound now: for whoever wants to know that they can be, or when.
 *
 * @throws {Fault} `missing`, as {@linkcode shim}
 */
export function wholeShim(): ShimSymbols {
  while (bindNextGroup());
  return shim();
}

/**
 * Binds one group of the shim's functions that is not bound yet.
 *
 * @returns false when all of them are
 * @throws {Fault} `missing`, as {@linkcode shim}
 */
export function bindNextGroup(): boolean {
  const symbols = shim();
  for (const group of SYMBOL_GROUPS) {
    const [name = ""] = Object.keys(group);
    if (Object.hasOwn(symbols, name)) continue;
    // Asking for one of a group binds all of it.
    void Reflect.get(symbols, name);
    return true;
  }
  return false;
}

/** Binds the first group. A name of another one binds the whole of that one when it is asked for. */
function begin(path: string, what: string, onComplete: () => void): ShimSymbols {
  const [first = {}, ...others] = SYMBOL_GROUPS;
  const bound: Record<string, unknown> = { ...bind(path, first, what) };
  const waiting = new Set(others);
  const need = (group: Deno.ForeignLibraryInterface, name: string): unknown => {
    if (waiting.has(group)) {
      // The functions of before stay the same ones: calls of them that V8 has compiled go on being fast.
      Object.assign(bound, bind(path, group, what));
      waiting.delete(group);
      loaded = publish();
      if (waiting.size === 0) onComplete();
    }
    return bound[name];
  };
  // What is bound is the object's own, and found fast; what is not stands behind it. Whoever kept an object
  // from before a group was bound finds it by that one as well.
  const publish = (): ShimSymbols => {
    const behind = {};
    for (const group of waiting) {
      for (const name of Object.keys(group)) {
        Object.defineProperty(behind, name, { get: () => need(group, name) });
      }
    }
    return { __proto__: behind, ...bound } as unknown as ShimSymbols;
  };
  return publish();
}

function beginFile(file: URL): ShimSymbols {
  const path = pathOf(file);
  return begin(path, path, () => {});
}

/** The memfd stays open until all is bound: by its path the same library is found, and no second one. */
function beginEmbedded(): ShimSymbols {
  const memfd = new LibraryMemfd(readLibrary(LIBRARY));
  try {
    return begin(memfd.path, EMBEDDED, () => memfd[Symbol.dispose]());
  } catch (error) {
    memfd[Symbol.dispose]();
    throw error;
  }
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
 * Loads the whole library from a file.
 *
 * @throws {Fault} `missing`, with the remedy
 */
export function loadFile(file: URL): ShimSymbols {
  const path = pathOf(file);
  return bind(path, SYMBOLS, path) as ShimSymbols;
}

/**
 * Loads the whole library from its bytes, through a memfd: what a compiled executable does.
 *
 * @throws {Fault} `missing`, with the remedy
 */
export function loadEmbedded(bytes: Uint8Array): ShimSymbols {
  using memfd = new LibraryMemfd(bytes);
  return bind(memfd.path, SYMBOLS, EMBEDDED) as ShimSymbols;
}

function pathOf(file: URL): string {
  if (file.protocol !== "file:") {
    throw new Fault(
      "missing",
      `Cannot load the C shim from ${file.href}: run vmsig from files on this machine`,
    );
  }
  return decodeURIComponent(file.pathname);
}

/** The library's bytes in memory that has a path. */
class LibraryMemfd implements Disposable {
  readonly #libc = openLibc();
  readonly #fd: number;

  constructor(bytes: Uint8Array) {
    const { memfd_create, write } = this.#libc.symbols;
    this.#fd = memfd_create(new TextEncoder().encode("vmsig-shim\0"), MFD_CLOEXEC);
    try {
      if (this.#fd < 0) throw missing(EMBEDDED, "this kernel gives no memfd (memfd_create failed)");
      for (let done = 0; done < bytes.length;) {
        const rest = bytes.slice(done);
        const n = Number(write(this.#fd, rest, BigInt(rest.length)));
        if (n <= 0) throw missing(EMBEDDED, "its memfd cannot be written; is memory short?");
        done += n;
      }
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  get path(): string {
    return `/proc/self/fd/${this.#fd}`;
  }

  [Symbol.dispose](): void {
    if (this.#fd >= 0) this.#libc.symbols.close(this.#fd);
    this.#libc.close();
  }
}

function readLibrary(file: URL): Uint8Array {
  try {
    return Deno.readFileSync(file);
  } catch (error) {
    throw missing(EMBEDDED, `${messageOf(error)}; compile with --include shim/libvmsig_shim.so`);
  }
}

/** Binds some functions of the library. Its version is what tells why when that cannot be done. */
function bind(path: string, symbols: Deno.ForeignLibraryInterface, what: string): Partial<ShimSymbols> {
  let bound: Partial<ShimSymbols>;
  try {
    bound = Deno.dlopen(path, symbols).symbols as Partial<ShimSymbols>;
  } catch (error) {
    checkVersion(path, what);
    throw missing(what, `${firstLine(error)}; build it anew: scripts/build-shim`, error);
  }
  // The other groups are of the library whose first one told its version.
  if (bound.vmsig_shim_version !== undefined) expectVersion(bound.vmsig_shim_version(), what);
  return bound;
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
  expectVersion(version, what);
}

function expectVersion(version: number, what: string): void {
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
