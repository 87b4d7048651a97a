/** Symbols as an ELF file: what readelf and nm say of it. @module */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { symbolFile } from "../../../src/ram/symbol_file.ts";

async function run(program: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command(program, { args }).output();
  const said = new TextDecoder().decode(stderr);
  assertEquals([code, said], [0, ""], `${program} ${args.join(" ")}`);
  return new TextDecoder().decode(stdout);
}

const START = -0x7000_0000;

Deno.test("symbols are in their sections, and what is no name or no address of the kernel's is left out", async () => {
  const symbols = new Map([
    ["_stext", START],
    ["vfs_read", START + 0x1230],
    ["jiffies", START + 0x20_0000],
    ["per_cpu_offset", 0x20],
    ["bad name\u001b[31m", START + 8],
    ["", START + 16],
    ["x".repeat(600), START + 24],
  ]);
  const path = Deno.makeTempFileSync({ prefix: "vmsig-symbols-" });
  try {
    for (const machine of ["x86-64", "aarch64"] as const) {
      const { bytes, count } = symbolFile(symbols, START + 0x10_0000, machine);
      assertEquals(count, 3);
      Deno.writeFileSync(path, bytes);
      assertEquals((await run("nm", "-n", path)).trim().split("\n"), [
        "ffffffff90000000 T _stext",
        "ffffffff90001230 T vfs_read",
        "ffffffff90200000 B jiffies",
      ]);
      const text = await run("readelf", "-hSW", path);
      assertMatch(text, machine === "aarch64" ? /Machine: +AArch64/ : /Machine: +.*X86-64/);
      assertMatch(text, /\.text +NOBITS +ffffffff90000000 [0-9a-f]+ 100000/);
    }
    for (const none of [new Map<string, number>(), new Map([["a", 1]])]) {
      Deno.writeFileSync(path, symbolFile(none, undefined, "x86-64").bytes);
      assertMatch(await run("readelf", "-sW", path), /contains 1 entr/);
    }
    const far = symbolFile(new Map([["low", -(2 ** 47)], ["high", -4096]]), START, "x86-64");
    assert(far.count === 2);
  } finally {
    Deno.removeSync(path);
  }
});
