/**
 * The C floor of the memory benches, as a library in this process: compiled on demand, called on the very
 * mapping that src/guest reads.
 * @module
 */

const SOURCE = new URL("./c/mem_floor.c", import.meta.url).pathname;

const SYMBOLS = {
  floor_translate: { parameters: ["pointer", "u64", "u64", "u64", "i32", "buffer", "u32"], result: "u64" },
  floor_translate_chain: {
    parameters: ["pointer", "u64", "u64", "u64", "i32", "buffer", "u32", "u32"],
    result: "u64",
  },
  floor_scatter_plain: {
    parameters: ["pointer", "u64", "u64", "u64", "i32", "buffer", "u32", "buffer"],
    result: "u64",
  },
  floor_scatter: {
    parameters: ["pointer", "u64", "u64", "u64", "i32", "buffer", "u32", "buffer", "buffer"],
    result: "u64",
  },
  floor_read: {
    parameters: ["pointer", "u64", "u64", "u64", "i32", "u64", "u32", "u64", "u32", "u32", "buffer"],
    result: "u64",
  },
  floor_memcpy: { parameters: ["pointer", "u32", "u64", "u32", "u32", "buffer"], result: "u64" },
} as const;

/** The floor's functions; see c/mem_floor.c. */
export type MemFloor = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

let loaded: MemFloor | undefined;

/** Compiles and loads it, once. */
export function memFloor(): MemFloor {
  if (loaded !== undefined) return loaded;
  const folder = Deno.makeTempDirSync({ prefix: "vmsig-bench-" });
  try {
    const library = `${folder}/mem_floor.so`;
    const { code, stderr } = new Deno.Command("cc", {
      args: ["-std=gnu11", "-O2", "-fPIC", "-shared", "-Wall", "-Wextra", "-Werror", "-o", library, SOURCE],
    }).outputSync();
    if (code !== 0) throw new Error(`cc mem_floor.c: ${new TextDecoder().decode(stderr)}`);
    loaded = Deno.dlopen(library, SYMBOLS).symbols;
    return loaded;
  } finally {
    // What is loaded stays loaded.
    Deno.removeSync(folder, { recursive: true });
  }
}
