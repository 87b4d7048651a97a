/**
 * A VM's consoles over the daemon, on a real guest: what is awaited comes, what is sent arrives, late readers
 * get what was said before, one writes at a time, and who is slow holds up nobody.
 * @module
 */
import "../unit/ffi/loaded_shim.ts";
import { assertEquals, assertGreater, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { Fault } from "../../src/base/fault.ts";
import { planReplay } from "../../src/daemon/replay_plan.ts";
import { consolePieceOf } from "../../src/event/recorded_console.ts";
import { KIND } from "../../src/event/kind.ts";
import { BODY } from "../../src/event/transfer_event.ts";
import { type ConsoleControl, listConsoles } from "../../src/client/console_control.ts";
import { DaemonProcess, startVmsig, until, vmsig, vmsigWords } from "../fixtures/daemon_process.ts";
import { type MachineOptions, type Qemu, startFirmware } from "./qemu.ts";
import { TestQmp } from "./test_qmp.ts";
import { startSavedGuest } from "./saved_guest.ts";

/** Two more consoles than the guest's own: COM3 on a unix socket, a virtio console on a terminal. */
class Sockets implements AsyncDisposable {
  readonly folder = Deno.makeTempDirSync({ prefix: "vmsig-console-" });
  readonly serial = `${this.folder}/com3,a.sock`;

  get args(): string[] {
    return [
      "-chardev",
      `socket,id=com3,path=${this.serial.replace(",", ",,")},server=on,wait=off`,
      "-device",
      "isa-serial,chardev=com3,index=2",
      "-chardev",
      "pty,id=hvc",
      "-device",
      "virtio-serial-pci",
      "-device",
      "virtconsole,chardev=hvc",
      // QEMU looks once a second whether somebody has a pty open, and drops what comes before; a socket's
      // client it knows at once.
      "-chardev",
      `socket,id=flood,path=${this.folder}/flood.sock,server=on,wait=off`,
      "-device",
      "virtconsole,chardev=flood",
    ];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.folder, { recursive: true });
  }
}

const guest = (sockets: Sockets) =>
  startSavedGuest({
    programs: ["talker"],
    modules: ["virtio_pci", "virtio_console"],
    extraArgs: sockets.args,
  });
const config = (vm: Qemu, more = "") =>
  `[[endpoint]]\nname = "vm"\nqmp = "${vm.qmpPath}"\ninput = "none"\nmemory = "none"\ndisplay = "none"\n${more}`;
const firmware = (sockets: Sockets, options: MachineOptions = {}) =>
  startFirmware({ ramMiB: 64, extraArgs: sockets.args, ...options });

async function isUp(daemon: DaemonProcess): Promise<void> {
  await using client = await daemon.connect("waits");
  await until("the console is up", () => client.roster.list()[0]?.seams.includes("console") === true);
}

/** Numbers of the consoles that are reached, by their labels. */
async function numbers(daemon: DaemonProcess): Promise<Record<string, number>> {
  await using client = await daemon.connect("lists");
  const entries = await listConsoles(client, "vm");
  return Object.fromEntries(entries.map(({ label, number }) => [label, number]));
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  const error = await assertRejects(() => promise, Fault);
  return (error as Fault).code;
}

async function readLines(console: ConsoleControl, count: number): Promise<string[]> {
  const decoder = new TextDecoder();
  let text = "";
  while (text.length < count * 64) {
    text += decoder.decode(await console.read(), { stream: true });
    assertEquals(console.lostBytes, 0);
  }
  return text.split("\n").slice(0, count);
}

