/**
 * Every VM's screen on the bus: through the real daemon, from a QEMU with one monitor. By each source, on
 * demand and not otherwise; refused with a reason where there is none; nothing left behind.
 * @module
 */
import "../unit/ffi/loaded_shim.ts";
import { assert, assertEquals, assertGreater, assertMatch, assertRejects } from "@std/assert";
import { Fault } from "../../src/base/fault.ts";
import type { Client, Frame } from "../../src/client/mod.ts";
import { decodePng } from "../../src/vgpu/png.ts";
import { DaemonProcess, until, vmsig } from "../fixtures/daemon_process.ts";
import { countOf } from "../fixtures/counts.ts";
import { descriptorsOf, settled, untilNoMore } from "../fixtures/holdings.ts";
import { startFirmware } from "./qemu.ts";
import { TextLineStream } from "./text_lines.ts";
import { VgaGuest } from "./vga_guest.ts";

function endpoint(name: string, qmp: string | undefined, display = "auto"): string {
  return `[[endpoint]]\nname = "${name}"\nqmp = "${qmp}"\nmemory = "none"\ninput = "none"\ndisplay = "${display}"\n`;
}

/** The pixels of a frame, without the byte that means nothing. */
function pixelsOf(frame: Frame): Int32Array {
  const { rgba } = frame.picture();
  return new Int32Array(rgba.buffer);
}

async function sourceOf(client: Client, name: string): Promise<string> {
  return (await client.display(name)).heads[0]?.source ?? "";
}

/** Waits until a VM's screen can be had: its monitor is asked first. */
async function hasScreen(client: Client, name: string): Promise<void> {
  const seams = () => client.roster.list().find((entry) => entry.name === name)?.seams ?? [];
  await until(`the screen of ${name}`, () => seams().includes("frame"));
}

/** Waits until a picture has such pixels: firmware takes its time. */
async function frameWith(client: Client, name: string, fits: (frame: Frame) => boolean): Promise<Frame> {
  await hasScreen(client, name);
  let frame = await client.frame(name);
  await until("the picture", async () => fits(frame = await client.frame(name)));
  return frame;
}

Deno.test("display: one monitor is enough; the command writes PNGs, scaled, to standard output, and says what it cannot do", async () => {
  await using vm = await startFirmware({});
  await using daemon = await DaemonProcess.start({ config: endpoint("vm", vm.qmpPath) });
  const at = ["--socket", daemon.socket];
  await using client = await daemon.connect("test");
  // The firmware's text, and not yet the black screen before it.
  const frame = await frameWith(client, "vm", (each) => new Set(pixelsOf(each)).size > 1);
  assertEquals([frame.width, frame.height, frame.head, frame.isStopped], [720, 400, 0, false]);

  const path = `${daemon.folder}/shot.png`;
  const plain = await vmsig(["screen", "vm", "-o", path, ...at]);
  assertEquals([plain.code, plain.text], [0, `${path}: 720x400, by vram\n`], plain.errors);
  const picture = decodePng(await Deno.readFile(path));
  assertEquals([picture.width, picture.height], [720, 400]);
  await Deno.remove(path);
  const half = await vmsig(["screen", "vm", "-o", "-", "--scale", "0.5", ...at]);
  assertEquals([half.code, half.errors], [0, ""]);
  assertEquals(decodePng(half.bytes).width, 360);

  await client.vm("vm", "stop");
  await until("the VM stands still", async () => (await client.frame("vm")).isStopped);
  const stopped = JSON.parse((await vmsig(["screen", "vm", "-o", path, "--json", ...at])).text);
  assertEquals([stopped.stopped, stopped.source, stopped.head], [true, "vram", 0]);
  await Deno.remove(path);
  await client.vm("vm", "cont");
  await until("the VM runs", async () => !(await client.frame("vm")).isStopped);

  assertMatch((await vmsig(["ls", ...at])).text, /frame \(vram\),vmhost/);
  assertMatch((await vmsig(["doctor", ...at])).text, /screen vm .*by vram: the best available/);

  const none = await vmsig(["screen", "vm", "--head", "1", ...at]);
  assertEquals([none.code, none.text], [1, ""]);
  assertMatch(none.errors, /^vmsig: bad-argument: Cannot take a picture of vm: the VM has 1 head/);
  for (
    const wrong of [["--head", "99"], ["--scale", "0"], ["--watch", "d", "-o", "f"], ["--source", "qmp"]]
  ) {
    assertEquals((await vmsig(["screen", "vm", ...wrong, ...at])).code, 2, wrong.join(" "));
  }
});

