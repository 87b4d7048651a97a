/**
 * Snapshots of real VMs through the daemon: saved, listed, loaded, deleted; what cannot be is told with the
 * remedy; a job that another has, or that a daemon's restart leaves behind.
 * @module
 */
import "../unit/ffi/loaded_shim.ts";
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { Fault } from "../../src/base/fault.ts";
import type { Client } from "../../src/client/client.ts";
import type { ClientEvent } from "../../src/client/client_event.ts";
import { describeBody } from "../../src/client/describe_event.ts";
import { InputControl } from "../../src/client/input_control.ts";
import type { EventStream } from "../../src/client/event_stream.ts";
import { idOfTask } from "../../src/qemu/monitor/snapshot_job.ts";
import { DaemonProcess, until, vmsig } from "../fixtures/daemon_process.ts";
import { type MachineOptions, type Qemu, startFirmware } from "./qemu.ts";
import { TestQmp } from "./test_qmp.ts";

async function makeDisk(path: string, format = "qcow2"): Promise<void> {
  const made = await new Deno.Command("qemu-img", { args: ["create", "-q", "-f", format, path, "16M"] })
    .output();
  assert(made.success, "qemu-img makes a disk");
}

function disk(path: string, id: string, format = "qcow2"): string[] {
  return [
    "-drive",
    `if=none,id=${id},file=${path},format=${format}`,
    "-device",
    `virtio-blk-pci,drive=${id}`,
  ];
}

function configOf({ qmpPath }: Qemu): string {
  return `[[endpoint]]\nname = "vm"\nqmp = "${qmpPath}"\ndisplay = "none"\n`;
}

async function withFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "vmsig-snapshot-" });
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function next(stream: EventStream, kind: string): Promise<ClientEvent> {
  for (;;) {
    const { value, done } = await stream.next();
    if (done) throw new Error(`the stream ended before ${kind} came`);
    if (value.kindName === kind) return value.detach();
  }
}

const codeOf = async (promise: Promise<unknown>): Promise<Fault> => await assertRejects(() => promise, Fault);

async function ready(client: Client): Promise<void> {
  const isUp = async () => (await client.completeRoster()).some(({ seams }) => seams.includes("vmhost"));
  await until("the VM", isUp, 180_000);
}

Deno.test("snapshots: saved, listed, loaded and deleted, by the library and by the commands, and audited", async () => {
  await withFolder(async (folder) => {
    await makeDisk(`${folder}/a.qcow2`);
    await makeDisk(`${folder}/b.qcow2`);
    await using qemu = await startFirmware({
      qmpSockets: 2,
      extraArgs: [...disk(`${folder}/a.qcow2`, "a"), ...disk(`${folder}/b.qcow2`, "b")],
    });
    await using daemon = await DaemonProcess.start({ config: configOf(qemu) });
    await using client = await daemon.connect("keeps");
    await ready(client);
    const vm = client.vm("vm");
    assertEquals((await vm.snapshots()).snapshots, []);
    assertEquals((await codeOf(vm.save("one"))).code, "no-lease");
    const stream = client.events({ kinds: ["SNAPSHOT", "AUDIT"] });
    {
      await using _lease = await client.acquire("vm", "power");
      await vm.save("one");
      const told = await next(stream, "SNAPSHOT");
      assertEquals([told.as("SNAPSHOT")?.op, told.as("SNAPSHOT")?.state], [1, 0]);
      const over = await next(stream, "SNAPSHOT");
      assertEquals([over.as("SNAPSHOT")?.op, over.as("SNAPSHOT")?.state], [1, 1]);
      assertEquals(describeBody(over)["name"], "one");
      const audit = describeBody(await next(stream, "AUDIT"));
      assertEquals([audit["detail"], audit["cls"]], ["save one", 1]);
      assertEquals((await vm.state()).state, "running", "it goes on");
      // A name that is there, one that is not, names that no tool could tell apart.
      assertMatch((await codeOf(vm.save("one"))).message, /snapshot of that name exists/);
      for (const name of ["two", "1"]) {
        const fault = await codeOf(vm.load(name));
        assertEquals(fault.code, "bad-argument");
        assertMatch(fault.message, /no snapshot has that name/);
      }
      assertEquals((await vm.state()).state, "running", "QEMU was not asked for what is not there");
      for (const name of ["12", " a", "a\nb", "a\x1b[2J", "a\\b", "", "é".repeat(65)]) {
        assertEquals((await codeOf(vm.save(name))).code, "bad-argument", JSON.stringify(name));
      }
      assertMatch((await codeOf(vm.delete("nothing"))).message, /no snapshot has that name/);
      await client.vm("vm", "stop");
      await vm.load("one");
      assertEquals((await vm.state()).state, "paused", "one that was stopped stays so");
      await client.vm("vm", "cont");
    }
    await stream.return();
    const at = ["--socket", daemon.socket];
    const saved = await vmsig(["vm", "vm", "save", "naïve name", ...at]);
    assertMatch(saved.text, /^vm: saved naïve name in [\d.]+ s\n$/);
    const listed = await vmsig(["vm", "vm", "snapshots", ...at]);
    assertMatch(
      listed.text,
      /^NAME +SAVED +VM CLOCK +SIZE +NOTE\none +\d{4}-\d\d-\d\dT[^ ]+ +0:\d\d:\d\d +[\d.]+ MiB\n/,
    );
    assertEquals(listed.errors, "");
    const json = JSON.parse((await vmsig(["vm", "vm", "snapshots", "--json", ...at])).text);
    const names = json.snapshots.map(({ name }: { name: string }) => name);
    assertEquals(names, ["one", "naïve name"]);
    assertEquals(json.disks, [{ name: "a", format: "qcow2" }, { name: "b", format: "qcow2" }]);
    assert(json.snapshots[0].stateBytes > 0 && Math.abs(json.snapshots[0].savedMs - Date.now()) < 3_600_000);
    assertEquals((await vmsig(["vm", "vm", "load", "naïve name", ...at])).code, 0);
    assertEquals((await vmsig(["vm", "vm", "delete", "one", "--json", ...at])).code, 0);
    const missing = await vmsig(["vm", "vm", "load", "one", ...at]);
    assertEquals(missing.code, 1);
    assertMatch(
      missing.errors,
      /^vmsig: bad-argument: Cannot load snapshot one of vm: no snapshot has that name: see "vmsig vm vm snapshots"\n$/,
    );
    assertEquals((await vm.snapshots()).snapshots.map(({ name }) => name), ["naïve name"]);
    // A snapshot of one disk alone is told as what it is, and QEMU is not asked to load it.
    await using qmp = await TestQmp.connect(qemu.qmpPaths[1] ?? "");
    await qmp.execute("blockdev-snapshot-internal-sync", { device: "a", name: "half" });
    await using _lease = await client.acquire("vm", "power");
    assertMatch((await codeOf(vm.load("half"))).message, /disks only/);
    assertEquals((await vm.state()).state, "running");
    await vm.delete("half");
  });
});