Deno.test("consoles: listed, awaited, written, read late and by several, one writer at a time", async () => {
  await using sockets = new Sockets();
  await using vm = await guest(sockets);
  await using daemon = await DaemonProcess.start({ config: config(vm) });
  await isUp(daemon);
  const { com3 = -1, hvc = -1 } = await numbers(daemon);
  assertGreater(com3, -1);
  assertGreater(hvc, -1);
  const listed = await vmsig(["console", "vm", "list", "--socket", daemon.socket]);
  assertMatch(listed.text, /com3 +serial +closed/);
  assertMatch(listed.text, /console +serial +QEMU connects to a socket there, and does not listen/);
  for (const [port, device] of [[com3, "/dev/ttyS2"], [hvc, "/dev/hvc0"]] as const) {
    await using client = await daemon.connect("writer");
    await using console = await client.console("vm", { port });
    const talker = await vm.agent.start("talker", device, "login");
    await talker.lineMatching(/^ready/);
    await console.expect("login: ");
    await console.send("alice\r");
    const { groups, before } = await console.expect(/hello (\w+)\r\n/);
    assertEquals([groups, before], [["alice"], "alice\r\n"]);
    assertEquals(console.lostBytes, 0);
    // One more writer is refused, a reader is not, and gets what was said before it came.
    await using other = await daemon.connect("reader");
    await using late = await other.console("vm", { port, backlog: true });
    await late.expect("hello alice");
    assertEquals(await codeOf(late.send("mallory\r")), "busy");
    await console.expect("login: ");
    await console.send("bob\r");
    await Promise.all([console.expect("hello bob"), late.expect("hello bob")]);
  }
  // As a script.
  const { code, text } = await vmsig([
    "console",
    "vm",
    "--port",
    `${com3}`,
    "--send",
    "\\n",
    "--expect",
    "login: ",
    "--send",
    "carol\\r",
    "--expect",
    "hello \\w+",
    "--socket",
    daemon.socket,
  ]);
  assertEquals(code, 0);
  assertStringIncludes(text, "hello ");
});

Deno.test("consoles: without the lease, or under one that is over, nothing is written", async () => {
  await using sockets = new Sockets();
  await using vm = await guest(sockets);
  await using daemon = await DaemonProcess.start({ config: config(vm) });
  await isUp(daemon);
  const { com3 = -1 } = await numbers(daemon);
  await using client = await daemon.connect("writer");
  await using console = await client.console("vm", { port: com3 });
  const talker = await vm.agent.start("talker", "/dev/ttyS2", "login");
  await talker.lineMatching(/^ready/);
  await console.expect("login: ");
  const write = (text: string, token: number) =>
    client.command(KIND.CMD_CONSOLE_WRITE, console.endpoint, "write", (event) => {
      event.words[0] = com3;
      event.setBody(BODY.RAW, new TextEncoder().encode(text));
    }, { token });
  assertEquals(await codeOf(write("none\r", 0)), "no-lease");
  const first = await client.acquire("vm", "console");
  await write("al", first.token);
  await first.release();
  await using second = await client.acquire("vm", "console");
  assertEquals(await codeOf(write("late\r", first.token)), "stale-lease");
  await write("ice\r", second.token);
  assertEquals((await console.expect(/hello (.*)\r/)).groups, ["alice"]);
});

Deno.test("consoles: another client has it; it is said which, and goes by itself when that one leaves", async () => {
  await using sockets = new Sockets();
  await using vm = await firmware(sockets);
  const other = await Deno.connect({ transport: "unix", path: sockets.serial });
  await using daemon = await DaemonProcess.start({ config: config(vm) });
  await isUp(daemon);
  const { com3 = -1 } = await numbers(daemon);
  await using client = await daemon.connect("reader");
  const refused = await assertRejects(() => client.console("vm", { port: com3 }), Fault);
  assertEquals((refused as Fault).code, "busy");
  assertMatch(refused.message, new RegExp(`another client has the console: process ${Deno.pid} \\(deno`));
  assertEquals(await codeOf(client.console("vm", { port: 30 })), "bad-argument");
  other.close();
  await until("it is free", async () => {
    try {
      await (await client.console("vm", { port: com3 }))[Symbol.asyncDispose]();
      return true;
    } catch (error) {
      if (error instanceof Fault && error.code === "busy") return false;
      throw error;
    }
  });
  // Left alone for a while it is somebody else's again.
  await until("QEMU has no client there", async () => {
    return (await listConsoles(client, "vm"))[com3]?.open === false;
  });
  const again = await Deno.connect({ transport: "unix", path: sockets.serial });
  again.close();
});

