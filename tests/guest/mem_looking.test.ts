/**
 * Looking makes no page of the host's: a guest whose RAM is mostly untouched stands still, everything that
 * reads memory is run over it, and the file that is its RAM has as many blocks afterwards as before.
 * @module
 */
import "../unit/ffi/loaded_shim.ts";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { DaemonProcess, vmsig } from "../fixtures/daemon_process.ts";
import { openFilesOf } from "../fixtures/holdings.ts";
import { gdb, GdbCommand } from "./gdb_command.ts";
import { startGuest } from "./qemu.ts";

/** What `find` ends with then. */
const FOUND_NOTHING = 1;

/** Blocks of the file that is a guest's RAM. */
function ramBlocks(pid: number): number {
  const ram = openFilesOf(pid).find(({ target }) => target.includes("memory-backend-memfd"));
  if (ram !== undefined) return Deno.statSync(`/proc/${pid}/fd/${ram.fd}`).blocks ?? NaN;
  throw new Error("it has no memfd");
}

Deno.test("whoever looks at a guest makes no page of its RAM", async (t) => {
  await using vm = await startGuest({ ramMiB: 1024, memory: "memfd", programs: ["pattern"] });
  // Every second page of its last quarter is not mapped; what is untouched lies between what is not.
  const program = await vm.agent.start("pattern", "8", "7", "gap");
  const [, base = ""] = await program.lineMatching(/^ready \d+ (0x[0-9a-f]+) \d+/);
  await using daemon = await DaemonProcess.start({
    config: `[[endpoint]]\nname = "vm"\nqmp = "${vm.qmpPath}"\ninput = "none"\ndisplay = "none"\n`,
  });
  const socket = ["--socket", daemon.socket];
  const ready = await vmsig(["wait", "vm", "--process", "pattern", ...socket]);
  assertEquals(ready.code, 0, ready.errors);
  await using client = await daemon.connect("stops");
  {
    await using _power = await client.acquire("vm", "power");
    await client.vm("vm", "stop");
  }
  const before = ramBlocks(vm.pid);
  assert(before * 512 < 700 * 2 ** 20, `${before} blocks: much of it is untouched`);
  const folder = Deno.makeTempDirSync({ prefix: "vmsig-looking-" });
  /** Runs one command by the daemon or by the pid, and looks at the RAM again. */
  const step = (words: readonly string[], wanted = /./, code = 0) =>
    t.step(
      words.join(" ").replaceAll(`${vm.pid}`, "N").replaceAll(base, "BASE").replaceAll(folder, ""),
      async () => {
        const said = await vmsig(words[1]?.startsWith("pid:") ? words : [...words, ...socket]);
        assertEquals(said.code, code, said.errors);
        assertMatch(said.text, wanted);
        assertEquals(ramBlocks(vm.pid), before, "blocks of the guest's RAM");
      },
    );
  const pid = `${program.pid}`;
  try {
    for (const target of ["vm", `pid:${vm.pid}`]) {
      await step(["mem", target, "info"]);
      await step(["mem", target, "ps", "--long"], /pattern/);
      await step(["mem", target, "maps", pid]);
      await step(["mem", target, "modules"]);
      await step(["mem", target, "dmesg"], /Linux version/);
      await step(["mem", target, "files", pid]);
      await step(["mem", target, "sockets"], /^/);
      await step(["mem", target, "env", pid], /^/);
      await step(["mem", target, "mounts"]);
      await step(["mem", target, "sym", "jiffies"], /0x/);
      await step(["mem", target, "type", "task_struct"]);
      await step(["mem", target, "print", "task_struct init_task", "--follow", "real_parent,mm,next"]);
      await step(["mem", target, "read", pid, base, "4096"]);
      await step(["mem", target, "find", pid, "0123456789abcdef01"], /^/, FOUND_NOTHING);
      // The kernel's half has all RAM in it, with what was never touched.
      await step(["mem", target, "find", "kernel", "0123456789abcdef01"], /^/, FOUND_NOTHING);
    }
    await step(["mem", `pid:${vm.pid}`, "dump", `${folder}/ram.core`]);
    await step(["mem", `pid:${vm.pid}`, "dump", `${folder}/one.core`, "--pid", pid]);
    await step(
      ["watch", "--memory", "vm::jiffies:8", "--memory", `vm:${pid}:${base}:8`, "--count", "2"],
      /jiffies/,
    );
    await t.step("gdb", async () => {
      for (const words of [[], ["--pid", pid]]) {
        await using server = await GdbCommand.start(daemon, "vm", ...words);
        const text = await gdb(server.place, "info threads", `x/64xb ${base}`, "x/2xg $rsp", "x/2xg $rip");
        assertMatch(text, /Thread/);
      }
      assertEquals(ramBlocks(vm.pid), before, "blocks of the guest's RAM");
    });
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});
