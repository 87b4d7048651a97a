import { assert, assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import { Fault } from "../../../src/base/fault.ts";
import { isEmbedded, loadEmbedded, loadFile, shim } from "../../../ffi/shim.ts";
import { SHIM_VERSION, SYMBOLS } from "../../../ffi/symbols.ts";
import "./loaded_shim.ts";

const TOP = new URL("../../../", import.meta.url);
const LIBRARY = new URL("shim/libvmsig_shim.so", TOP);

/** Runs a program of one file under given Deno flags; its exit code and output. */
async function run(
  flags: string[],
  program: string,
  env: Record<string, string> = {},
): Promise<{ code: number; out: string }> {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${folder}/program.ts`, program);
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-check", "--no-prompt", "--no-config", ...flags, `${folder}/program.ts`],
      env,
    }).output();
    return { code, out: new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr) };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Compiles a library of a given version that has nothing else; its bytes and its file. */
async function withLibrary(version: number, use: (file: URL) => void): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${folder}/a.c`, `int vmsig_shim_version(void) { return ${version}; }\n`);
    const { success } = await new Deno.Command("cc", {
      args: ["-shared", "-fPIC", "-o", `${folder}/a.so`, `${folder}/a.c`],
    }).output();
    assert(success, "the compiler works");
    use(new URL(`file://${folder}/a.so`));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function assertOneClearLine(error: Fault, ...parts: string[]): void {
  assertEquals(error.code, "missing");
  assert(!error.message.includes("\n"), `one line: ${error.message}`);
  assert(error.message.startsWith("Cannot load "), error.message);
  for (const part of parts) assertStringIncludes(error.message, part);
}

Deno.test("the symbols are the header, function by function", async () => {
  const header = await Deno.readTextFile(new URL("shim/vmsig_shim.h", TOP));
  const ofC: Record<string, string> = { int32_t: "i32", uint32_t: "u32", double: "f64", void: "void" };
  const declared = new Map<string, { parameters: unknown; result: unknown }>();
  for (const match of header.matchAll(/VMSIG_API (\w+) (\w+)\(([^)]*)\);/g)) {
    const [, result = "", name = "", list = ""] = match;
    const parameters = list.trim() === "void" ? [] : list.split(",").map((parameter) => {
      return parameter.includes("*") ? "buffer" : ofC[parameter.trim().split(" ")[0] ?? ""];
    });
    declared.set(name, { parameters, result: ofC[result] });
  }
  const ours = new Map<string, { parameters: unknown; result: unknown }>();
  for (const [name, { parameters, result }] of Object.entries(SYMBOLS)) {
    if (!name.endsWith("_async")) ours.set(name, { parameters, result });
  }
  assert(declared.size > 60, "the header was read");
  assertEquals([...ours].sort(), [...declared].sort());
  for (
    const [aside, plain] of [
      [SYMBOLS.vmsig_epoll_wait_async, SYMBOLS.vmsig_epoll_wait],
      [SYMBOLS.vmsig_close_async, SYMBOLS.vmsig_close],
    ] as const
  ) assertEquals(aside.parameters as readonly string[], plain.parameters);
  assertStringIncludes(header, `#define VMSIG_SHIM_VERSION ${SHIM_VERSION}\n`);
});

Deno.test("the library is loaded once a thread", () => {
  assert(shim() === shim());
  assertEquals(shim().vmsig_shim_version(), SHIM_VERSION);
});

Deno.test("a library that is not there: one clear line", () => {
  const error = assertThrows(() => loadFile(new URL("nothing.so", LIBRARY)), Fault);
  assertOneClearLine(error, "shim/nothing.so", "scripts/build-shim");
});

Deno.test("sources that are not on this machine: one clear line", () => {
  const error = assertThrows(() => loadFile(new URL("https://example.invalid/shim/a.so")), Fault);
  assertOneClearLine(error, "https://example.invalid/shim/a.so", "run vmsig from files on this machine");
});

Deno.test("a file that is no library: one clear line, from a file and embedded", () => {
  assertOneClearLine(assertThrows(() => loadFile(new URL(import.meta.url)), Fault), "scripts/build-shim");
  const bytes = new TextEncoder().encode("no library");
  assertOneClearLine(assertThrows(() => loadEmbedded(bytes), Fault), "the embedded C shim");
});

Deno.test("a library of another version: one clear line, from a file and embedded", async () => {
  await withLibrary(999, (file) => {
    const error = assertThrows(() => loadFile(file), Fault);
    assertOneClearLine(error, "it is version 999", `${SHIM_VERSION} is needed`, "scripts/build-shim");
    const bytes = Deno.readFileSync(file);
    assertOneClearLine(assertThrows(() => loadEmbedded(bytes), Fault), "embedded", "it is version 999");
  });
});

Deno.test("a library of this version that lacks a function: one clear line", async () => {
  await withLibrary(SHIM_VERSION, (file) => {
    const error = assertThrows(() => loadFile(file), Fault);
    assertOneClearLine(error, "vmsig_", "build it anew: scripts/build-shim");
  });
});