/** Has a file open until its input ends. */
const HOLDER = `import os, sys
os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)
print("open", flush=True)
sys.stdin.read()`;

Deno.test("consoles: who reads a terminal already is named, and keeps all of its bytes", async () => {
  await using sockets = new Sockets();
  await using vm = await firmware(sockets, { qmpSockets: 2 });
  await using daemon = await DaemonProcess.start({ config: config(vm) });
  await isUp(daemon);
  const { hvc = -1 } = await numbers(daemon);
  await using qmp = await TestQmp.connect(vm.qmpPaths[1] ?? "");
  const chardevs = await qmp.execute("query-chardev") as { label: string; filename: string }[];
  const path = chardevs.find(({ label }) => label === "hvc")?.filename.replace(/^pty:/, "") ?? "";
  const holder = new Deno.Command("python3", { args: ["-c", HOLDER, path], stdin: "piped", stdout: "piped" })
    .spawn();
  await using client = await daemon.connect("reader");
  try {
    // It is ready when it says so; the pipe stays, so that it can say all of it.
    for await (const bytes of holder.stdout.values({ preventCancel: true })) {
      if (bytes.includes(10)) break;
    }
    const refused = await assertRejects(() => client.console("vm", { port: hvc }), Fault) as Fault;
    assertEquals(refused.code, "busy");
    assertMatch(
      refused.message,
      new RegExp(`another client has the console: process ${holder.pid} \\(python3\\); disconnect it there`),
    );
    const listed = await vmsig(["console", "vm", "list", "--socket", daemon.socket]);
    assertStringIncludes(listed.text, `process ${holder.pid} (python3)`);
  } finally {
    await holder.stdin.close();
    await holder.stdout.cancel();
    await holder.status;
  }
  await using console = await client.console("vm", { port: hvc });
  assertEquals(console.port, hvc);
});

Deno.test("consoles: a VM that ends is told to who reads; the next one of its name is read again", async () => {
  await using sockets = new Sockets();
  await using vm = await firmware(sockets);
  await using daemon = await DaemonProcess.start({ config: config(vm) });
  await isUp(daemon);
  const { com3 = -1 } = await numbers(daemon);
  await using client = await daemon.connect("reader");
  await using console = await client.console("vm", { port: com3 });
  const read = codeOf(console.read());
  vm.kill("SIGKILL");
  assertEquals(await read, "seam-down");
});

Deno.test("consoles: a flood reaches a reader whole when it asks for that, and is counted when it does not", async () => {
  await using sockets = new Sockets();
  await using vm = await guest(sockets);
  await using daemon = await DaemonProcess.start({ config: config(vm) });
  await isUp(daemon);
  // A serial port: there the guest waits for QEMU's reader. Of a virtio console QEMU drops what is not read
  // at once, and tells nobody.
  const { com3 = -1 } = await numbers(daemon);
  const lines = 20_000;
  await using client = await daemon.connect("reads all");
  await using console = await client.console("vm", { port: com3, lossless: true });
  const reading = readLines(console, lines);
  const flood = await vm.agent.start("talker", "/dev/ttyS2", "flood", `${lines}`);
  await flood.lineMatching(/^ready/);
  const got = await reading;
  assertEquals([got.length, console.lostBytes], [lines, 0]);
  got.forEach((line, i) => assertEquals(Number(line.slice(0, 10)), i));
  // Who comes later gets the last megabyte, from where it begins.
  await using late = await daemon.connect("reads late");
  await using kept = await late.console("vm", { port: com3, backlog: true });
  const first = await kept.read();
  assertGreater(kept.lostBytes, 0);
  assertEquals(kept.lostBytes + (1 << 20), lines * 64);
  assertGreater(first.length, 0);
});

