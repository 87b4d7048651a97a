/**
 * A Windows guest found in a built image, for each layout: what is listed is what was built.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { findWindows } from "../../../../src/guest/win32/find_windows.ts";
import { findLowStubs } from "../../../../src/guest/win32/low_stub.ts";
import type { WindowsGuest } from "../../../../src/guest/win32/windows_guest.ts";
import {
  BUILD_17763,
  BUILD_19045,
  BUILD_24H2,
  type BuildLayout,
  KERNEL_BASE,
  MODULES,
  PROCESSES,
  RVA,
  signed,
  STUB_GPA,
  WindowsImage,
  type WindowsSpec,
} from "../../../fixtures/windows_image.ts";
import { utf16 } from "../../../fixtures/windows_pool.ts";
import type { BuiltProcess } from "../../../fixtures/windows_process.ts";

const LAYOUTS: readonly BuildLayout[] = [BUILD_17763, BUILD_19045, BUILD_24H2];

function open(image: WindowsImage): WindowsGuest {
  const result = findWindows(image.memory);
  assert(result.found, result.found ? "" : result.detail);
  return result.os;
}

function expected(image: WindowsImage, built: BuiltProcess): unknown {
  return {
    pid: built.spec.pid,
    ppid: built.spec.ppid,
    name: built.spec.name.slice(0, 14),
    root: built.root,
    kernelThread: built.spec.minimal === true,
    object: signed(built.object),
    exited: false,
    unlinked: false,
    peb: Number(built.peb),
    userRoot: image.spec.kvaShadow === true ? built.shadowRoot : 0,
  };
}

function checkAll(spec: WindowsSpec): void {
  const image = new WindowsImage(spec);
  const os = open(image);
  const { layout } = spec;
  assertEquals(os.kind, "windows");
  assertEquals(os.version, `10.0.${layout.build}`);
  assertEquals(os.levels, image.levels);
  assertEquals(os.isolated, spec.kvaShadow === true);
  assertEquals(os.kernelBase, signed(KERNEL_BASE));
  assertEquals(os.kernel.root, image.kernelRoot);
  const { pid, links, name, peb, inheritedFrom } = os.layout;
  assertEquals({ pid, links, name, peb, inheritedFrom }, {
    pid: layout.pid,
    links: layout.links,
    name: layout.name,
    peb: layout.peb,
    inheritedFrom: layout.inheritedFrom,
  });
  assertEquals(os.layout.userRoot, spec.kvaShadow === true ? layout.userRoot : undefined);
  assertEquals(os.layout.scheduled, layout.scheduled);
  assertEquals(os.layout.vad?.offset, layout.vadRoot);
  assertEquals(os.layout.vad?.protectionShift, layout.protectionShift);

  const { items, end } = os.processes();
  assertEquals(end, { complete: true });
  assertEquals<unknown>(items, image.built.map((built) => expected(image, built)));
  for (const built of image.built) checkProcess(os, built);

  assertEquals(os.modules(), {
    items: MODULES.map(([name, base, sizeBytes]) => ({ name, base: signed(base), sizeBytes })),
    end: { complete: true },
  });
  assertEquals(os.symbol("ZwClose"), signed(KERNEL_BASE) + 0x4560);
  assertEquals(os.symbol("RtlForwarded"), undefined);
  assertEquals(os.nearestSymbol(signed(KERNEL_BASE) + RVA.NtBuildNumber + 3), {
    name: "NtBuildNumber",
    address: signed(KERNEL_BASE) + RVA.NtBuildNumber,
    offsetBytes: 3,
  });
  assertEquals(os.nearestSymbol(signed(KERNEL_BASE) + 0x4560), {
    name: "ZwClose",
    address: signed(KERNEL_BASE) + 0x4560,
    offsetBytes: 0,
  });
  assertEquals(os.nearestSymbol(signed(KERNEL_BASE) + 8), undefined, "below the first export");
  assertEquals(os.nearestSymbol(-1), undefined, "outside the image");
  assertEquals(os.stillThere(), true);
}

function checkProcess(os: WindowsGuest, built: BuiltProcess): void {
  const process = os.process(built.spec.pid);
  assert(process !== undefined);
  const line = built.commandLine === "" ? [] : [built.commandLine];
  assertEquals(os.commandLine(process), line);
  assertEquals(os.modulesOf(process), {
    items: [...built.modules, ...built.modules32].map((m) => ({ ...m, base: Number(m.base) })),
    end: { complete: true },
  });
  assertEquals(os.maps(process), {
    items: built.ranges.map((range) => ({
      start: Number(range.start),
      end: Number(range.end),
      perms: range.perms,
      fileOffset: 0,
      name: range.name,
    })),
    end: { complete: true },
  });
}

for (const layout of LAYOUTS) {
  for (const levels of [4, 5] as const) {
    for (const kvaShadow of [false, true]) {
      Deno.test(`build ${layout.build}, ${levels} levels${kvaShadow ? ", KVA shadow" : ""}: found and listed`, () => {
        checkAll({ layout, levels, kvaShadow });
      });
    }
  }
  for (const levels of [4, 5] as const) {
    Deno.test(`build ${layout.build}, ${levels} levels: found without a low stub`, () => {
      checkAll({ layout, levels, lowStub: false });
    });
  }
}

Deno.test("a kernel whose first pages are all mapped is found as one with VBS gaps is", () => {
  checkAll({ layout: BUILD_19045, whole: true });
});

Deno.test("a kernel that large pages map is found, with and without a low stub", () => {
  for (const lowStub of [true, false]) {
    for (const levels of [4, 5] as const) checkAll({ layout: BUILD_24H2, largePages: true, lowStub, levels });
  }
});

Deno.test("the low stub says entry point, root and levels", () => {
  for (const levels of [4, 5] as const) {
    const image = new WindowsImage({ layout: BUILD_19045, levels });
    const entry = signed(KERNEL_BASE) + 0xa1_0040;
    assertEquals(findLowStubs(image.memory), [{ gpa: STUB_GPA, entry, root: image.kernelRoot, levels }]);
    for (
      const [at, hi, lo] of [[0, 0, 0x0006_4de9], [0, 1, 0x0006_4de8], [0x70, 0x7ff8, 0], [
        0xa0,
        0,
        0x123,
      ]] as const
    ) {
      const spoilt = new WindowsImage({ layout: BUILD_19045, levels });
      spoilt.ram.put64(STUB_GPA + at, hi, lo);
      assertEquals(findLowStubs(spoilt.memory), []);
    }
  }
});

Deno.test("the kernel's root is that of the System process, whichever root the stub has", () => {
  const image = new WindowsImage({ layout: BUILD_19045 });
  image.ram.put64(STUB_GPA + 0xa0, 0, image.process("smss.exe").root);
  assertEquals(open(image).kernel.root, image.kernelRoot);
});

Deno.test("a command line longer than a page is read whole", () => {
  const image = new WindowsImage({ layout: BUILD_19045 });
  const os = open(image);
  const { root } = image.process("explorer.exe");
  const line = Array.from({ length: 2600 }, (_, i) => String.fromCharCode(0x3b1 + i % 24)).join("");
  image.tables.pokeBytes(root, 0x1a0_00000900n, utf16(line));
  image.tables.poke64(root, 0x1a0_00000170n, BigInt(line.length * 2));
  image.tables.poke64(root, 0x1a0_00000178n, 0x1a0_00000900n);
  const process = os.process(4120);
  assert(process !== undefined);
  assertEquals(os.commandLine(process), [line]);
});

Deno.test("RAM without a linear view gives the same", () => {
  checkAll({ layout: BUILD_24H2, scattered: true, kvaShadow: true });
});

Deno.test("a 32-bit process shows the modules of both halves", () => {
  const processes = [...PROCESSES, { name: "old.exe", pid: 6000, ppid: 4120, wow64: true }];
  for (const layout of LAYOUTS) {
    const image = new WindowsImage({ layout, processes });
    const os = open(image);
    const old = image.process("old.exe");
    assertEquals(old.modules32.length, 1);
    checkProcess(os, old);
  }
});

Deno.test("the live root decides: the kernel's, a process's, a shadowed one; not another", () => {
  const image = new WindowsImage({ layout: BUILD_19045, kvaShadow: true });
  const smss = image.process("smss.exe");
  for (const liveRoot of [image.kernelRoot, smss.root + 2, smss.shadowRoot + 1]) {
    assert(findWindows(image.memory, { liveRoot }).found, `under 0x${liveRoot.toString(16)}`);
  }
  const other = image.tables.allocate();
  const result = findWindows(image.memory, { liveRoot: other });
  assert(!result.found);
  assertEquals(result.reason, "no-kernel");
  assert(result.detail.includes("does not map it"), result.detail);
});

Deno.test("user memory reads under the process's root", () => {
  const image = new WindowsImage({ layout: BUILD_19045 });
  const os = open(image);
  const built = image.process("explorer.exe");
  const process = os.process(4120);
  assert(process !== undefined);
  assertEquals(os.spaceOf(process).readU64(Number(built.peb), 0x10), Number(built.modules[0]?.base));
  assertEquals(os.kernel.probe(Number(built.peb)).ok, false);
});
