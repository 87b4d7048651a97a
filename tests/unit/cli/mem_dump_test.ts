/**
 * A dump of a process whose lists end early: the file holds what was found, and that it is not all is told
 * and is an error.
 * @module
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { Fault } from "../../../src/base/fault.ts";
import type { Call } from "../../../src/client/cli/command.ts";
import { dumpProcess } from "../../../src/client/cli/mem_dump.ts";
import { AddressSpace } from "../../../src/guest/address_space.ts";
import type { GuestOs } from "../../../src/guest/guest_os.ts";
import { X64_4 } from "../../../src/guest/paging.ts";
import { PhysicalMemory } from "../../../src/guest/physical_memory.ts";
import type { ListEnd, MemoryMap, Process } from "../../../src/guest/process.ts";
import { SyntheticRam } from "../../../src/guest/synthetic_ram.ts";
import { TableBuilder } from "../../fixtures/table_builder.ts";

const AT = 0x40_0000;

async function dumped(
  end: ListEnd,
): Promise<{ told: Record<string, unknown>; file: Uint8Array; fault: unknown }> {
  const ram = new SyntheticRam([{ gpa: 0, sizeBytes: 2 ** 20 }]);
  const tables = new TableBuilder(ram, X64_4, 0x1000);
  const root = tables.page();
  tables.map(root, AT, 0x8_0000, { user: true });
  ram.putText(0x8_0000, "what was found");
  using memory = new PhysicalMemory(ram);
  memory.refresh();
  const space = new AddressSpace(memory, X64_4, root);
  const map: MemoryMap = { start: AT, end: AT + 4096, perms: "r--p", fileOffset: 0, name: "" };
  const process: Process = { pid: 7, ppid: 1, name: "web", root, kernelThread: false, object: -4096 };
  const os = {
    kernel: space,
    spaceOf: () => space,
    maps: () => ({ items: [map], end }),
    commandLine: () => ["web"],
  } as unknown as GuestOs;
  const told: Record<string, unknown>[] = [];
  const call = {
    json: true,
    out: { json: (value: Record<string, unknown>) => told.push(value) },
    signal: new AbortController().signal,
  } as unknown as Call;
  const folder = await Deno.makeTempDir({ prefix: "vmsig-test-" });
  try {
    const path = `${folder}/web.core`;
    let fault: unknown;
    try {
      await dumpProcess(call, path, os, process, { memory, check: () => Promise.resolve() });
    } catch (error) {
      fault = error;
    }
    return { told: told[0] ?? {}, file: await Deno.readFile(path), fault };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("a dump whose lists are whole says so", async () => {
  const { told, fault } = await dumped({ complete: true });
  assertEquals(fault, undefined);
  assertEquals([told.complete, told.endedEarly], [true, []]);
});

for (const reason of ["cycle", "wild-pointer", "too-many"] as const) {
  Deno.test(`a dump whose list of mappings ends in a ${reason} is written, and is an error`, async () => {
    const { told, file, fault } = await dumped({ complete: false, reason, at: 0x1234_5000 });
    assertEquals([told.complete, told.endedEarly], [
      false,
      [{ list: "mappings", count: 1, reason, at: "0x12345000" }],
    ]);
    assert(new TextDecoder("latin1").decode(file).includes("what was found"));
    const error = await assertRejects(
      () => Promise.reject(fault),
      Fault,
      `its list of mappings ends after 1 in a ${reason}`,
    );
    assertEquals(error.code, "refused");
  });
}