Deno.test("display: the same picture by vram and by screendump, pixel for pixel, in every mode and in text", async () => {
  await using guest = await VgaGuest.start({ qmpSockets: 3 });
  const [first, second] = guest.vm.qmpPaths;
  await using daemon = await DaemonProcess.start({
    config: endpoint("memory", first, "vram") + endpoint("dump", second, "screendump"),
  });
  await using client = await daemon.connect("test");
  for (const name of ["memory", "dump"]) await hasScreen(client, name);
  const both = async (what: string): Promise<Frame> => {
    const [a, b] = [await client.frame("memory"), await client.frame("dump")];
    assertEquals([a.width, a.height], [b.width, b.height], what);
    assertEquals(pixelsOf(a), pixelsOf(b), what);
    return a;
  };
  for (const bits of [32, 24, 16, 15]) {
    await guest.setMode({ width: 640, height: 480, bits });
    await guest.fill(bits, 32);
    const frame = await both(`${bits} bits`);
    assertEquals([frame.width, frame.height], [640, 480]);
    assertGreater(new Set(pixelsOf(frame)).size, 1000);
  }
  await guest.setMode({ width: 1280, height: 800, bits: 32 });
  await guest.fill(5, 64);
  assertEquals((await both("a larger one")).width, 1280);
  assertEquals([await sourceOf(client, "memory"), await sourceOf(client, "dump")], ["vram", "screendump"]);
});

Deno.test("display: frames come while they are watched, and only changed ones; what is not watched asks nothing", async () => {
  await using guest = await VgaGuest.start({ qmpSockets: 2 });
  await using daemon = await DaemonProcess.start({ config: endpoint("vm", guest.vm.qmpPaths[0]) });
  await using client = await daemon.connect("test");
  await hasScreen(client, "vm");
  await guest.setMode({ width: 320, height: 200, bits: 32 });
  await guest.fill(1, 8);
  const infos = client.events({ kinds: ["FRAME_INFO"] });
  let seen = 0;
  let last = 0;
  for await (const frame of client.frames("vm", { perSecond: 50 })) {
    if (frame.width !== 320) continue;
    const pixel = pixelsOf(frame)[0]! & 0xffffff;
    if (seen > 0 && pixel !== seen * 0x111111) continue;
    assertGreater(frame.frameId, last);
    last = frame.frameId;
    if (++seen === 6) break;
    for (let byte = 0; byte < 3; byte++) await guest.poke(byte, seen * 0x11);
  }
  assertEquals(seen, 6);
  // One pixel changed: the damage says so.
  let smallest = Infinity;
  await client.barrier();
  const ended = infos.return();
  for (;;) {
    const { value, done } = await infos.next();
    if (done) break;
    const info = value.as("FRAME_INFO");
    assert(info !== undefined);
    assertEquals([info.head, info.source === 3 || info.source === 2], [0, true]);
    if (info.damageW > 0) smallest = Math.min(smallest, info.damageW * info.damageH);
  }
  await ended;
  assert(smallest === Infinity || smallest <= 320 * 200);
  // The loop was left: nothing is looked at any more, whatever the guest paints.
  await client.barrier();
  await using quiet = client.events({ kinds: ["FRAME_INFO"] });
  await guest.fill(9, 8);
  await client.barrier();
  const frame = await client.frame("vm");
  await client.barrier();
  let told = 0;
  for (; quiet.buffered > 0; told++) await quiet.next();
  assert(told <= 2, `${told} frames of one request`);
  assertGreater(frame.frameId, last);
});

