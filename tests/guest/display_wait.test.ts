/**
 * Waiting, through a real daemon and QEMUs with one monitor for it: text, pictures, changes and standstill on
 * a screen; processes; states; ready. What was there before a reset does not count.
 * @module
 */
import "../unit/ffi/loaded_shim.ts";
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { Fault } from "../../src/base/fault.ts";
import type { Client } from "../../src/client/client.ts";
import { waitFor } from "../../src/client/wait.ts";
import { encodePng } from "../../src/vgpu/png.ts";
import { DaemonProcess, until, vmsig } from "../fixtures/daemon_process.ts";
import { startSavedGuest } from "./saved_guest.ts";
import { VgaGuest } from "./vga_guest.ts";

/** Reached by a hang alone. */
const LONG = { timeoutMs: 360_000 };

const config = (qmpPath: string) => `[[endpoint]]\nname = "vm"\nqmp = "${qmpPath}"\ninput = "none"\n`;

function print(guest: VgaGuest, text: string): Promise<void> {
  return guest.print(new TextEncoder().encode(text));
}

async function screenClient(daemon: DaemonProcess): Promise<Client> {
  const client = await daemon.connect("waiter", { sources: ["CORE", "FRAME", "VMHOST", "MEMCTX"] });
  await until("the VM is up", () => client.roster.list()[0]?.state === "up");
  // Firmware alone never gets ready: it is no system.
  const early = await assertRejects(() => waitFor(client, "vm", { ready: true }, { timeoutMs: 100 }), Fault);
  assertEquals(early.code, "timed-out");
  return client;
}

Deno.test("wait: a text that is there, one that comes, and one that was there before a reset", async () => {
  await using guest = await VgaGuest.start({ qmpSockets: 2 });
  await guest.video(3);
  await print(guest, "\r\n\r\n  web login: ");
  await using daemon = await DaemonProcess.start({ config: config(guest.vm.qmpPath) });
  await using client = await screenClient(daemon);
  const there = await waitFor(client, "vm", { text: /log(in)?:/ }, LONG);
  assert(there.what === "text");
  assertEquals([there.text, there.row, there.column, there.name], ["login:", 2, 6, "vm"]);
  const told = await vmsig(["wait", "vm", "--text", "log(in)?:", "--socket", daemon.socket]);
  assertEquals([told.code, told.errors], [0, ""]);
  assertMatch(told.text, /^vm: login: at line 3, column 7, after \d+ ms\n$/, "a person counts from 1");

  const soon = waitFor(client, "vm", { text: /^password: \d+$/m }, LONG);
  await print(guest, "root\r\npassword: 42");
  const came = await soon;
  assert(came.what === "text" && came.text === "password: 42" && came.frameId >= there.frameId);

  const again = waitFor(client, "vm", { text: /password/ }, { ...LONG, fresh: true });
  const late = await assertRejects(
    () => waitFor(client, "vm", { text: /password/ }, { timeoutMs: 1500, fresh: true }),
    Fault,
    "Cannot wait for the text /password/ of vm",
  );
  assertEquals(late.code, "timed-out");
  await guest.qmp.execute("system_reset");
  await guest.answer();
  await guest.video(3);
  await print(guest, "another password: ");
  const fresh = await again;
  assert(fresh.what === "text" && fresh.column === 8, JSON.stringify(fresh));
});