Deno.test("snapshots: a VM without a disk that keeps them gets a no that says which disk, and what to do", async () => {
  await withFolder(async (folder) => {
    await makeDisk(`${folder}/a.qcow2`);
    await makeDisk(`${folder}/r.raw`, "raw");
    await Deno.writeFile(`${folder}/vars.raw`, new Uint8Array(1 << 18));
    const qcow2 = disk(`${folder}/a.qcow2`, "a");
    for (
      const [extraArgs, why] of [
        [[], /no writable qcow2 disk.*-drive file=FILE\.qcow2/],
        [
          [...disk(`${folder}/a.qcow2`, "a"), ...disk(`${folder}/r.raw`, "data", "raw")],
          /disk data \(raw\) stores no snapshots: make it qcow2/,
        ],
        [
          ["-object", "throttle-group,id=tg", ...throttled(`${folder}/a.qcow2`)],
          /disk slow is behind a throttle filter: limit it by throttling\.\* of -drive/,
        ],
        [
          [...qcow2, "-drive", `if=pflash,unit=0,format=raw,file=${folder}/vars.raw`],
          /the firmware's variables \(pflash0, raw\) store no snapshots: .*format=qcow2/,
        ],
      ] as const
    ) {
      await using qemu = await startFirmware({ extraArgs });
      await using daemon = await DaemonProcess.start({ config: configOf(qemu) });
      await using client = await daemon.connect("asks");
      await ready(client);
      await using _lease = await client.acquire("vm", "power");
      const fault = await codeOf(client.vm("vm").save("one"));
      assertEquals(fault.code, "not-supported");
      assertMatch(fault.message, why);
      assertMatch((await client.vm("vm").snapshots()).why, why);
      assertEquals((await client.vmState("vm")).state, "running");
    }
  });
});

Deno.test("snapshots: a second one is refused while one is under way", async () => {
  await withFolder(async (folder) => {
    await makeDisk(`${folder}/a.qcow2`);
    await using qemu = await startFirmware({ qmpSockets: 2, extraArgs: disk(`${folder}/a.qcow2`, "a") });
    await using daemon = await DaemonProcess.start({ config: configOf(qemu) });
    await using client = await daemon.connect("keeps");
    await ready(client);
    await using _lease = await client.acquire("vm", "power");
    const vm = client.vm("vm");
    const both = await Promise.allSettled([vm.save("one"), vm.save("two"), vm.delete("one")]);
    assertEquals(both.map(({ status }) => status), ["fulfilled", "rejected", "rejected"]);
    const [, second] = both;
    assertEquals(second?.status === "rejected" && second.reason.code, "busy");
    assertMatch(second?.status === "rejected" ? second.reason.message : "", /under way: save one/);
    assertEquals((await vm.snapshots()).snapshots.map(({ name }) => name), ["one"]);
  });
});

