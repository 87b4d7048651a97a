/** The rows of the guest systems, and what is asked of them. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { FINDERS, findersFor } from "../../../src/guest/finders.ts";
import { findGuest, type GuestEvidence } from "../../../src/guest/find_guest.ts";
import {
  ARCHITECTURE,
  ARM64_3,
  ARM64_4,
  ARM64_MODES,
  isArchitecture,
  knownPaging,
  X64_4,
  X64_5,
} from "../../../src/guest/paging.ts";
import { PhysicalMemory } from "../../../src/guest/physical_memory.ts";
import { SyntheticRam } from "../../../src/guest/synthetic_ram.ts";
import {
  isSystemName,
  SYSTEM_CHOICES,
  systemOf,
  systemOfNumber,
  SYSTEMS,
} from "../../../src/guest/systems.ts";

function someRam(): PhysicalMemory {
  const ram = new SyntheticRam([{ gpa: 0, sizeBytes: 1 << 20 }]);
  ram.put32(0x4000, 1);
  return new PhysicalMemory(ram);
}

Deno.test("a system's number and name are its own, and those on the wire stay", () => {
  const numbers = SYSTEMS.map(({ number }) => number as number);
  assertEquals(new Set(numbers).size, numbers.length);
  assertEquals(new Set(SYSTEMS.map(({ name }) => name)).size, SYSTEMS.length);
  assert(numbers.every((number) => Number.isInteger(number) && number > 0));
  assertEquals([systemOf("linux").number, systemOf("windows").number], [1, 2]);
  for (const row of SYSTEMS) {
    assertEquals(systemOfNumber(row.number), row);
    assert(isSystemName(row.name) && /^[a-z][a-z0-9-]*$/.test(row.name));
    assert(SYSTEM_CHOICES.includes(row.name));
  }
  assertEquals([systemOfNumber(0), systemOfNumber(0xffff_ffff)], [undefined, undefined]);
  assert(!isSystemName("auto") && !isSystemName("none") && !isSystemName(1) && !isSystemName("toString"));
});

Deno.test("every system has a finder, tried in the rows' order; one that is known to run is looked for alone", () => {
  assertEquals(Object.keys(FINDERS).sort(), SYSTEMS.map(({ name }) => name as string).sort());
  assertEquals(findersFor("auto"), SYSTEMS.map(({ name }) => FINDERS[name]));
  assertEquals(findersFor("windows"), [FINDERS.windows]);
});

Deno.test("a finder hears what else is known; a system that it only recognises has a name", () => {
  using memory = someRam();
  const heard: GuestEvidence[] = [];
  const result = findGuest(memory, [
    (_ram, evidence) => {
      heard.push(evidence);
      return { found: false, reason: "no-kernel", detail: "nothing of mine" };
    },
    () => ({ found: false, reason: "unsupported", system: "toy", detail: "toy 3: its lists are not known" }),
  ], { liveRoot: 0x5000, inUserMode: true });
  assertEquals(heard, [{ liveRoot: 0x5000, inUserMode: true }]);
  assertEquals(result, {
    found: false,
    reason: "unsupported",
    system: "toy",
    detail: "toy 3: its lists are not known",
  });
});

Deno.test("an architecture and a number of levels that no walker reads can be named all the same", () => {
  assertEquals([knownPaging("x86-64", 4, 0), knownPaging("x86-64", 5, 0)], [X64_4, X64_5]);
  assertEquals([knownPaging("aarch64", 4, 0), knownPaging("aarch64", 3, 0)], [ARM64_4, ARM64_3]);
  assertEquals([knownPaging("x86-64", 3, 0), knownPaging("aarch64", 4, 1), knownPaging("riscv64", 3, 0)], [
    undefined,
    undefined,
    undefined,
  ]);
  // As many levels, told apart by granule and address bits: 16 KiB with 48 and 52, 64 KiB with 48 and 52.
  for (const mode of ARM64_MODES) assertEquals(knownPaging("aarch64", mode.levels, mode.variant), mode);
  assertEquals(ARCHITECTURE["x86-64"], 0);
  assert(isArchitecture("aarch64") && !isArchitecture("pdp11") && !isArchitecture("toString"));
});

Deno.test("memory that was closed is not looked through", () => {
  const memory = someRam();
  memory[Symbol.dispose]();
  assertThrows(() => findGuest(memory, findersFor("auto")), Error, "closed");
});