Deno.test("consoles: what was recorded of them is read from the replay when the VM is long gone", async () => {
  await using sockets = new Sockets();
  const path = `${sockets.folder}/r.cbor`;
  let com3 = -1;
  {
    await using vm = await guest(sockets);
    await using daemon = await DaemonProcess.start({ config: config(vm) });
    await isUp(daemon);
    com3 = (await numbers(daemon))["com3"] ?? -1;
    const recorder = startVmsig(["record", "-o", path, "--consoles", "--json", "--socket", daemon.socket]);
    await using client = await daemon.connect("writer");
    await using console = await client.console("vm", { port: com3 });
    const talker = await vm.agent.start("talker", "/dev/ttyS2", "login");
    await talker.lineMatching(/^ready/);
    await console.expect("login: ");
    await console.send("alice\r");
    await console.expect("hello alice");
    await until("it is recorded", () => recordedText(path, com3).includes("hello alice"));
    recorder.kill("SIGINT");
    const { code, stdout } = await recorder.output();
    assertEquals(code, 130);
    assertGreater(JSON.parse(new TextDecoder().decode(stdout)).consoleBytes, 20);
  }
  const socket = `${sockets.folder}/replay.sock`;
  const player = startVmsig(["replay", path, "--speed", "0", "--stay", "--json", "--socket", socket]);
  try {
    // Its socket is there before anybody listens.
    const asked = () => vmsig(["console", "vm", "list", "--socket", socket]);
    await until("the replay", async () => (await asked()).code === 0);
    const at = ["--port", `${com3}`, "--socket", socket];
    const script = ["--expect", "login: ", "--expect", "hello (\\w+)", "--json"];
    const { code, text, errors } = await vmsig(["console", "vm", "--backlog", ...script, ...at]);
    assertEquals(code, 0, errors);
    const last = text.trim().split("\n").at(-1) as string;
    assertEquals(JSON.parse(last).groups, ["alice"]);
    const listed = await vmsig(["console", "vm", "list", "--socket", socket]);
    assertMatch(listed.text, /com3 +serial +open/);
  } finally {
    player.kill("SIGINT");
    assertEquals((await player.output()).code, 130);
  }
});

Deno.test("consoles: a terminal that QEMU takes away is told to who reads it, and is read again when it is back", async () => {
  await using sockets = new Sockets();
  const plug = ["-device", "virtio-serial-pci,id=bus", "-chardev", "pty,id=gone"];
  const device = ["-device", "virtconsole,chardev=gone,id=plugged,bus=bus.0"];
  await using vm = await firmware(sockets, { qmpSockets: 2, extraArgs: [...plug, ...device] });
  await using daemon = await DaemonProcess.start({ config: config(vm) });
  await isUp(daemon);
  const { gone = -1 } = await numbers(daemon);
  await using client = await daemon.connect("reader");
  await using console = await client.console("vm", { port: gone });
  const read = codeOf(console.read());
  await using qmp = await TestQmp.connect(vm.qmpPaths[1] ?? "");
  // A port needs no guest to let go of it.
  await qmp.execute("device_del", { id: "plugged" });
  await until(
    "QEMU lets go of the terminal",
    () =>
      qmp.execute("chardev-remove", { id: "gone" }).then(() => true, (error) => {
        if (/is busy/.test(error.message)) return false;
        throw error;
      }),
  );
  assertEquals(await read, "seam-down");
  const error = await assertRejects(() => client.console("vm", { port: gone }), Fault);
  assertEquals((error as Fault).code, "seam-down");
  assertStringIncludes(error.message, "the VM has no such console");
  await qmp.execute("chardev-add", { id: "gone", backend: { type: "pty", data: {} } });
  await qmp.execute("device_add", { driver: "virtconsole", chardev: "gone", id: "plugged", bus: "bus.0" });
  await using again = await client.console("vm", { port: gone });
  assertEquals(again.port, gone);
  assertEquals((await listConsoles(client, "vm"))[gone]?.open, true);
});