Deno.test("display: several heads of a card that has no memory to read; VNC and D-Bus where they run; a VM without any display", async () => {
  const gpu = ["-device", "virtio-vga,id=gpu,max_outputs=2"];
  await using two = await startFirmware({ devices: ["no-vga"], extraArgs: gpu });
  await using vnc = await startFirmware({
    devices: ["no-vga"],
    extraArgs: [...gpu, "-vnc", `unix:${two.qmpPath}.vnc`],
  });
  await using blind = await startFirmware({ devices: ["no-vga"] });
  await using bus = await startFirmware({ extraArgs: ["-display", "dbus,p2p=on"] });
  await using noBus = await startFirmware({});
  await using daemon = await DaemonProcess.start({
    config: endpoint("bus", bus.qmpPath, "dbus") + endpoint("nobus", noBus.qmpPath, "dbus") +
      endpoint("two", two.qmpPath) + endpoint("vnc", vnc.qmpPath) + endpoint("blind", blind.qmpPath),
  });
  await using client = await daemon.connect("test");
  const head0 = await frameWith(client, "two", (each) => new Set(pixelsOf(each)).size > 1);
  const head1 = await client.frame("two", { head: 1 });
  assertEquals([head0.head, head0.device, head1.head, head1.device], [0, "gpu", 1, "gpu"]);
  const heads = (await client.display("two")).heads;
  assertEquals(heads.map(({ head, source, device }) => [head, source, device]), [
    [0, "screendump", "gpu"],
    [1, "screendump", "gpu"],
  ]);
  assertMatch(heads[0]!.why, /vram: its display card is not a std VGA; vnc: QEMU runs no VNC server/);

  const overVnc = await frameWith(client, "vnc", (each) => new Set(pixelsOf(each)).size > 1);
  assertEquals(await sourceOf(client, "vnc"), "vnc");
  assertEquals([overVnc.width, overVnc.height], [head0.width, head0.height]);

  const overBus = await frameWith(client, "bus", (each) => new Set(pixelsOf(each)).size > 1);
  assertEquals([await sourceOf(client, "bus"), overBus.width, overBus.height], ["dbus", 720, 400]);
  await hasScreen(client, "nobus");
  const missing = await assertRejects(() => client.frame("nobus"), Fault);
  assertEquals([missing.code, missing.message], [
    "not-supported",
    "Cannot take a picture of nobus: dbus: QEMU has no D-Bus display for peers (-display dbus,p2p=on)",
  ]);

  await until("its monitor was asked", async () => (await client.display("blind")).known);
  const none = await assertRejects(() => client.frame("blind"), Fault);
  assertEquals([none.code, none.message], [
    "not-supported",
    "Cannot take a picture of blind: the VM has no display",
  ]);
  assertEquals((await client.display("blind")).heads, []);
  const entry = (name: string) => client.roster.list().find((each) => each.name === name);
  assertEquals(entry("blind")?.seams.includes("frame"), false);
  assertEquals(entry("two")?.seams.includes("frame"), true);
});

Deno.test("display: many clients take a picture each, by the library and by the command, and nobody keeps a descriptor of them", async () => {
  await using vm = await startFirmware({});
  await using daemon = await DaemonProcess.start({ config: endpoint("vm", vm.qmpPath) });
  {
    await using client = await daemon.connect("first");
    await hasScreen(client, "vm");
    await client.frame("vm");
  }
  const [daemonBefore, qemuBefore] = [
    await settled(() => daemon.fds()),
    await settled(() => descriptorsOf(vm.pid)),
  ];
  const clients = countOf({ gate: 300, full: 10_000 });
  for (let i = 0; i < clients; i++) {
    await using client = await daemon.connect(`client ${i}`);
    assertEquals((await client.frame("vm")).head, 0);
  }
  const commands = countOf({ gate: 3, full: 300 });
  for (let i = 0; i < commands; i++) {
    const path = `${daemon.folder}/shot.png`;
    const { code, errors } = await vmsig(["screen", "vm", "-o", path, "--socket", daemon.socket]);
    assertEquals([code, errors], [0, ""]);
    await Deno.remove(path);
  }
  await untilNoMore("descriptors that the daemon kept", daemonBefore, () => daemon.fds());
  // A mode that the firmware sets meanwhile is another ring, and no other set of QEMU's.
  await untilNoMore("descriptors that QEMU kept", qemuBefore, () => descriptorsOf(vm.pid));
});

Deno.test("display: a VM that ends and comes again, and one whose monitor somebody resets: pictures come again", async () => {
  await using daemon = await DaemonProcess.start();
  await using client = await daemon.connect("test");
  let path = "";
  for (let round = 0; round < 2; round++) {
    await using vm = await startFirmware({});
    path = `${daemon.folder}/endpoints.d/vm`;
    await Deno.writeTextFile(path, `name = "vm"\nqmp = "${vm.qmpPath}"\nmemory = "none"\n`, { mode: 0o600 });
    await frameWith(client, "vm", (each) => new Set(pixelsOf(each)).size > 1);
    vm.kill("SIGKILL");
    await vm.ended;
    const gone = await assertRejects(() => client.frame("vm"), Fault);
    assert(["seam-down", "timed-out", "no-endpoint"].includes(gone.code), gone.message);
    await Deno.remove(path);
    await until("the VM is gone", () => client.roster.find("vm") === undefined);
  }
});

