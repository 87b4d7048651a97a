/**
 * What `vmsig mem dump` wrote of a Linux guest that stands still, opened by others from PyPI: drgn reads its
 * memory by the note; volatility3 lists its processes, modules and open files by the symbol table that
 * `vmsig mem symbols --isf` made. Their versions are pinned and may not be to be had: no part of the gate.
 * `deno task nightly:dumps`
 * @module
 */
import "../unit/ffi/loaded_shim.ts";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { hexOfGva } from "../../src/base/ids.ts";
import { findersFor } from "../../src/guest/finders.ts";
import { openTarget } from "../../src/ram/open_target.ts";
import { runHere } from "../unit/cli/command_world.ts";
import { startSavedGuest } from "../guest/saved_guest.ts";
import { TestQmp } from "../guest/test_qmp.ts";

const PACKAGES = ["drgn==0.3.0", "volatility3==2.28.2", "jsonschema==4.26.0"];

/** Reads a word of the kernel's image, and the note. */
const DRGN = `import drgn, sys
program = drgn.Program()
program.set_core_dump(sys.argv[1])
print(int.from_bytes(program.read(int(sys.argv[2], 16), 4), "little"))
print(program["VMCOREINFO"].string_().decode())`;

async function run(program: string, args: readonly string[], home: string): Promise<string> {
  // What they keep between runs is this test's own.
  const env = { HOME: home, XDG_CACHE_HOME: `${home}/cache` };
  const { success, stdout, stderr } = await new Deno.Command(program, { args: [...args], env, stdin: "null" })
    .output();
  const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  assert(success, `${program} ${args.join(" ")}: ${out}${err}`);
  return out!;
}

Deno.test("drgn and volatility3 open a dump, and list what the guest has", async (t) => {
  const folder = await Deno.makeTempDir({ prefix: "vmsig-readers-" });
  try {
    const python = await readersIn(folder);
    if (python === undefined) return;
    await using vm = await startSavedGuest({ ramMiB: 256, programs: ["procs"] });
    const procs = await vm.agent.start("procs", "20");
    await procs.lineMatching(/^ready/);
    await using qmp = await TestQmp.connect(vm.qmpPath);
    await qmp.execute("stop");
    using live = openTarget(`pid:${vm.pid}`, findersFor("linux"));
    assert(live.guest.found);
    const { os } = live.guest;
    const core = `${folder}/ram.core`;
    await Deno.mkdir(`${folder}/symbols/linux`, { recursive: true });
    const table = `${folder}/symbols/linux/guest.json`;
    for (const words of [["dump", core], ["symbols", table, "--isf"]]) {
      const { code, err } = await runHere(["mem", `pid:${vm.pid}`, ...words]);
      assertEquals(code, 0, err);
    }
    await t.step("drgn: memory, and the note", async () => {
      const told = await run(python, ["-c", DRGN, core, hexOfGva(os.kernelBase)], folder);
      assertEquals(Number(told.split("\n")[0]), os.kernel.readU32(os.kernelBase));
      assertStringIncludes(told, `OSRELEASE=${os.version}`);
    });
    const volatility = async (...plugin: string[]): Promise<Record<string, unknown>[]> =>
      JSON.parse(
        await run(
          python.replace(/python$/, "vol"),
          ["-q", "-r", "json", "-s", `${folder}/symbols`, "-f", core, ...plugin],
          folder,
        ),
      );
    await t.step("volatility3 takes the symbol table for one of Linux", async () => {
      const [info] = (await volatility("isfinfo.IsfInfo"))
        .filter(({ URI }) => `${URI}`.endsWith("/guest.json"));
      assertStringIncludes(`${info?.["Identifying information"]}`, `Linux version ${os.version} `);
    });
    await t.step("volatility3's processes, modules and files are ours", async () => {
      const ours = os.processes().items;
      const theirs = await volatility("linux.pslist.PsList");
      assertEquals(
        theirs.map(({ PID, PPID, COMM }) => [PID, PPID, COMM]),
        ours.map(({ pid, ppid, name }) => [pid, ppid, name.slice(0, 15)]),
      );
      assertEquals(
        (await volatility("linux.lsmod.Lsmod")).map((row) => row["Module Name"]),
        os.modules().items.map(({ name }) => name),
      );
      const insight = os.insight();
      assert(!("unsupported" in insight));
      const files = insight.files(os.process(procs.pid)!);
      assert(!("unsupported" in files));
      assertEquals(
        (await volatility("linux.lsof.Lsof", "--pid", `${procs.pid}`)).map(({ FD }) => FD),
        files.items.map(({ fd }) => fd),
      );
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** A Python that has them; undefined, and said, where they are not to be had. */
async function readersIn(folder: string): Promise<string | undefined> {
  const venv = `${folder}/venv`;
  const steps: readonly [string, ...string[]][] = [
    ["python3", "-m", "venv", venv],
    [`${venv}/bin/pip`, "install", "-q", "--disable-pip-version-check", ...PACKAGES],
  ];
  for (const [program, ...args] of steps) {
    const { success, stderr } = await new Deno.Command(program, { args }).output();
    if (success) continue;
    console.log(`skipped: ${new TextDecoder().decode(stderr).trim().split("\n").at(-1)}`);
    return undefined;
  }
  return `${venv}/bin/python`;
}
