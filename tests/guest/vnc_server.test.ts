/**
 * `vmsig vnc` with a real viewer (libvncclient): it sees the guest, bit for bit, through modes, resets and
 * the VM's coming and going; it types, is refused while an automation has keyboard and mouse, takes them
 * over, is pre-empted, and goes with a key down, which the guest's evdev shows released.
 * @module
 */
import "../unit/ffi/loaded_shim.ts";
import { assert, assertEquals, assertMatch } from "@std/assert";
import type { EndpointId } from "../../src/base/ids.ts";
import { LEASE_CLASS } from "../../src/event/body_number.ts";
import { ViewerListener } from "../../src/client/vnc/viewer_listener.ts";
import { VncScreen } from "../../src/client/vnc/vnc_screen.ts";
import { KIND } from "../../src/event/kind.ts";
import { DaemonProcess, join, until } from "../fixtures/daemon_process.ts";
import { VncCommand } from "../fixtures/vnc_command.ts";
import { type ViewerPicture, VncViewer } from "../fixtures/vnc_viewer.ts";
import { buildRelay, ForeignControl, whyNotOthers } from "../unit/daemon/foreign_control.ts";
import type { Qemu } from "./qemu.ts";
import { startSavedGuest } from "./saved_guest.ts";
import { screendump } from "./screendump.ts";
import type { TestQmp } from "./test_qmp.ts";
import { VgaGuest } from "./vga_guest.ts";

const STRONG = 65_532;

async function showsDump(viewer: VncViewer, vm: Qemu, qmp: TestQmp): Promise<void> {
  const dump = await screendump(vm, qmp);
  await viewer.shows((seen) => isSame(seen, dump));
}

function isSame(seen: ViewerPicture, wanted: ViewerPicture): boolean {
  return seen.width === wanted.width && seen.height === wanted.height &&
    seen.rgb.every((byte, i) => byte === wanted.rgb[i]);
}