/** A person at a terminal: runs a program there, awaits what it says, types, and tells how it ended. */
const TERMINAL = `
import fcntl, os, pty, select, struct, sys, termios
pid, fd = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
before = termios.tcgetattr(fd)
said = b""
def expect(words):
    global said
    while words not in said:
        if not select.select([fd], [], [], 120)[0]:
            sys.exit(f"no {words!r} in {said!r}")
        said += os.read(fd, 65536)
    said = said[said.index(words) + len(words):]
`;

const PERSON = `${TERMINAL}
expect(b"Enter, ~ and a dot leave")
os.write(fd, b"\\r")
expect(b"login: ")
os.write(fd, b"a\\x03b\\r")
expect(b"hello a\\x03b")
expect(b"login: ")
fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
os.write(fd, b"\\r~?")
expect(b"stty rows 40 cols 120\\r\\n")
os.write(fd, b"~.")
status = os.waitpid(pid, 0)[1]
print(os.waitstatus_to_exitcode(status), termios.tcgetattr(fd) == before)
`;

/** Types while another writes. */
const READER = `${TERMINAL}
expect(b"Enter, ~ and a dot leave")
os.write(fd, b"x")
expect(b"until then you only read")
print("reads", flush=True)
expect(b"hello bob")
os.write(fd, b"\\r~.")
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`;

Deno.test("consoles: on a terminal Ctrl-C goes to the guest, and ~. leaves the terminal as it was", async () => {
  await using sockets = new Sockets();
  await using vm = await guest(sockets);
  await using daemon = await DaemonProcess.start({ config: config(vm) });
  await isUp(daemon);
  const { com3 = -1 } = await numbers(daemon);
  const talker = await vm.agent.start("talker", "/dev/ttyS2", "login");
  await talker.lineMatching(/^ready/);
  const command = vmsigWords(["console", "vm", "--port", `${com3}`, "--socket", daemon.socket]);
  const { stdout, stderr } = await new Deno.Command("python3", { args: ["-c", PERSON, ...command] }).output();
  const decoder = new TextDecoder();
  assertEquals([decoder.decode(stdout), decoder.decode(stderr)], ["0 True\n", ""]);
});

Deno.test("consoles: who types on a terminal while another writes is told once, and reads on", async () => {
  await using sockets = new Sockets();
  await using vm = await guest(sockets);
  await using daemon = await DaemonProcess.start({ config: config(vm) });
  await isUp(daemon);
  const { com3 = -1 } = await numbers(daemon);
  const talker = await vm.agent.start("talker", "/dev/ttyS2", "login");
  await talker.lineMatching(/^ready/);
  await using client = await daemon.connect("writer");
  await using console = await client.console("vm", { port: com3 });
  await console.send("\r");
  const command = vmsigWords(["console", "vm", "--port", `${com3}`, "--socket", daemon.socket]);
  const reader = new Deno.Command("python3", { args: ["-c", READER, ...command], stdout: "piped" }).spawn();
  let said = "";
  for await (const text of reader.stdout.pipeThrough(new TextDecoderStream())) {
    said += text;
    if (said === "reads\n") await console.send("bob\r");
  }
  assertEquals([said, (await reader.status).code], ["reads\n0\n", 0]);
});

/** What a recording has of one console; "" while it is not begun, or an item is being written. */
function recordedText(path: string, port: number): string {
  try {
    const events = planReplay(Deno.readFileSync(path), path).steps.map(({ event }) => event);
    const pieces = events.filter((event) => event.console && consolePieceOf(event.inline).port === port);
    return pieces.map(({ body }) => new TextDecoder().decode(body)).join("");
  } catch {
    return "";
  }
}
