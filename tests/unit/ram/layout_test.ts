/** Where RAM lies: the flat view, the machine's rule, command lines and /proc texts. @module */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { Fault } from "../../../src/base/fault.ts";
import { parseFlatView } from "../../../src/ram/flat_view.ts";
import { isArmVirt, lowRamBytes, machineFamily } from "../../../src/ram/machine_rule.ts";
import { parseHostMaps } from "../../../src/ram/process_maps.ts";
import { parseQemuCommandLine } from "../../../src/ram/qemu_command_line.ts";
import { checkedLayout, runLayout, splitLayout } from "../../../src/ram/ram_layout.ts";

const MIB = 2 ** 20;
const GIB = 2 ** 30;

/** As QEMU 7.2 prints it for pc with 4 GiB, shortened. */
const FLAT_VIEW = `FlatView #0
 AS "I/O", root: io
 Root memory region: io
  0000000000000000-0000000000000007 (prio 0, i/o): dma-chan

FlatView #1
 AS "memory", root: system
 AS "cpu-memory-0", root: system
 Root memory region: system
  0000000000000000-000000000009ffff (prio 0, ram): ram0
  00000000000a0000-00000000000bffff (prio 1, i/o): vga-lowmem
  00000000000c0000-00000000000cafff (prio 0, rom): ram0 @00000000000c0000
  00000000000cb000-00000000000fffff (prio 0, ram): ram0 @00000000000cb000 KVM
  0000000000100000-00000000bfffffff (prio 0, ram): ram0 @0000000000100000
  00000000fd000000-00000000fdffffff (prio 1, ram): vga.vram
  00000000fffc0000-00000000ffffffff (prio 0, rom): pc.bios
  0000000100000000-000000013fffffff (prio 0, ram): ram0 @00000000c0000000

`.replaceAll("\n", "\r\n");

Deno.test("the flat view's pieces are joined where they touch, and agree with the rule but for the video hole", () => {
  const backends = [{ id: "ram0", sizeBytes: 4 * GIB }];
  assertEquals(parseFlatView(FLAT_VIEW, backends), [
    { gpa: 0, fileOffset: 0, sizeBytes: 0xa0000, backend: 0 },
    { gpa: 0xc0000, fileOffset: 0xc0000, sizeBytes: 3 * GIB - 0xc0000, backend: 0 },
    { gpa: 4 * GIB, fileOffset: 3 * GIB, sizeBytes: GIB, backend: 0 },
  ]);
  assertEquals(splitLayout(backends, 3 * GIB), [
    { gpa: 0, fileOffset: 0, sizeBytes: 3 * GIB, backend: 0 },
    { gpa: 4 * GIB, fileOffset: 3 * GIB, sizeBytes: GIB, backend: 0 },
  ]);
});

Deno.test("a flat view that does not fit its backend, has none, or overlaps is refused", () => {
  assertThrows(() => parseFlatView(FLAT_VIEW, [{ id: "ram0", sizeBytes: 3 * GIB }]), Fault, "past the end");
  assertThrows(() => parseFlatView(FLAT_VIEW, [{ id: "other", sizeBytes: 4 * GIB }]), Fault, "no RAM");
  assertThrows(() => parseFlatView("no flat view", []), Fault, "no flat view of");
  const twice = FLAT_VIEW.replace("pc.bios", "ram0 @0000000000000000").replace(
    "00000000fffc0000",
    "0000000000000000",
  );
  assertThrows(() => parseFlatView(twice, [{ id: "ram0", sizeBytes: 8 * GIB }]), Fault, "two pieces");
  assertThrows(
    () =>
      checkedLayout([{ gpa: 12, fileOffset: 0, sizeBytes: 4096, backend: 0 }], [{ id: "a", sizeBytes: GIB }]),
    Fault,
    "whole pages",
  );
});

Deno.test("several backends make up one memory, split wherever the hole falls", () => {
  const backends = [{ id: "n0", sizeBytes: GIB }, { id: "n1", sizeBytes: 2 * GIB }, {
    id: "n2",
    sizeBytes: GIB,
  }];
  assertEquals(splitLayout(backends, 2 * GIB), [
    { gpa: 0, fileOffset: 0, sizeBytes: GIB, backend: 0 },
    { gpa: GIB, fileOffset: 0, sizeBytes: GIB, backend: 1 },
    { gpa: 4 * GIB, fileOffset: GIB, sizeBytes: GIB, backend: 1 },
    { gpa: 5 * GIB, fileOffset: 0, sizeBytes: GIB, backend: 2 },
  ]);
});