// The library stays loaded, as it does in a compiled executable.
Deno.test("embedded bytes are loaded through a memfd, and work", { sanitizeResources: false }, () => {
  const symbols = loadEmbedded(Deno.readFileSync(LIBRARY));
  assertEquals(symbols.vmsig_shim_version(), SHIM_VERSION);
  const fd = symbols.vmsig_eventfd(0);
  assert(fd >= 0);
  assertEquals(symbols.vmsig_eventfd_write(fd, 5), 8);
  assertEquals(symbols.vmsig_eventfd_read(fd), 5);
  assertEquals(symbols.vmsig_close(fd), 0);
});

Deno.test("a group of functions is bound when one of it is asked for, by an object of before as well", async () => {
  const { code, out } = await run(
    ["--allow-ffi", "--allow-read"],
    `import { bindNextGroup, shim, wholeShim } from ${JSON.stringify(new URL("ffi/shim.ts", TOP).href)};
     import { SYMBOL_GROUPS } from ${JSON.stringify(new URL("ffi/symbol_groups.ts", TOP).href)};
     const has = () => SYMBOL_GROUPS.map((group) => Object.keys(group).every((name) => Object.hasOwn(shim(), name)));
     const before = shim();
     const steps = [has()];
     const early = before.vmsig_eventfd;
     const guard = before.vmsig_guard;
     steps.push(has());
     let bound = 0;
     while (bindNextGroup()) bound++;
     steps.push(has());
     const whole = wholeShim();
     const all = SYMBOL_GROUPS.flatMap((group) => Object.keys(group));
     console.log(JSON.stringify({
       steps, bound,
       same: guard === whole.vmsig_guard && early === whole.vmsig_eventfd && whole === shim(),
       found: all.every((name) => typeof before[name] === "function" && before[name] === whole[name]),
       count: [all.length, new Set(all).size, Object.keys(whole).length],
     }));`,
  );
  assertEquals(code, 0, out);
  const { steps, bound, same, found, count } = JSON.parse(out);
  const groups = steps[0].length;
  assertEquals(steps[0], Array.from({ length: groups }, (_, i) => i === 0));
  assertEquals(steps[1].filter(Boolean).length, 3, "the two that were asked for, and no other");
  assertEquals(steps[2], Array.from({ length: groups }, () => true));
  assertEquals([bound, same, found], [groups - 3, true, true]);
  assertEquals(count, Array.from({ length: 3 }, () => Object.keys(SYMBOLS).length));
});

Deno.test("embedded: nothing in TMPDIR, no descriptor left, and plain --allow-ffi is enough", async () => {
  const empty = await Deno.makeTempDir();
  try {
    const { code, out } = await run(
      ["--allow-ffi", "--allow-read"],
      `import { loadEmbedded } from ${JSON.stringify(new URL("ffi/shim.ts", TOP).href)};
       const bytes = Deno.readFileSync(new URL(${JSON.stringify(LIBRARY.href)}));
       const symbols = loadEmbedded(bytes);
       // The lowest free number before and after a second load is the same: nothing stays open.
       const first = symbols.vmsig_eventfd(0);
       loadEmbedded(bytes);
       const second = symbols.vmsig_eventfd(0);
       console.log("version", symbols.vmsig_shim_version(), "left", second - first - 1);`,
      { TMPDIR: empty },
    );
    assertEquals(code, 0, out);
    assertStringIncludes(out, `version ${SHIM_VERSION} left 0`);
    assertEquals([...Deno.readDirSync(empty)], []);
  } finally {
    await Deno.remove(empty);
  }
});

Deno.test("a compiled executable is told by Deno or, where a Worker is not told, by where its files lie", () => {
  assert(isEmbedded(LIBRARY, true));
  assert(!isEmbedded(LIBRARY, false));
  assert(!isEmbedded(LIBRARY, undefined));
  assert(isEmbedded(new URL("file:///tmp/deno-compile-vmsig/shim/libvmsig_shim.so"), undefined));
  assert(isEmbedded(new URL("file:///tmp/deno-compile-vmsig/shim/libvmsig_shim.so"), false));
});

Deno.test("without --allow-ffi: one clear line that says so", async () => {
  const { code, out } = await run(
    ["--allow-read"],
    `import { shim } from ${JSON.stringify(new URL("ffi/shim.ts", TOP).href)};
     try { shim(); } catch (error) { console.log(error.code, error.message); }`,
  );
  assertEquals(code, 0, out);
  assertMatch(out, /^missing Cannot load .*libvmsig_shim\.so: .*run Deno with --allow-ffi\n$/);
});

Deno.test("the library stays when it is closed: threads and signal handlers of it run on", async () => {
  const program = `
    const library = Deno.dlopen(new URL(${JSON.stringify(LIBRARY.href)}), {
      vmsig_shim_version: { parameters: [], result: "i32" },
    });
    const isMapped = () => Deno.readTextFileSync("/proc/self/maps").includes("libvmsig_shim.so");
    console.log(library.symbols.vmsig_shim_version(), isMapped());
    library.close();
    console.log(isMapped());
  `;
  assertEquals(await run(["-A"], program), { code: 0, out: `${SHIM_VERSION} true\ntrue\n` });
});
