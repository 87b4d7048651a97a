/**
 * `vmsig mem dump` of a real, stopped Linux guest: the whole RAM, opened again by our own reader, gives the
 * same processes, and readelf lists it; a process's core opens in gdb, which shows its memory and registers.
 * With VMSIG_DRGN_PYTHON (a Python that has drgn) drgn opens the whole one too.
 * @module
 */
import { until } from "../fixtures/daemon_process.ts";
import "../unit/ffi/loaded_shim.ts";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { hexOfGva } from "../../src/base/ids.ts";
import { findersFor } from "../../src/guest/finders.ts";
import { openTarget } from "../../src/ram/open_target.ts";
import { runHere } from "../unit/cli/command_world.ts";
import { hostProcesses } from "./mem_guest.ts";
import { patternWord } from "./pattern.ts";
import { startSavedGuest } from "./saved_guest.ts";
import { TestQmp } from "./test_qmp.ts";

async function run(program: string, ...args: string[]): Promise<string> {
  const { stdout, stderr } = await new Deno.Command(program, { args, stdin: "null" }).output();
  return new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
}

Deno.test("a stopped Linux guest is dumped whole, and one process of it for gdb", async (t) => {
  const folder = Deno.makeTempDirSync({ prefix: "vmsig-dump-" });
  try {
    await using vm = await startSavedGuest({
      machine: "q35",
      memory: "memfd",
      ramMiB: 512,
      kernel: "cloud",
      append: "pti=off",
      devices: [],
      programs: ["pattern"],
    });
    const pattern = await vm.agent.start("pattern", "8", "77");
    const ready = /^ready (\d+) 0x([0-9a-f]+) (\d+)$/.exec((await pattern.line()) ?? "")!;
    const pid = Number(ready[1]);
    const base = parseInt(ready[2]!, 16);
    // It may still be on its way from the line that it printed to the one that it reads.
    await until("it waits", async () => /\) S /.test(await vm.agent.cat(`/proc/${pid}/stat`)));
    await using qmp = await TestQmp.connect(vm.qmpPath);
    await qmp.execute("stop");
    using live = openTarget(`pid:${vm.pid}`, findersFor("auto"));
    assert(live.guest.found);

    await t.step("the whole RAM", async () => {
      const file = `${folder}/ram.core`;
      const before = live.memory.refresh().residentBytes;
      const { code, err } = await runHere(["mem", `pid:${vm.pid}`, "dump", file, "--json"]);
      assertEquals(code, 0, err);
      assertEquals(live.memory.refresh().residentBytes, before, "QEMU holds no page more");
      const status = Deno.statSync(file);
      assertEquals(status.mode! & 0o777, 0o600);
      assert(status.blocks! * 512 < before + 2 ** 20, "holes stay holes");
      assertEquals([...Deno.readDirSync(folder)].length, 1);

      using again = openTarget(`file:${file}`, findersFor("auto"));
      assert(again.guest.found && live.guest.found);
      assertEquals(hostProcesses(again.guest.os), hostProcesses(live.guest.os));
      assertEquals(again.memory.ramBytes, live.memory.ramBytes);

      const elf = await run("readelf", "-hlnW", file);
      assertMatch(elf, /Type: +CORE/);
      assertMatch(elf, /VMCOREINFO/);
      const { segments } = live.memory.port;
      assertEquals(elf.match(/^ +LOAD /gm)?.length, segments.length);
      for (const { sizeBytes } of segments) {
        assert(elf.includes(`0x${sizeBytes.toString(16).padStart(6, "0")} `));
      }
      assert(!/Warning|Error/i.test(elf), elf);
      const python = Deno.env.get("VMSIG_DRGN_PYTHON");
      if (python !== undefined) {
        const script = `import drgn,sys
p=drgn.Program(); p.set_core_dump(sys.argv[1])
print(hex(int.from_bytes(p.read(int(sys.argv[2],16),8),"little")), p["VMCOREINFO"].string_().decode().split()[0])`;
        assert(live.guest.found);
        const { os } = live.guest;
        const at = os.kernelBase;
        const told = await run(python, "-c", script, file, hexOfGva(at));
        const word = os.kernel.readU64(at);
        assertEquals(Number(BigInt(told.split(" ")[0]!)), word, told);
        assert(told.includes(`OSRELEASE=${os.version}`), told);
      }
    });

    await t.step("one process", async () => {
      const file = `${folder}/process.core`;
      const { code, err, out } = await runHere(
        ["mem", `pid:${vm.pid}`, "dump", file, "--pid", String(pid), "--json"],
      );
      assertEquals(code, 0, err);
      const { threads, unknown } = JSON.parse(out);
      assertEquals([threads, unknown], [1, []]);
      const batch = ["-nx", "-batch", "-ex", "info files", "-ex", "info threads", "-ex", `x/2wx ${base}`];
      const told = await run(
        "gdb",
        ...batch,
        "-ex",
        "p $pc",
        "-ex",
        "p $sp",
        "-ex",
        "x/i $pc - 2",
        "-c",
        file,
      );
      assert(told.includes(`LWP ${pid}`), told);
      const word = (index: number) => patternWord(77, index).toString(16).padStart(8, "0");
      assert(told.includes(`0x${word(0)}\t0x${word(1)}`), told);
      // It waits for its agent in a system call, and gdb says where.
      assertMatch(told, /syscall/);
      const maps = live.guest.found
        ? live.guest.os.maps(live.guest.os.process(pid)!).items.map((map) => map.name)
        : [];
      const notes = await run("readelf", "-nW", file);
      // readelf 2.40 does not decode NT_FILE ("64-bit note in 32-bit build"): gdb does.
      const files = await run("gdb", "-nx", "-batch", "-ex", "info proc mappings", "-c", file);
      for (const name of maps) if (name.startsWith("/")) assert(files.includes(name), files);
      for (const note of ["NT_PRSTATUS", "NT_PRPSINFO", "NT_AUXV", "NT_FILE"]) {
        assert(notes.includes(note), notes);
      }
    });

    await t.step("a disk that is full leaves nothing, and what was there stays", async () => {
      const file = `${folder}/kept.core`;
      Deno.writeTextFileSync(file, "kept");
      const limited = new Deno.Command("sh", {
        args: [
          "-c",
          'ulimit -f 1024; trap "" XFSZ; exec "$@"',
          "sh",
          Deno.execPath(),
          "run",
          "-A",
          "--no-check",
          "main.ts",
          "mem",
          `pid:${vm.pid}`,
          "dump",
          file,
        ],
      });
      const { code, stderr } = await limited.output();
      assertEquals(code, 1);
      assertMatch(new TextDecoder().decode(stderr), /refused: Cannot write .*kept\.core/);
      assertEquals(Deno.readTextFileSync(file), "kept");
      assertEquals([...Deno.readDirSync(folder)].filter((entry) => entry.name.includes("part")), []);
    });
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});