Deno.test("snapshots: what QEMU itself refuses is told in its words, and where the VM is left", async () => {
  await withFolder(async (folder) => {
    const [path, name] = [`${folder}/a.qcow2`, "one"];
    await makeDisk(path);
    const run = async (
      machine: MachineOptions,
      body: (client: Client, qmp: TestQmp) => Promise<void>,
    ): Promise<void> => {
      await using qemu = await startFirmware({ qmpSockets: 2, ...machine });
      await using daemon = await DaemonProcess.start({ config: configOf(qemu) });
      await using client = await daemon.connect("asks");
      await ready(client);
      await using qmp = await TestQmp.connect(qemu.qmpPaths[1] ?? "");
      await using _lease = await client.acquire("vm", "power");
      await body(client, qmp);
      assertEquals(await qmp.execute("query-jobs"), [], "its job is dismissed all the same");
    };
    // A device that no QEMU saves (those before 11 do not save NVMe either).
    const memory = ["-object", "memory-backend-ram,id=iv,size=1M,share=on"];
    const peer = [...memory, "-device", "ivshmem-plain,memdev=iv", ...disk(path, "a")];
    await run({ extraArgs: peer }, async (client) => {
      const fault = await codeOf(client.vm("vm").save(name));
      assertEquals(fault.code, "refused");
      assertMatch(fault.message, /'peer mode'/);
      assertEquals((await client.vmState("vm")).state, "running");
    });
    await run({ machine: "q35", extraArgs: disk(path, "a") }, async (client) => {
      await client.vm("vm").save(name);
    });
    // The snapshot of another machine.
    await run({ machine: "pc", extraArgs: disk(path, "a") }, async (client) => {
      const fault = await codeOf(client.vm("vm").load(name));
      assertEquals(fault.code, "refused");
      assertMatch(fault.message, /; the VM is left stopped/);
      assertEquals((await client.vmState("vm")).state, "paused");
    });
  });
});

Deno.test("snapshots: a daemon that starts finds the job of the one before, tells of it and dismisses it", async () => {
  await withFolder(async (folder) => {
    await makeDisk(`${folder}/a.qcow2`);
    await using qemu = await startFirmware({ qmpSockets: 2, extraArgs: disk(`${folder}/a.qcow2`, "a") });
    await using qmp = await TestQmp.connect(qemu.qmpPaths[1] ?? "");
    const nodes = await qmp.execute("query-named-block-nodes", { flat: true }) as Record<string, string>[];
    const node = nodes.find(({ drv }) => drv === "qcow2")?.["node-name"] ?? "";
    // What a daemon has begun that ended before its job did.
    const id = idOfTask({ op: 1, name: "of the one before" });
    const args = { "job-id": id, tag: "of the one before", vmstate: node, devices: [node] };
    await qmp.execute("snapshot-save", args);
    const failed = idOfTask({ op: 2, name: "nothing" });
    await using daemon = await DaemonProcess.start({ config: configOf(qemu) });
    await until("the job is dismissed", async () => {
      return (await qmp.execute("query-jobs") as unknown as unknown[]).length === 0;
    });
    await until("the log tells it", () => /found a job that saves.*of the one before/.test(daemon.logText));
    await using client = await daemon.connect("looks");
    await ready(client);
    assertEquals((await client.vm("vm").snapshots()).snapshots.map(({ name }) => name), [
      "of the one before",
    ]);
    // One that runs while the daemon is there is its own business, whoever began it.
    await qmp.execute("snapshot-load", { ...args, "job-id": failed, tag: "nothing" });
    await qmp.execute("job-dismiss", { id: failed }).catch(() => {});
    await using _lease = await client.acquire("vm", "power");
    await client.vm("vm").save("another");
  });
});

Deno.test("snapshots: keys are released before a load, and what is held is not saved", async () => {
  await withFolder(async (folder) => {
    await makeDisk(`${folder}/a.qcow2`);
    await using qemu = await startFirmware({ extraArgs: disk(`${folder}/a.qcow2`, "a") });
    await using daemon = await DaemonProcess.start({ config: configOf(qemu) });
    await using client = await daemon.connect("holds");
    await ready(client);
    await using _power = await client.acquire("vm", "power");
    await using lease = await client.acquire("vm", "input");
    const input = new InputControl(client, lease);
    for (const verb of ["save", "load"] as const) {
      await input.down("left");
      assertEquals((await client.held("vm")).entries.length, 1);
      await client.vm("vm")[verb]("held");
      assertEquals((await client.held("vm")).entries, [], verb);
    }
  });
});

/** A qcow2 disk behind a throttle node. */
function throttled(path: string): string[] {
  return [
    "-blockdev",
    `driver=throttle,node-name=slow,throttle-group=tg,file.driver=qcow2,file.file.driver=file,file.file.filename=${path}`,
    "-device",
    "virtio-blk-pci,drive=slow,id=slow",
  ];
}