Deno.test("display: text, exactly, by each way to read the screen; none where there is none", async () => {
  await using guest = await VgaGuest.start({ qmpSockets: 3 });
  const [first, second] = guest.vm.qmpPaths;
  await using daemon = await DaemonProcess.start({
    config: endpoint("memory", first) + endpoint("dump", second, "screendump"),
  });
  await using client = await daemon.connect("test");
  for (const name of ["memory", "dump"]) await hasScreen(client, name);
  for (let page = 1; page <= 5; page++) {
    await guest.video(3);
    const lines = Array.from({ length: 20 }, (_, i) => `page ${page} line ${i}: ${"#".repeat(3 * i + 1)}`);
    await guest.print(new TextEncoder().encode(lines.join("\r\n")));
    const memory = await client.screenText("memory");
    const dump = await client.screenText("dump");
    assertEquals(memory.lines.slice(0, 20), lines);
    assertEquals(dump.lines.slice(0, 20), lines);
    assertEquals([memory.columns, memory.rows, memory.unknown, dump.unknown], [80, 25, 0, 0]);
    assertEquals(dump.source, "glyphs");
  }
  // Once its registers were found in QEMU's memory no picture is made for it.
  await until("the text by video memory", async () => (await client.screenText("memory")).source === "vga");
  const printed = await vmsig(["screen", "memory", "--text", "--socket", daemon.socket]);
  assertEquals([printed.code, printed.text.split("\n")[19]], [0, `page 5 line 19: ${"#".repeat(58)}`]);
  await guest.setMode({ width: 640, height: 480, bits: 32 });
  await guest.fill(3, 32);
  for (const name of ["memory", "dump"]) {
    const none = await assertRejects(() => client.screenText(name), Fault);
    assertEquals([none.code, none.message], [
      "not-supported",
      `Cannot read the screen of ${name}: there is no text on the screen that can be read`,
    ]);
  }
});

/** What `screen --watch --json` says of a file. */
interface Told {
  readonly path: string;
  readonly source: string;
  readonly width: number;
  readonly frameId: number;
  readonly timestampNs: number;
  readonly stopped: boolean;
}

Deno.test("display: a file for each change, until Ctrl-C; several loops over one head; a viewer that does not read costs nobody", async () => {
  await using guest = await VgaGuest.start({ qmpSockets: 2 });
  await using daemon = await DaemonProcess.start({ config: endpoint("vm", guest.vm.qmpPaths[0]) });
  {
    await using client = await daemon.connect("first");
    await hasScreen(client, "vm");
  }
  await guest.setMode({ width: 64, height: 64, bits: 32 });
  await guest.fill(1, 1);
  const dir = `${daemon.folder}/shots`;
  const main = new URL("../../main.ts", import.meta.url).pathname;
  const config = new URL("../../deno.json", import.meta.url).pathname;
  const watching = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      "--no-check",
      "-c",
      config,
      main,
      "screen",
      "vm",
      "--watch",
      dir,
      "--json",
      "--socket",
      daemon.socket,
    ],
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const told: Told[] = [];
  const reading = (async () => {
    for await (const line of watching.stdout.pipeThrough(new TextLineStream())) told.push(JSON.parse(line));
  })();
  const files = () => {
    try {
      return [...Deno.readDirSync(dir)].map(({ name }) => name).sort();
    } catch {
      return [];
    }
  };
  await until("the first file", () => files().includes("vm-000001.png"), 180_000);
  await guest.fill(42, 1);
  await until("another one", () => files().length >= 2, 180_000);
  // A VM that stands still, and goes on, shows what it showed: that is told, and no second file made of it.
  await guest.qmp.execute("stop");
  await until("it stands still", () => told.some(({ stopped }) => stopped), 180_000);
  const standing = told.length;
  await guest.qmp.execute("cont");
  await until("it goes on", () => told.slice(standing).some(({ stopped }) => !stopped), 180_000);
  watching.kill("SIGINT");
  const { code } = await watching.status;
  await reading;
  const [first] = told;
  assertEquals([code, first?.path, first?.width, first?.source], [130, `${dir}/vm-000001.png`, 64, "vram"]);
  const places = new Map(told.map(({ frameId, timestampNs, path }) => [`${frameId} ${timestampNs}`, path]));
  assertEquals(places.size, new Set(places.values()).size);
  assertEquals(files().length, places.size);
  assert(places.size < told.length, "a frame was told once more");
  const fifo = `${dir}/nobody-reads`;
  assertEquals((await new Deno.Command("mkfifo", { args: [fifo] }).output()).code, 0);
  const refused = await vmsig(["screen", "vm", "-o", fifo, "--socket", daemon.socket]);
  assertEquals([refused.code, refused.errors], [
    1,
    `vmsig: refused: Cannot write ${fifo}: it is a pipe without a reader\n`,
  ]);
  await Deno.remove(dir, { recursive: true });

  await using client = await daemon.connect("two loops");
  // A stream that nobody reads, and a ring that nobody samples.
  await using idle = await daemon.connect("idle");
  await using _unread = idle.events();
  void idle.frames("vm").next();
  const slow = client.frames("vm", { perSecond: 1 });
  const fast = client.frames("vm", { perSecond: 60 });
  await slow.next();
  let last = 0;
  for (let i = 1; i <= 20; i++) {
    const { value } = await fast.next();
    assert(value !== undefined);
    assertGreater(value.frameId, last);
    last = value.frameId;
    await guest.fill(100 + i, 1);
  }
  await fast.return();
  await guest.fill(999, 1);
  const { value } = await slow.next();
  assertGreater(value?.frameId ?? 0, 1, "the other loop goes on");
  await slow.return();
});
