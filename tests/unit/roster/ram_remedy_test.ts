/**
 * What a VM is to be started with so that its RAM can be shared: one advice for each command line, whoever is
 * asked (the host probe; `pid:` and the daemon, which open the RAM by the same function), and one that this
 * QEMU takes beside what it has.
 * @module
 */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { Fault } from "../../../src/base/fault.ts";
import type { HostProcess } from "../../../src/ram/host_process.ts";
import { findQemuMemory } from "../../../src/ram/qemu_backends.ts";
import { needsMaps, readQemuCommandLine } from "../../../src/roster/qemu_command_line.ts";

const MEMFD = "-object memory-backend-memfd";
/** Each command line, and its advice; "" where nothing is to be said. */
const LINES: readonly (readonly [line: string, advice: string])[] = [
  ["-m 512", `${MEMFD},id=ram0,size=512M,share=on -machine memory-backend=ram0`],
  ["-machine q35 -m 2G", `${MEMFD},id=ram0,size=2048M,share=on -machine memory-backend=ram0`],
  ["", `${MEMFD},id=ram0,size=128M,share=on -machine memory-backend=ram0`],
  [
    "-m 1G -mem-path /dev/hugepages",
    `${MEMFD},id=ram0,size=1024M,share=on -machine memory-backend=ram0 in place of -mem-path`,
  ],
  // An id that is taken (a device's memory) is not given twice.
  [
    `-m 1G ${MEMFD},id=ram0,size=64M -device ivshmem-plain,memdev=ram0`,
    `${MEMFD},id=ram1,size=1024M,share=on -machine memory-backend=ram1`,
  ],
  [
    "-m 1G -object memory-backend-ram,id=m,size=1G -machine q35,memory-backend=m",
    `${MEMFD},id=m,size=1073741824,share=on in place of its memory-backend-ram`,
  ],
  [
    `-m 1G ${MEMFD},id=m,size=1G,share=off -machine q35,memory-backend=m`,
    `${MEMFD},id=m,size=1073741824,share=on in place of its memory-backend-memfd`,
  ],
  [
    "-m 1G -object memory-backend-file,id=m,mem-path=/x,size=1G -machine memory-backend=m",
    "share=on in the -object memory-backend-file,id=m",
  ],
  // Beside a node's memdev QEMU refuses memory-backend.
  [
    "-m 2G -object memory-backend-ram,id=a,size=1G -object memory-backend-ram,id=b,size=1G -numa node,memdev=a -numa node,memdev=b",
    `${MEMFD},id=a,size=1073741824,share=on in place of its memory-backend-ram, and ${MEMFD},id=b,size=1073741824,share=on in place of its memory-backend-ram`,
  ],
  [
    `-m 2G ${MEMFD},id=a,size=1G -object memory-backend-ram,id=b,size=1G -numa node,memdev=a -numa node,memdev=b`,
    `${MEMFD},id=b,size=1073741824,share=on in place of its memory-backend-ram`,
  ],
  [
    "-m 1G -object memory-backend-ram,id=a;b,size=1G -numa node,memdev=a;b",
    `${MEMFD},id=ID,size=SIZE,share=on for each NUMA node's memdev`,
  ],
  // What is to be typed has nothing of theirs in it.
  [
    "-m 1G -object memory-backend-ram,id=m;reboot,size=1G -machine memory-backend=m;reboot",
    `${MEMFD},id=ram0,size=1024M,share=on -machine memory-backend=ram0`,
  ],
  [
    "-m 1G -object memory-backend-$(reboot),id=m,size=1G -machine memory-backend=m",
    `${MEMFD},id=m,size=1073741824,share=on in place of its memory-backend-…`,
  ],
  [`-m 1G ${MEMFD},id=m,size=1G -machine memory-backend=m`, ""],
  ["-m 1G -object memory-backend-shm,id=m,size=1G -machine memory-backend=m", ""],
  ["-m 1G -object memory-backend-file,id=m,mem-path=/x,size=1G,share=on -machine memory-backend=m", ""],
];

Deno.test("the host probe, pid: and the daemon give one advice for a command line", () => {
  for (const [line, advice] of LINES) {
    const words = line === "" ? [] : line.split(" ");
    assertEquals(readQemuCommandLine(words).remedy, advice, line);
    if (advice === "") continue;
    const process = {
      pid: 7,
      read: (name: string) => name === "cmdline" ? ["qemu-system-x86_64", ...words, ""].join("\0") : "",
      uids: () => [0, 0, 0, 0],
    } as unknown as HostProcess;
    const { ram } = findQemuMemory(process);
    assert(!ram.shared, line);
    assert(ram.detail.endsWith(`; start QEMU with ${advice}`), `${line}: ${ram.detail}`);
  }
});

/** Before QEMU 10.0 a memory-backend-ram with share=on is anonymous memory; since, it is a memfd. */
const ANONYMOUS = "7f0000000000-7f0040000000 rw-s 00000000 00:01 718483    /dev/zero (deleted)\n";
const FILE = "7f0000000000-7f0040000000 rw-s 00000000 00:01 718483    /memfd:memory-backend-ram (deleted)\n";

Deno.test("whether a memory-backend-ram is shared with others, its mappings tell, to the probe and to pid:", () => {
  const words = "-m 1G -object memory-backend-ram,id=m,size=1G,share=on -machine q35,memory-backend=m".split(
    " ",
  );
  const advice = `${MEMFD},id=m,size=1073741824,share=on in place of its memory-backend-ram`;
  assert(needsMaps(words));
  assert(!needsMaps("-m 1G -object memory-backend-ram,id=m,size=1G -machine memory-backend=m".split(" ")));
  const processOf = (maps: string) => ({
    pid: 7,
    read: (name: string) => name === "cmdline" ? ["qemu-system-x86_64", ...words, ""].join("\0") : maps,
    uids: () => [0, 0, 0, 0],
    descriptors: () => [],
  } as unknown as HostProcess);
  const anonymous = readQemuCommandLine(words, ANONYMOUS);
  assertEquals([anonymous.memory.backend, anonymous.memory.shared, anonymous.remedy], ["ram", false, advice]);
  const { ram } = findQemuMemory(processOf(ANONYMOUS));
  assert(!ram.shared && ram.detail === `its memory backend m is not shared; start QEMU with ${advice}`);
  // Another device's anonymous memory that is smaller is not the RAM.
  const smaller = ANONYMOUS.replace("7f0040000000", "7f0000001000");
  for (const maps of [FILE, FILE + smaller, ""]) {
    const file = readQemuCommandLine(words, maps);
    assertEquals([file.memory.shared, file.remedy], [true, ""], maps);
    // It is looked for among its files.
    const error = assertThrows(() => findQemuMemory(processOf(maps)), Fault);
    assertEquals(error.code, "refused");
  }
});