Deno.test("wait: pictures, a change and its place, a screen that stands still; interrupted", async () => {
  await using guest = await VgaGuest.start({ qmpSockets: 2 });
  await guest.setMode({ width: 640, height: 480, bits: 32 });
  await guest.fill(5, 4);
  await using daemon = await DaemonProcess.start({ config: config(guest.vm.qmpPath) });
  await using client = await screenClient(daemon);
  const whole = (await client.frame("vm")).picture();
  const needle = { width: 16, height: 8, rgba: new Uint8Array(16 * 8 * 4) };
  for (let y = 0; y < 8; y++) {
    const from = 4 * ((y + 30) * 640 + 100);
    needle.rgba.set(whole.rgba.subarray(from, from + 64), y * 64);
  }
  const found = await waitFor(client, "vm", { image: needle }, LONG);
  assert(found.what === "image");
  assertEquals([found.x, found.y, found.score], [100, 30, 1]);

  const change = waitFor(client, "vm", { change: true }, LONG);
  const elsewhere = waitFor(client, "vm", { change: true, area: { x: 0, y: 0, width: 9, height: 9 } }, LONG);
  const still = waitFor(client, "vm", { stillMs: 300 }, LONG);
  assertEquals((await still).what, "still");
  const at = 4 * (200 * 640 + 300);
  for (let value = 1;; value++) {
    // Again and again: the first frames of a wait are what it compares with.
    await guest.poke(at, value & 0xff);
    const first = await Promise.race([change, new Promise((resolve) => setTimeout(resolve, 100))]);
    if (first !== undefined) break;
  }
  const changed = await change;
  assert(changed.what === "change");
  assertEquals([changed.x, changed.y, changed.width, changed.height], [300, 200, 1, 1]);
  for (let value = 0x77;; value ^= 0xff) {
    await guest.poke(4 * 3, value);
    const first = await Promise.race([elsewhere, new Promise((resolve) => setTimeout(resolve, 100))]);
    if (first !== undefined) break;
  }

  const outside = new AbortController();
  const why = Promise.withResolvers<string>();
  const never = waitFor(client, "vm", { stillMs: 1, area: { x: 5000, y: 0, width: 9, height: 9 } }, {
    signal: outside.signal,
    onMisfit: why.resolve,
  });
  assertEquals(await why.promise, "the area was outside of the screen of 640x480");
  outside.abort();
  assertEquals((await assertRejects(() => never, Fault)).code, "interrupted");

  const stop = new AbortController();
  const endless = waitFor(client, "vm", { change: true }, { signal: stop.signal });
  stop.abort();
  assertEquals((await assertRejects(() => endless, Fault)).code, "interrupted");

  const file = `${guest.vm.dir}/needle.png`;
  await Deno.writeFile(file, encodePng(needle));
  const told = await vmsig(["wait", "vm", "--image", file, "--json", "--socket", daemon.socket]);
  assertEquals([told.code, told.errors], [0, ""]);
  const answer = JSON.parse(told.text);
  assertEquals([answer.what, answer.x, answer.y, answer.name], ["image", 100, 30, "vm"]);
});

Deno.test("wait: a process that comes, one that is there, in the epoch that holds; states of the VM", async () => {
  await using vm = await startSavedGuest({ programs: ["procs", "pattern"] });
  await using daemon = await DaemonProcess.start({ config: config(vm.qmpPath) });
  const sources = ["CORE", "VMHOST", "MEMCTX"] as const;
  {
    await using client = await daemon.connect("waiter", { sources });
    const ready = await waitFor(client, "vm", { ready: true }, LONG);
    assert(ready.what === "ready" && ready.hasContext && ready.seams.includes("memctx"));
    const taken = await assertRejects(() => waitFor(client, "vm", { process: "init" }, LONG), Fault);
    assertEquals(taken.code, "busy");

    const paused = waitFor(client, "vm", { state: "paused" }, LONG);
    await client.vm("vm", "stop");
    const state = await paused;
    assert(state.what === "state" && state.state === "paused");
    await client.vm("vm", "cont");
    await waitFor(client, "vm", { state: "running" }, LONG);
  }
  await using client = await daemon.connect("waiter", { sources });
  const waiting = waitFor(client, "vm", { process: "pattern" }, LONG);
  const program = await vm.agent.start("pattern", "1", "7");
  const found = await waiting;
  assert(found.what === "process");
  assertEquals([found.pid, found.epoch], [program.pid, 1]);

  await vm.agent.power("reboot");
  await vm.agent.ready(2);
  const socket = ["--socket", daemon.socket];
  const gone = await vmsig(["wait", "vm", "--process", "pattern", "--timeout", "3000", ...socket]);
  assertEquals(gone.code, 1);
  assert(gone.errors.startsWith("vmsig: timed-out: "), gone.errors);
  const init = await vmsig(["wait", "vm", "--process", "kthreadd", "--json", ...socket]);
  assertEquals([init.code, JSON.parse(init.text).pid], [0, 2], init.errors);
});