Deno.test("the machine's rule, at its borders", () => {
  const pc = (mib: number, max?: number) => lowRamBytes("pc", mib * MIB, max) / MIB;
  const q35 = (mib: number, max?: number) => lowRamBytes("q35", mib * MIB, max) / MIB;
  assertEquals([pc(512), pc(3583), pc(3584), pc(8192)], [512, 3583, 3072, 3072]);
  assertEquals([q35(512), q35(2815), q35(2816), q35(8192)], [512, 2815, 2048, 2048]);
  assertEquals([pc(4096, GIB), q35(4096, GIB), q35(4096, 3 * GIB), pc(2048, 3 * GIB)], [
    1024,
    1024,
    2048,
    2048,
  ]);
  assertEquals(["pc", "pc-i440fx-7.2", "q35", "pc-q35-8.0", "microvm"].map(machineFamily), [
    "pc",
    "pc",
    "q35",
    "q35",
    "microvm",
  ]);
  assertThrows(() => lowRamBytes("q35", 1020 * GIB), Fault, "QMP");
});

Deno.test("command lines: sizes, backends, numa, JSON objects, doubled commas", () => {
  const parse = (line: string) => parseQemuCommandLine(["qemu-system-x86_64", ...line.split(" ")]);
  const usual = parse(
    "-M q35,accel=kvm,memory-backend=ram0 -m 2G,slots=2 -object memory-backend-memfd,id=ram0,size=2G,share=on -object rng-random,id=r",
  );
  assertEquals(usual, {
    program: "qemu-system-x86_64",
    machine: "q35",
    ramBytes: 2 * GIB,
    maxBelow: undefined,
    isNuma: false,
    hasMemPath: false,
    manager: "",
    devices: [],
    ramIds: ["ram0"],
    backends: [{
      type: "memory-backend-memfd",
      id: "ram0",
      sizeBytes: 2 * GIB,
      share: true,
      path: undefined,
      fileOffset: 0,
    }],
  });
  const json = parse(
    '-m size=512 --object {"qom-type":"memory-backend-file","id":"m","mem-path":"/a,b","size":536870912,"share":true} -machine type=pc-i440fx-7.2,memory-backend=m,max-ram-below-4g=1G',
  );
  assertEquals([json.machine, json.ramBytes, json.maxBelow], ["pc-i440fx-7.2", 512 * MIB, GIB]);
  assertEquals(json.backends[0], {
    type: "memory-backend-file",
    id: "m",
    sizeBytes: 512 * MIB,
    share: true,
    path: "/a,b",
    fileOffset: 0,
  });
  const parts = parse(
    "-m 1G -object memory-backend-file,id=a,size=512M,mem-path=/x,offset=512M,share=on -machine memory-backend=a",
  );
  assertEquals(parts.backends[0]?.fileOffset, 512 * MIB);
  const numa = parse(
    "-m 1024 -object memory-backend-ram,id=a,size=512M -object memory-backend-file,id=b,size=512M,mem-path=/x,,y -numa node,memdev=a -numa node,memdev=b",
  );
  assertEquals([numa.machine, numa.ramIds, numa.backends.map((b) => b.share), numa.backends[1]?.path], [
    "pc",
    ["a", "b"],
    [false, false],
    "/x,y",
  ]);
  assertEquals(parse("-display none").ramBytes, 128 * MIB);
  assertEquals(parse("-object {bad -m 1").backends, []);
});

Deno.test("/proc/PID/maps with names that have spaces", () => {
  assertEquals(
    parseHostMaps(
      "7f00-8f00 rw-s 00001000 00:01 77 /memfd:memory-backend-memfd (deleted)\n9000-a000 r--p 00000000 00:00 0 \nnonsense\n",
    ),
    [
      {
        start: 0x7f00,
        sizeBytes: 0x1000,
        shared: true,
        writable: true,
        offset: 0x1000,
        device: "0:1",
        inode: 77,
        path: "/memfd:memory-backend-memfd (deleted)",
      },
      {
        start: 0x9000,
        sizeBytes: 0x1000,
        shared: false,
        writable: false,
        offset: 0,
        device: "0:0",
        inode: 0,
        path: "",
      },
    ],
  );
});

Deno.test("arm64's virt: one run from 1 GiB on; virt of another architecture is not taken for it", () => {
  assert(isArmVirt("virt", "/usr/bin/qemu-system-aarch64") && isArmVirt("virt-7.2", "qemu-system-arm"));
  assert(isArmVirt("virt", "/nix/.qemu-system-aarch64-wrapped"));
  assert(!isArmVirt("virt", "qemu-system-riscv64") && !isArmVirt("q35", "qemu-system-aarch64"));
  assert(!isArmVirt("virtual", "qemu-system-aarch64") && !isArmVirt("virt", "qemu-system-armada"));
  assertEquals(runLayout([{ id: "a", sizeBytes: 4 * GIB }, { id: "b", sizeBytes: MIB }], GIB), [
    { gpa: GIB, fileOffset: 0, sizeBytes: 4 * GIB, backend: 0 },
    { gpa: 5 * GIB, fileOffset: 0, sizeBytes: MIB, backend: 1 },
  ]);
});
