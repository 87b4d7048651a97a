/**
 * `vmsig gdb` with a real gdb over a real Linux guest: what it reads, lists, stops, continues and writes, and
 * that the VM runs again when it goes.
 * @module
 */
import "../unit/ffi/loaded_shim.ts";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { VM_STATE_NUMBER } from "../../src/event/body_number.ts";
import { DaemonProcess, until, vmsig } from "../fixtures/daemon_process.ts";
import { gdb, GdbCommand, PATIENT } from "./gdb_command.ts";
import type { GuestProcess } from "./guest_process.ts";
import { patternWord } from "./pattern.ts";
import type { Qemu } from "./qemu.ts";
import { startSavedGuest } from "./saved_guest.ts";

const TEXT = "vmsig was here";

interface Setting {
  readonly vm: Qemu;
  readonly daemon: DaemonProcess;
  readonly program: GuestProcess;
  readonly base: string;
}

async function isRunning({ daemon }: Setting): Promise<boolean> {
  const said = await vmsig(["vm", "vm", "query", "--json", "--socket", daemon.socket]);
  return (JSON.parse(said.text) as { state: string }).state === "running";
}

async function read({ daemon }: Setting, space: string, at: string, length: number): Promise<string> {
  const said = await vmsig([
    "mem",
    "vm",
    "read",
    space,
    at,
    `${length}`,
    "--json",
    "--socket",
    daemon.socket,
  ]);
  assertEquals(said.code, 0, said.errors);
  return (JSON.parse(said.text) as { hex: string }).hex;
}

/** The bytes of gdb's `x/Nxb`. */
function bytesIn(text: string): string {
  return [...text.matchAll(/^0x[0-9a-f]+[^:]*:((?:\s+0x[0-9a-f]{2})+)$/gm)]
    .map(([, row = ""]) => row.replaceAll(/\s+0x/g, "")).join("");
}

