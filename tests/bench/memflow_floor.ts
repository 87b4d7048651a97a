/**
 * memflow 0.2.4 as a library in this process, called on the very mapping that src/guest reads: built by cargo
 * where there is one, from a copy in TMPDIR that is kept for the next run. memflow itself is pinned; what it
 * depends on is not.
 * @module
 */
import { messageOf } from "../../src/base/fault.ts";

const CRATE = new URL("./rust/memflow_floor", import.meta.url).pathname;

const SYMBOLS = {
  memflow_translate: { parameters: ["pointer", "u64", "u64", "buffer", "u32"], result: "u64" },
  memflow_read8: { parameters: ["pointer", "u64", "u64", "buffer", "u32"], result: "u32" },
  memflow_read: {
    parameters: ["pointer", "u64", "u64", "u64", "u32", "u32", "u32", "buffer"],
    result: "u64",
  },
} as const;

/** Its functions; see rust/memflow_floor/src/lib.rs. */
export type MemflowFloor = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

/** Builds and loads it; a text that says why not where that cannot be done. */
export function memflowFloor(): MemflowFloor | string {
  const folder = `${Deno.env.get("TMPDIR") ?? "/tmp"}/vmsig-memflow-floor`;
  try {
    Deno.mkdirSync(`${folder}/src`, { recursive: true });
    for (const file of ["Cargo.toml", "src/lib.rs"]) {
      Deno.copyFileSync(`${CRATE}/${file}`, `${folder}/${file}`);
    }
    const { code, stderr } = new Deno.Command("cargo", {
      args: ["build", "--release", "--quiet"],
      cwd: folder,
      env: { CARGO_TARGET_DIR: folder },
    }).outputSync();
    if (code !== 0) return new TextDecoder().decode(stderr).trim().split("\n").at(-1) ?? "cargo failed";
    return Deno.dlopen(`${folder}/release/libmemflow_floor.so`, SYMBOLS).symbols;
  } catch (error) {
    return `no cargo: ${messageOf(error)}`;
  }
}
