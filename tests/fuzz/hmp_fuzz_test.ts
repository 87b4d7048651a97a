/**
 * Texts of QEMU's human monitor: the flat view, from which RAM's layout is made, and the registers of the
 * virtual CPUs.
 */
import { assert } from "@std/assert";
import { liveVcpu, parseVcpus } from "../../src/adapters/memctx/vcpu_state.ts";
import { parseFlatView } from "../../src/ram/flat_view.ts";
import { fuzz } from "./harness.ts";

const BACKENDS = [{ id: "ram0", sizeBytes: 2 ** 32 }, { id: "ram1", sizeBytes: 2 ** 30 }];
const decoder = new TextDecoder();

const FLAT_VIEW = `FlatView #0
 AS "I/O", root: io
 Root memory region: io
  0000000000000000-0000000000000007 (prio 0, i/o): dma-chan

FlatView #1
 AS "memory", root: system
 AS "cpu-memory-0", root: system
 Root memory region: system
  0000000000000000-000000000009ffff (prio 0, ram): ram0
  00000000000a0000-00000000000affff (prio 1, ram): vga.vram
  00000000000c0000-00000000000cafff (prio 0, rom): ram0 @00000000000c0000
  00000000000cb000-00000000000cdfff (prio 0, ram): ram0 @00000000000cb000 KVM
  0000000000100000-000000007fffffff (prio 0, ram): ram0 @0000000000100000
  00000000fffc0000-00000000ffffffff (prio 0, rom): pc.bios
  0000000100000000-000000017fffffff (prio 0, ram): ram0 @0000000080000000
  0000000180000000-00000001bfffffff (prio 0, ram): ram1
`;

fuzz({
  name: "info mtree -f",
  corpus: () => [
    FLAT_VIEW,
    FLAT_VIEW.replaceAll("\n", "\r\n"),
    'FlatView #0\n AS "memory", root: system\n  0000000000000000-0000000000000fff (prio 0, ram): ram0\n',
  ],
  largest: 32_768,
  words: [
    "FlatView #2\n",
    ' AS "memory", root: system\n',
    "ffffffffffffffff",
    "0000000000000000",
    "ram0",
    "ram1",
    " @",
    " KVM",
  ]
    .concat([
      "  0000000200000000-0000000200000fff (prio 0, ram): ram0 @0000000000000000\n",
      "(prio -1, ram): ",
      "\n",
    ]),
  decode: (input) => {
    const pieces = parseFlatView(decoder.decode(input), BACKENDS);
    assert(pieces.length > 0);
    let end = 0;
    for (const { gpa, fileOffset, sizeBytes, backend } of pieces) {
      assert(
        gpa >= end && sizeBytes > 0 && fileOffset >= 0,
        "pieces are in order, and none overlaps another",
      );
      assert(fileOffset + sizeBytes <= (BACKENDS[backend]?.sizeBytes ?? 0), "a piece lies in its backend");
      assert([gpa, fileOffset, sizeBytes].every((n) => Number.isSafeInteger(n) && n % 4096 === 0));
      end = gpa + sizeBytes;
    }
    return "laid out";
  },
  mustMeet: ["laid out", "fault:refused"],
});

const REGISTERS = `CPU#0
RAX=0000000000000000 RBX=ffffffff82a12000 RCX=0000000000000001 RDX=0000000000000000
RIP=ffffffff81c0a5eb RFL=00000246 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=1
CR0=80050033 CR2=00007f3b2a9ff000 CR3=0000000002a10000 CR4=000006f0
EFER=0000000000000d01

CPU#1
RIP=0000000000401000 RFL=00000246 [---Z-P-] CPL=3 II=0 A20=1 SMM=0 HLT=0
CR0=80050033 CR2=00007f3b2a9ff000 CR3=0000000012345801 CR4=000006f0
EFER=0000000000000d01
`;

fuzz({
  name: "info registers -a",
  corpus: () => [
    REGISTERS,
    REGISTERS.replaceAll("\n", "\r\n"),
    "CPU#0\nEIP=0000fff0\nCR0=60000010 CR3=00000000\nEFER=0000000000000000 CPL=0",
  ],
  largest: 32_768,
  words: ["CPU#2\n", "CR0=", "CR3=", "EFER=", "CPL=", "ffffffffffffffffff", "\n", "\r"],
  decode: (input) => {
    const vcpus = parseVcpus(decoder.decode(input));
    for (const vcpu of vcpus) {
      if ("pc" in vcpu) assert(Math.abs(vcpu.pc) <= 2 ** 64);
      else assert(Number.isSafeInteger(vcpu.cr3) && vcpu.cr3 >= 0 && vcpu.cr3 < 2 ** 52);
    }
    const live = liveVcpu(vcpus);
    return live === undefined ? "none lives" : live.userMode ? "user" : "kernel";
  },
  mustMeet: ["none lives", "user", "kernel"],
});
