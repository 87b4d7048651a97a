/**
 * The daemon and three VMs that come and go by trigger files, while a control types at a stub endpoint: what
 * each of several controls knows of the roster, at each step.
 * @module
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { type EndpointId, NO_ENDPOINT } from "../../src/base/ids.ts";
import { RawControl } from "../bench/raw_control.ts";
import { DaemonProcess, until } from "../fixtures/daemon_process.ts";
import type { Client } from "../../src/client/client.ts";
import { takeInput } from "../../src/client/input_control.ts";
import { ACT_ACK } from "../../src/event/body_layout.ts";
import { FRAME } from "../../src/protocol/frame.ts";
import { KIND } from "../../src/event/kind.ts";
import { SOURCE } from "../../src/event/source.ts";
import { type MachineOptions, type Qemu, startFirmware, startGuest } from "./qemu.ts";
import { stopProcess } from "../fixtures/stopped_process.ts";

/** What a control knows: the roster, and each state that an endpoint went through. */
class Watcher implements AsyncDisposable {
  readonly client: Client;
  readonly history = new Map<string, string[]>();
  readonly downs: { endpoint: number; source: string; reason: number }[] = [];
  readonly errors: string[] = [];
  readonly #reading: Promise<void>;

  constructor(client: Client) {
    this.client = client;
    this.#reading = this.#read();
  }

  /** "name state", in order. */
  roster(): string[] {
    return this.client.roster.list().filter((entry) => entry.name !== "stub0")
      .map((entry) => `${entry.name} ${entry.state}`).sort();
  }