Deno.test("vnc server: viewers see each mode bit for bit by tight, zrle and raw; resets; a VM that goes and comes", async () => {
  const dir = await Deno.makeTempDir({ prefix: "vmsig-seat-" });
  try {
    const qmpPath = `${dir}/web.qmp`;
    const machine = () => VgaGuest.start({ extraArgs: ["-qmp", `unix:${qmpPath},server=on,wait=off`] });
    await using daemon = await DaemonProcess.start({
      config: `[[endpoint]]\nname = "vm"\nqmp = "${qmpPath}"\nmemory = "none"\n`,
    });
    const word = `${dir}/word`;
    await Deno.writeTextFile(word, "secret word\n", { mode: 0o600 });
    let first: VgaGuest | undefined = await machine();
    try {
      await using client = await daemon.connect("looks");
      await until("the VM is up", () => client.roster.list()[0]?.state === "up");
      await using command = new VncCommand(daemon, "--listen", `unix:${dir}/vnc`);
      await using other = new VncCommand(
        daemon,
        "--listen",
        "127.0.0.1:0",
        "--password-file",
        word,
        "--view-only",
      );
      const place = await command.place();
      assertEquals(place, `unix:${dir}/vnc`);
      assertEquals(((await Deno.stat(`${dir}/vnc`)).mode ?? 0) & 0o777, 0o600);
      const port = await other.place();
      assertMatch(port, /^127\.0\.0\.1:\d+$/);
      await using wrong = await VncViewer.start(port, "tight", "other");
      await wrong.said("refused");
      await using tight = await VncViewer.start(place, "tight");
      await using zrle = await VncViewer.start(place, "zrle");
      await using raw = await VncViewer.start(port, "raw", "secret word");
      const viewers = [tight, zrle, raw];
      const { vm, qmp } = first;
      for (
        const [width, height, bits] of [[1280, 800, 32], [640, 480, 16], [800, 600, 24], [
          1024,
          768,
          32,
        ]] as const
      ) {
        await first.setMode({ width, height, bits });
        await first.fill(width, 64);
        for (const viewer of viewers) await showsDump(viewer, vm, qmp);
        await first.fill(height, 3);
        for (const viewer of viewers) await showsDump(viewer, vm, qmp);
      }
      await qmp.execute("system_reset");
      await first.answer();
      await first.setMode({ width: 320, height: 200, bits: 32 });
      await first.fill(9, 64);
      for (const viewer of viewers) await showsDump(viewer, vm, qmp);
      await first[Symbol.asyncDispose]();
      first = undefined;
      await until("the VM is gone", () => client.roster.list()[0]?.state !== "up");
      first = await machine();
      await first.setMode({ width: 640, height: 480, bits: 32 });
      await first.fill(77, 64);
      for (const viewer of viewers) await showsDump(viewer, first.vm, first.qmp);
      // The one that was there first sees another one come, and goes on.
      await using late = await VncViewer.start(place, "copyrect zrle");
      await showsDump(late, first.vm, first.qmp);
      assertEquals([await command.end(), await other.end()], [130, 130]);
      for (const viewer of [...viewers, late]) await viewer.said("gone");
      await until("the socket is gone", () => Deno.stat(`${dir}/vnc`).then(() => false, () => true));
      await until("the end is told", () => command.errors.includes("viewer 3 ended"));
    } finally {
      await first?.[Symbol.asyncDispose]();
    }
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("vnc server: a viewer stays through a restart of the daemon, and has its keys again behind it", async () => {
  const folder = await Deno.makeTempDir({ prefix: "vmsig-seat-" });
  try {
    await using guest = await VgaGuest.start({ qmpSockets: 2 });
    await guest.setMode({ width: 640, height: 480, bits: 32 });
    await guest.fill(1, 64);
    const config = `[[endpoint]]\nname = "vm"\nqmp = "${guest.vm.qmpPaths[0]}"\nmemory = "none"\n`;
    const seats: string[] = [];
    let daemon = await DaemonProcess.start({ folder, config });
    try {
      await using client = await join({
        socket: daemon.socket,
        name: "vnc",
        reconnect: { firstMs: 50, mostMs: 500 },
        sub: { sources: ["CORE", "FRAME"] },
      });
      await using screen = new VncScreen({
        client,
        ref: "vm",
        onSeat: (owner) => seats.push(owner?.label ?? "nobody"),
      });
      const address = { kind: "unix", path: `${folder}/vnc` } as const;
      await using _listener = await ViewerListener.open(address, screen.server, (why) => {
        throw new Error(why);
      });
      await using viewer = await VncViewer.start(address.path, "tight copyrect");
      await showsDump(viewer, guest.vm, guest.qmp);
      await viewer.say("key 97 1");
      await until("the viewer has the keys", () => seats.at(-1) === "viewer 1");
      await daemon[Symbol.asyncDispose]();
      await until("nobody has the keys", () => seats.at(-1) === "nobody");
      await guest.fill(5, 64);
      daemon = await DaemonProcess.start({ folder, config });
      await showsDump(viewer, guest.vm, guest.qmp);
      // A key that comes before the VM's keyboard is there again is refused, and told by the bell.
      await until("the viewer has them again", async () => {
        await viewer.say("key 98 1");
        await viewer.say("key 98 0");
        return seats.at(-1) === "viewer 1";
      });
    } finally {
      await daemon[Symbol.asyncDispose]();
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("vnc server: a viewer types, is refused while an automation has the keys, takes over, is pre-empted, and lets go of what it holds", async () => {
  const dir = await Deno.makeTempDir({ prefix: "vmsig-seat-" });
  try {
    await using vm = await startSavedGuest({
      devices: ["virtio-input"],
      programs: ["evrec"],
      ramMiB: 256,
      extraArgs: ["-vga", "std"],
    });
    const recorder = await vm.agent.start("evrec");
    await recorder.lineMatching(/^recording/);
    let from = 0;
    /** Waits for exactly these keys and buttons, and forgets them. */
    const sees = async (...wanted: string[]) => {
      const keys = () =>
        [...recorder.text.slice(from).matchAll(/^event\d+ 1 (\d+) ([01])$/gm)].map(([, code, value]) =>
          `${code}:${value}`
        );
      await until(`${wanted}`, () => keys().length >= wanted.length, 180_000).catch((error) => {
        throw new Error(`${error.message}; the guest saw ${keys()}`);
      });
      assertEquals(keys(), wanted);
      from = recorder.text.length;
    };
    const others = whyNotOthers() === "";
    const rule = (uid: number, prio: number) =>
      `[[admission]]\nuid = ${uid}\nendpoints = ["*"]\ncaps = ["*"]\narb_prio = ${prio}\n`;
    await using daemon = await DaemonProcess.start({
      config:
        `[[endpoint]]\nname = "vm"\nvmid = 1\nqmp = "${vm.qmpPath}"\ninput = "qmp"\nmemory = "none"\nguest = "none"\n` +
        rule(Deno.uid() ?? 0, 5) + (others ? rule(STRONG, 20) : ""),
    });
    await using client = await daemon.connect("automation");
    await until("input is up", () => client.roster.get(1 as EndpointId)?.seams.includes("input") === true);
    await using command = new VncCommand(daemon, "--listen", `unix:${dir}/vnc`);
    const place = await command.place();
    await using person = await VncViewer.start(place, "tight");
    await person.said("update");

    // A key without a scan code, and a capital that was typed without shift.
    for (const line of ["key 97 1", "key 97 0", "key 65 1", "key 65 0"]) await person.say(line);
    await sees("30:1", "30:0", "42:1", "30:1", "42:0", "30:0");
    await person.say("pointer 5 5 1");
    await person.say("pointer 5 5 0");
    await sees("272:1", "272:0");
    await until("the lease is told", () => command.errors.includes("viewer 1 has keyboard and mouse"));
    assertEquals((await client.leaseStatus("vm", "input")).busy, true);

    // A second viewer looks; the first one goes with a key down.
    {
      await using second = await VncViewer.start(place, "zrle");
      await second.said("update");
      await second.say("key 98 1");
      await second.said("bell");
      await person.say("key 120 1");
      await sees("45:1");
      await person[Symbol.asyncDispose]();
      await sees("45:0");
      await until("the lease is free", async () => !(await client.leaseStatus("vm", "input")).busy);
      await second.say("key 98 1");
      await second.say("key 98 0");
      await sees("48:1", "48:0");
    }
    await until("the lease is free", async () => !(await client.leaseStatus("vm", "input")).busy);

    // An automation has the keys.
    await using late = await VncViewer.start(place, "raw");
    await late.said("update");
    {
      await using lease = await client.acquire("vm", "input");
      await late.say("key 99 1");
      await late.said("bell");
      assertMatch(command.errors, /has keyboard and mouse/);
      assert(lease.owned);
    }
    await late.say("key 99 0");
    await late.say("key 100 1");
    await sees("32:1");

    if (others) {
      Deno.chmodSync(daemon.folder, 0o755);
      await using strong = new ForeignControl(buildRelay(dir), daemon.socket, { uid: STRONG, gid: STRONG });
      await strong.hello();
      const bells = late.lines.filter((line) => line === "bell").length;
      const granted = await strong.ask(KIND.CMD_ACQUIRE, 1, [LEASE_CLASS.INPUT, 0, 0]);
      assertEquals(granted.kind, KIND.LEASE_GRANTED);
      await sees("32:0");
      await until("it is told", () => late.lines.filter((line) => line === "bell").length > bells);
      const taken = "keyboard and mouse are free: taken away: preempted";
      await until(
        "the command tells it, whose words come by another way",
        () => command.errors.includes(taken),
      );
      await late.say("key 101 1");
      await until("it is told again", () => late.lines.filter((line) => line === "bell").length > bells + 1);
    } else {
      await late[Symbol.asyncDispose]();
      await sees("32:0");
    }
    assertEquals((await client.held("vm")).entries, []);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
