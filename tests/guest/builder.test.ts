/**
 * The guest builder: caching, module order, its errors; and Deno inside a guest.
 * @module
 */
import {
  assert,
  assertEquals,
  assertMatch,
  assertNotEquals,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { Fault } from "../../src/base/fault.ts";
import { buildGuest } from "./build.ts";
import { compiledProgram } from "./c_program.ts";
import { CACHE_DIR, cached, exists, forgetOldest } from "./content_cache.ts";
import { CpioWriter } from "./cpio_writer.ts";
import { GUEST_DENO } from "./deno_payload.ts";
import { modulesInOrder } from "./kernel_modules.ts";
import { kernelOf } from "./kernel_package.ts";
import { startGuest } from "./qemu.ts";

Deno.test("builder: equal specs share an image, another file makes another", async () => {
  const spec = { programs: ["evrec"], files: { "/etc/mark": "one" } };
  const [first, same, other] = await Promise.all([
    buildGuest(spec),
    buildGuest({ ...spec }),
    buildGuest({ ...spec, files: { "/etc/mark": "two" } }),
  ]);
  assertEquals(first, same);
  assertEquals(first.kernelPath, other.kernelPath);
  assertNotEquals(first.initrdPath, other.initrdPath);
  const image = new TextDecoder("latin1").decode(await Deno.readFile(first.initrdPath));
  for (const name of ["init\0", "bin/evrec\0", "etc/mark\0", "modules.list\0"]) {
    assertStringIncludes(image, name);
  }
});

Deno.test("builder: modules come after what they depend on", async () => {
  const modules = await modulesInOrder(await kernelOf("cloud"), ["virtio-input", "virtio_pci"]);
  const names = modules.map(({ name }) => name);
  for (
    const [before, after] of [["virtio_ring", "virtio"], ["virtio", "virtio_input"], ["virtio", "virtio_pci"]]
  ) {
    assert(names.indexOf(before ?? "") >= 0, `${before} is among ${names}`);
    assert(
      names.indexOf(before ?? "") < names.indexOf(after ?? ""),
      `${before} comes before ${after} in ${names}`,
    );
  }
  assertEquals(new Set(names).size, names.length);
});

Deno.test("builder: what is not there is told in one line", async () => {
  await assertRejects(() => buildGuest({ modules: ["no_such_module"] }), Fault, "module no_such_module");
  await assertRejects(
    () => buildGuest({ programs: ["no_such_program"] }),
    Fault,
    "no program no_such_program",
  );
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${folder}/bad.c`, "int main(void) { return nothing; }\n");
    const bad = { name: "bad", sources: [`${folder}/bad.c`] };
    const error = await assertRejects(() => compiledProgram(bad), Fault);
    assertStringIncludes(error.message, "nothing");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("builder: a thing that many build at once is there once, and whole", async () => {
  const kind = `test-${crypto.randomUUID()}`;
  let made = 0;
  const make = async (staging: string) => {
    made++;
    await Deno.mkdir(staging);
    await Deno.writeTextFile(`${staging}/content`, "whole");
  };
  const paths = await Promise.all(Array.from({ length: 8 }, () => cached(kind, "thing", make)));
  try {
    assert(made >= 1);
    assertEquals(new Set(paths).size, 1);
    assertEquals(await Deno.readTextFile(`${paths[0]}/content`), "whole");
    assertEquals([...Deno.readDirSync(`${CACHE_DIR}${kind}`)].map((entry) => entry.name), ["thing"]);
  } finally {
    await Deno.remove(`${CACHE_DIR}${kind}`, { recursive: true });
  }
});

Deno.test("builder: a failed build leaves nothing in the cache", async () => {
  const kind = `test-${crypto.randomUUID()}`;
  try {
    const failing = () =>
      cached(kind, "thing", () => Promise.reject(new Fault("refused", "Cannot build: on purpose")));
    await assertRejects(failing, Fault, "on purpose");
    assertEquals([...Deno.readDirSync(`${CACHE_DIR}${kind}`)], []);
    const path = await cached(kind, "thing", (staging) => Deno.writeTextFile(staging, "second try"));
    assertEquals(await Deno.readTextFile(path), "second try");
  } finally {
    await Deno.remove(`${CACHE_DIR}${kind}`, { recursive: true });
  }
});

Deno.test("builder: the oldest of a kind is forgotten, what was just used is not", async () => {
  const kind = `test-${crypto.randomUUID()}`;
  try {
    const paths: string[] = [];
    for (const name of ["old", "older", "fresh"]) {
      paths.push(await cached(kind, name, (staging) => Deno.writeFile(staging, new Uint8Array(1000))));
    }
    const [old = "", older = "", fresh = ""] = paths;
    await Deno.utime(old, new Date(1_000_000), new Date(1_000_000));
    await Deno.utime(older, new Date(500_000), new Date(500_000));
    await forgetOldest(kind, 2000);
    assertEquals([await exists(old), await exists(older), await exists(fresh)], [true, false, true]);
    await forgetOldest(kind, 0);
    assertEquals([await exists(old), await exists(fresh)], [false, true]);
  } finally {
    await Deno.remove(`${CACHE_DIR}${kind}`, { recursive: true });
  }
});

Deno.test("builder: archives are newc: aligned, with folders before files and an end", () => {
  const cpio = new CpioWriter();
  cpio.file("/a/b/c.txt", "hello");
  cpio.link("/a/link", "b/c.txt");
  const parts = cpio.finish();
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  assertEquals(length % 4, 0);
  const text = parts.map((part) => new TextDecoder().decode(part)).join("");
  const names = [...text.matchAll(/070701[0-9a-f]{104}([^\0]+)\0/g)].map((match) => match[1]);
  assertEquals(names, ["a", "a/b", "a/b/c.txt", "a/link", "TRAILER!!!"]);
});

const IN_GUEST = `
import { Fault } from "./src/base/fault.ts";
import { assertEquals } from "@std/assert";
const shim = Deno.dlopen("/repo/shim/libvmsig_shim.so", { vmsig_shim_version: { parameters: [], result: "i32" } });
assertEquals(new Fault("busy", "Cannot: x").code, "busy");
console.log("deno", Deno.version.deno, "shim", shim.symbols.vmsig_shim_version() > 0, "uinput", Deno.statSync("/dev/uinput").isCharDevice);
`;

Deno.test("builder: Deno, the shim and this checkout run inside a guest with uinput", async () => {
  await using vm = await startGuest({
    kernel: "generic",
    modules: ["uinput"],
    deno: ["src/base"],
    files: { "/repo/in_guest.ts": IN_GUEST },
    smp: 2,
    ramMiB: 1200,
  });
  const ran = await vm.agent.run(...GUEST_DENO, "/repo/in_guest.ts");
  assertEquals(ran.code, 0, ran.text);
  assertMatch(ran.text, new RegExp(`deno ${Deno.version.deno.replaceAll(".", "\\.")} shim true uinput true`));
});