  async #read(): Promise<void> {
    for await (const event of this.client.events()) {
      const roster = event.as("ROSTER");
      if (roster !== undefined) {
        const states = this.history.get(roster.name) ?? [];
        if (states.at(-1) !== `${roster.state}`) states.push(`${roster.state}`);
        this.history.set(roster.name, states);
      }
      const down = event.kindName === "SEAM_DOWN" ? event.as("SEAM_DOWN") : undefined;
      if (down !== undefined) {
        this.downs.push({ endpoint: event.endpoint, source: event.sourceName, reason: down.reason });
      }
      const error = event.as("ERROR");
      if (error !== undefined) this.errors.push(`${event.sourceName} ${error.text}`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.close();
    await this.#reading;
  }
}

/** Types at the stub without a pause until it is ended; counts what was acknowledged. */
async function typeOn(client: Client, signal: AbortSignal): Promise<number> {
  await using input = await takeInput(client, "stub0", { ttlMs: 30_000 });
  let typed = 0;
  while (!signal.aborted) {
    await input.type("the quick brown fox");
    typed++;
  }
  return typed;
}

const machine = (path: string, options: MachineOptions = {}): MachineOptions => ({
  ...options,
  extraArgs: ["-qmp", `unix:${path},server=on,wait=off`],
});
const endpoint = (name: string, qmp: string, more = "") =>
  `name = "${name}"\nqmp = "${qmp}"\ninput = "qmp"\n${more}\n`;

/** 20 questions to a VM that is stopped (SIGSTOP): none is answered before it goes. */
function askAll(control: RawControl, id: number): Set<number> {
  const open = new Set<number>();
  for (let i = 0; i < 20; i++) {
    const frame = control.frameOf(KIND.CMD_VM, id, (event) => (event.words[0] = 0));
    open.add(new DataView(frame.buffer).getUint32(FRAME.corr, true));
    control.tell(frame);
  }
  return open;
}

Deno.test("three VMs come, die, come back and go under load, and every control sees the same", async () => {
  await using daemon = await DaemonProcess.start({ stubs: 1 });
  await using typist = await daemon.connect("typist", { sources: ["CORE"] });
  const enough = new AbortController();
  const typing = typeOn(typist, enough.signal);
  typing.catch(() => enough.abort());
  const paths = ["a", "b", "c"].map((name) => `${daemon.folder}/${name}.qmp`) as [string, string, string];
  {
    await using guest = await startGuest({ ...machine(paths[0]), ramMiB: 256 });
    await using c = await startFirmware(machine(paths[2]));
    await using first = new Watcher(await daemon.connect("first"));
    await using second = new Watcher(await daemon.connect("second"));
    const watchers = [first, second];
    const all = async (...wanted: string[]): Promise<void> => {
      await using late = await daemon.connect("late");
      await late.completeRoster();
      await until(
        `the roster ${wanted}`,
        () => watchers.every((watcher) => watcher.roster().join() === wanted.join()),
      );
      const seen = new Watcher(late);
      await until("the latecomer's roster", () => seen.roster().join() === wanted.join());
      await seen[Symbol.asyncDispose]();
    };
    await all();

    daemon.drop("a", endpoint("a", paths[0], "vmid = 11"));
    await all("a up");
    {
      await using b = await startFirmware(machine(paths[1]));
      daemon.drop("b", endpoint("b", paths[1], "vmid = 12"));
      daemon.drop("c", endpoint("c", paths[2], 'memory = "none"'));
      await all("a up", "b up", "c up");
      const entry = first.client.roster.find("a");
      // Each change makes a new entry: one that is kept says what was.
      const seams = () => first.client.roster.get(entry ?? NO_ENDPOINT)?.seams.length;
      const roster = first.client.roster.get(entry ?? NO_ENDPOINT);
      assertEquals([roster?.pid, roster?.vmid, roster?.endpoint], [guest.pid, 11, 11]);
      await until("the guest's context", () => (seams() ?? 0) >= 4);
      await killed(b, watchers, first.client.roster.find("b") ?? -1);
    }
    await all("a up", "b down", "c up");
    // It starts again, at the same place: nobody has to tell.
    await using again = await startFirmware(machine(paths[1]));
    await all("a up", "b up", "c up");
    assertEquals(first.client.roster.get(12 as EndpointId)?.pid, again.pid);
    assertEquals(first.history.get("b"), ["1", "2", "3", "2"]);

    await detachedWhileOpen(daemon, c, first.client.roster.find("c") ?? -1);
    await all("a up", "b up");
    daemon.take("b");
    await all("a up");
    daemon.take("a");
    await all();
    for (const name of ["a", "b", "c"]) {
      assertEquals(first.history.get(name), second.history.get(name));
      assertEquals(first.history.get(name)?.at(-1), "0");
    }
    assert(watchers.every((watcher) => watcher.client.fault === undefined), "no gap in any control");
    assert(guest.running && again.running, "a VM that is detached lives on");
  }
  enough.abort();
  assert(await typing > 0, "the typist was served all the while");
  assertEquals(typist.fault, undefined);
  const { code } = await daemon.stop();
  assertEquals(code, 0);
  // Nothing is held, so the next daemon need not know anything.
  const left = [...Deno.readDirSync(daemon.folder)].map((entry) => entry.name)
    .filter((name) => !name.endsWith(".qmp")).sort();
  assertEquals(left, ["endpoints.d", "vmsigd.toml"]);
});

async function killed(vm: Qemu, watchers: readonly Watcher[], id: number): Promise<void> {
  vm.kill("SIGKILL");
  const reasons = (watcher: Watcher) =>
    watcher.downs.filter((down) => down.endpoint === id).map((down) => `${down.source} ${down.reason}`)
      .sort();
  await until("its seams are down", () => watchers.every((watcher) => reasons(watcher).length >= 4));
  for (const watcher of watchers) {
    assertEquals(reasons(watcher), ["FRAME 5", "INPUT 5", "MEMCTX 5", "VMHOST 5"]);
  }
}

/** Commands are open when the trigger goes: each is answered, once. */
async function detachedWhileOpen(daemon: DaemonProcess, vm: Qemu, id: number): Promise<void> {
  using control = new RawControl(daemon.socket, 1 << SOURCE.CORE);
  control.ask(control.frameOf(KIND.CMD_LEASE_STATUS, id, () => {}));
  await stopProcess(vm.pid);
  const open = askAll(control, id);
  await until("they are open", async () => await daemon.metric("vmsig_commands_open") >= 20);
  daemon.take("c");
  const answers: number[] = [];
  control.await((kind, view) => {
    if (kind !== KIND.ACT_ACK) return false;
    const corr = view.getUint32(FRAME.corr, true);
    assert(open.delete(corr), `${corr} is answered once`);
    answers.push(view.getUint32(FRAME.inline + ACT_ACK.at.code, true));
    return open.size === 0;
  });
  assertEquals(answers.filter((code) => code !== 5 && code !== 6), [], "no-endpoint or seam-down");
  // Whatever else had come would come before this answer.
  const after = control.ask(control.frameOf(KIND.CMD_VM, id, () => {}));
  assertEquals(after.getUint32(FRAME.inline + ACT_ACK.at.code, true), 5);
  vm.kill("SIGCONT");
}

Deno.test("what a VM lacks does not hold its other seams back, and is said", async () => {
  await using daemon = await DaemonProcess.start();
  await using vm = await startFirmware({ memory: "none" });
  await using watcher = new Watcher(await daemon.connect("watch"));
  daemon.drop("vm", endpoint("vm", vm.qmpPath));
  const seams = () => watcher.client.roster.list()[0]?.seams.join() ?? "";
  await until("frame, input and vmhost are up", () => seams() === "frame,input,vmhost");
  await until("memctx says why not", () => watcher.errors.some((text) => text.startsWith("MEMCTX")));
  await daemon.says(/memctx\[vm\]: .*(not shared|backend|share)/);
  assertStringIncludes(watcher.roster().join(), "vm up");
  assertEquals((await watcher.client.vmState("vm")).state, "running");
});

Deno.test("a VM that dies while it is being attached: each seam says that its process is gone, whatever was under way", async () => {
  await using daemon = await DaemonProcess.start();
  await using watcher = new Watcher(await daemon.connect("watch"));
  for (let i = 0; i < 20; i++) {
    await using vm = await startFirmware({ ramMiB: 64 });
    daemon.drop("vm", endpoint("vm", vm.qmpPath, `vmid = ${i + 1}`));
    // The directory settles for 20 ms: from before its monitor is asked, over its memory map and its RAM, to
    // when all is up.
    await new Promise((resolve) => setTimeout(resolve, 20 + i));
    await killed(vm, [watcher], i + 1);
    daemon.take("vm");
    await until("it is forgotten", () => watcher.roster().length === 0);
  }
});