async function checkVm(t: Deno.TestContext, setting: Setting): Promise<void> {
  const { daemon, vm } = setting;
  await using server = await GdbCommand.start(daemon, "vm");
  const banner = await vmsig(["mem", "vm", "sym", "linux_banner", "--json", "--socket", daemon.socket]);
  const at = /0x[0-9a-f]+/.exec(banner.text)?.[0] ?? "";
  await t.step("memory is what vmsig mem read says, processors are the threads", async () => {
    const text = await gdb(server.place, "info threads", `x/32xb ${at}`, `x/s ${at}`, "p/x $cs", "p/x $cr3");
    assertMatch(text, /^\* 1 +Thread 1 .*CPU 0/m);
    assertMatch(text, /Thread 2 .*CPU 1/);
    assertEquals(bytesIn(text), await read(setting, "kernel", at, 32));
    assert(text.includes(`"Linux version ${vm.agent.release}`), text);
    assertMatch(text, /\$1 = 0x(10|33)\b/);
    assertMatch(text, /\$2 = 0x[0-9a-f]+000/);
    assertEquals(await isRunning(setting), true, "looking stops nothing");
    assertMatch(await gdb(server.place, "x/8xb 0x10"), /Cannot access memory at address 0x10/);
  });
  await t.step("it stops the VM, lets it run, and refuses what cannot be done", async () => {
    const text = await gdb(
      server.place,
      ...["monitor stop", "monitor status", "p $rip == $rip", "monitor cont", "monitor status"],
      ...["monitor offset", "stepi", "set $rax = 1", "monitor status", "hbreak *0x1000", "monitor help"],
    );
    assertMatch(
      text,
      /^the VM is stopped\nthe VM is stopped\nrefused last: nothing\nthe VM runs\nthe VM runs$/m,
    );
    assertMatch(text, /^\$1 = 1$/m);
    assertMatch(text, /^0x[0-9a-f]+$/m);
    assertMatch(text, /Cannot step a VM/);
    assertMatch(text, /refused last: .*Cannot write registers/);
    assertMatch(text, /monitor stop +stop the VM/);
    assertEquals(await isRunning(setting), true);
  });
  await t.step("with the kernel's symbols as a file it knows names, of code and of data", async () => {
    const file = `${daemon.folder}/kernel.elf`;
    const said = await vmsig(["mem", "vm", "symbols", file, "--socket", daemon.socket]);
    assertMatch(said.text, /^\d{5,6} symbols of the kernel in /, said.errors);
    const text = await gdb(
      server.place,
      ...[`symbol-file ${file}`, "x/s &linux_banner", "info symbol vfs_read", "x/2i vfs_read"],
      "info address jiffies",
    );
    assert(text.includes(`"Linux version ${vm.agent.release}`), text);
    assertMatch(text, /^vfs_read in section \.text/m);
    assertMatch(text, /<vfs_read(\+\d+)?>:\s+\w/);
    assertMatch(text, /^Symbol "jiffies" is at 0xffff[0-9a-f]+ in a file compiled without debugging/m);
  });
  await t.step("without the power lease it is refused in words", async () => {
    await using other = await daemon.connect("other");
    await using _power = await other.acquire("vm", "power");
    assertMatch(await gdb(server.place, "monitor stop", "monitor status"), /owns it.*\nthe VM runs/s);
  });
  await t.step("Ctrl-C stops a VM that was continued, with the processors' registers", async () => {
    await using watcher = await daemon.connect("watcher");
    await using stream = watcher.events({ kinds: ["VM_LIFECYCLE"] });
    const child = new Deno.Command("gdb", {
      args: [
        ...["-nx", "-batch", "-ex", PATIENT, "-ex", `target remote ${server.place}`, "-ex", "monitor stop"],
        ...["-ex", "continue", "-ex", "monitor status", "-ex", "detach"],
      ],
      stdin: "null",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    const reading = child.output();
    try {
      for (const wanted of ["PAUSED", "RUNNING"] as const) {
        while ((await stream.next()).value?.as("VM_LIFECYCLE")?.state !== VM_STATE_NUMBER[wanted]);
      }
    } finally {
      child.kill("SIGINT");
    }
    const said = new TextDecoder().decode((await reading).stdout);
    assertMatch(said, /received signal SIGINT/);
    await until("the VM runs", () => isRunning(setting));
  });
  await t.step("one gdb at a time; a port takes its user's and root's connections alone", async () => {
    await using other = await GdbCommand.start(daemon, "vm", "--listen", "127.0.0.1:0");
    const both = await gdb(
      other.place,
      `shell gdb -nx -batch -ex '${PATIENT}' -ex 'target remote ${other.place}' 2>&1`,
      "p 6*7",
    );
    assertMatch(both, /Remote connection closed|Connection reset|Target disconnected/);
    assertMatch(both, /\$1 = 42/);
    const [, port = ""] = other.place.split(":");
    const stranger = await new Deno.Command("setpriv", {
      args: [
        ...["--reuid", "65534", "--regid", "65534", "--clear-groups", "/usr/bin/python3", "-c"],
        `import socket
try: print(socket.create_connection(("127.0.0.1", ${port})).recv(1))
except ConnectionError: print("b''")`,
      ],
    }).output();
    assertEquals(
      new TextDecoder().decode(stranger.stdout),
      "b''\n",
      new TextDecoder().decode(stranger.stderr),
    );
    await until("it is told", () => other.errors.includes("a connection of uid 65534 was closed"));
  });
  await t.step("detached while the VM is stopped, it runs again", async () => {
    assertMatch(await gdb(server.place, "monitor stop", "detach"), /the VM is stopped/);
    await until("the VM runs", () => isRunning(setting));
    await using other = await daemon.connect("other");
    await using _power = await other.acquire("vm", "power");
  });
  await t.step("gdb killed while the VM is stopped: the VM runs again", async () => {
    const child = new Deno.Command("gdb", {
      args: [
        "-nx",
        "-batch",
        "-ex",
        PATIENT,
        "-ex",
        `target remote ${server.place}`,
        "-ex",
        "monitor stop",
        "-ex",
        // It ends with the pipe, not with gdb, which would be by itself then.
        "shell read line",
      ],
      stdin: "piped",
      stdout: "null",
      stderr: "null",
    }).spawn();
    await until("the VM is stopped", async () => !await isRunning(setting));
    child.kill("SIGKILL");
    await child.status;
    await child.stdin.close().catch(() => {});
    await until("the VM runs", () => isRunning(setting));
    await until("it is free", () => server.errors.trimEnd().endsWith("has left"));
  });
}

async function checkProcess(t: Deno.TestContext, setting: Setting): Promise<void> {
  const { daemon, program, base } = setting;
  const hex = [...new TextEncoder().encode(`${TEXT}\0`)].map((n) => n.toString(16).padStart(2, "0")).join("");
  await program.write(`poke 4096 ${hex}\n`);
  await program.lineMatching(/^poked/);
  await using server = await GdbCommand.start(daemon, "vm", "--pid", `${program.pid}`);
  await t.step("a process's string, threads and registers", async () => {
    const text = await gdb(
      server.place,
      `x/s ${base}+4096`,
      `x/1xw ${base}`,
      "info threads",
      "p/x $cs",
      "p $rip",
    );
    assert(text.includes(`"${TEXT}"`), text);
    assertEquals(Number(/^0x[0-9a-f]+:\s+(0x[0-9a-f]{8})$/m.exec(text)?.[1]), patternWord(7, 0) >>> 0);
    assertMatch(text, new RegExp(`^\\* 1 +Thread ${program.pid} .*pattern`, "m"));
    // It waits for its agent in a system call.
    assertMatch(text, /\$1 = 0x33\b/);
  });
  await t.step("it writes under the lease, and is refused without it", async () => {
    const text = await gdb(server.place, `set {int}${base} = 0x11223344`, "monitor status");
    assertMatch(text, /refused last: nothing/);
    await program.write("peek 0 4\n");
    assertEquals(await program.lineMatching(/^peek .*/).then(([line]) => line), "peek 44332211");
    await using other = await daemon.connect("other");
    await using _lease = await other.acquire("vm", "memwrite");
    const refused = await gdb(server.place, `set {int}${base} = 1`, "monitor status");
    assertMatch(refused, /Cannot access memory/);
    assertMatch(refused, /refused last: .*owns it/);
    await program.write("peek 0 4\n");
    assertEquals(await program.lineMatching(/^peek .*/).then(([line]) => line), "peek 44332211");
  });
}

/** A gdb that is attached while the VM is reset, and one that attaches afterwards. */
async function checkReset(setting: Setting): Promise<void> {
  const { daemon, vm } = setting;
  await using server = await GdbCommand.start(daemon, "vm");
  await using client = await daemon.connect("resets");
  const stream = client.events({ kinds: ["MEMCTX"] });
  const first = (await stream.next()).value?.as("MEMCTX")?.epoch ?? NaN;
  const child = new Deno.Command("gdb", {
    args: [
      ...["-nx", "-batch", "-ex", PATIENT, "-ex", `target remote ${server.place}`, "-ex", "shell read line"],
      ...["-ex", "monitor status", "-ex", "x/8xb 0x10", "-ex", "info threads"],
    ],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  await until("gdb is attached", () => Promise.resolve(server.errors.trimEnd().endsWith("is attached")));
  {
    await using _power = await client.acquire("vm", "power");
    await client.vm("vm", "reset");
  }
  while (((await stream.next()).value?.as("MEMCTX")?.epoch ?? 0) <= first);
  await stream.return();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode("on\n"));
  await writer.close();
  const { stdout, stderr } = await child.output();
  const text = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  assertMatch(text, /the VM runs/);
  assertMatch(text, /Cannot access memory at address 0x10/);
  assertMatch(text, /Thread 2 .*CPU 1/);
  const banner = await vmsig(["mem", "vm", "sym", "linux_banner", "--json", "--socket", daemon.socket]);
  const at = /0x[0-9a-f]+/.exec(banner.text)?.[0] ?? "";
  assert((await gdb(server.place, `x/s ${at}`)).includes(`"Linux version ${vm.agent.release}`));
}

Deno.test("a real gdb over a real Linux guest", async (t) => {
  await using vm = await startSavedGuest({ programs: ["pattern"], extraArgs: ["-smp", "2"] });
  const program = await vm.agent.start("pattern", "1", "7");
  const [, base = ""] = await program.lineMatching(/^ready \d+ (0x[0-9a-f]+) \d+/);
  const extents =
    `extents = [{ endpoint = "vm", space = "process", from = "${base}", to = "0x7fffffffffff" }]`;
  await using daemon = await DaemonProcess.start({
    config: `[[endpoint]]\nname = "vm"\nqmp = "${vm.qmpPath}"\ninput = "qmp"\n[write]\n${extents}\n`,
  });
  const ready = await vmsig(["wait", "vm", "--process", "pattern", "--socket", daemon.socket]);
  assertEquals(ready.code, 0, ready.errors);
  const setting = { vm, daemon, program, base };
  await checkVm(t, setting);
  await checkProcess(t, setting);
  await t.step("over a reset the same server reads the kernel that runs then", () => checkReset(setting));
});
