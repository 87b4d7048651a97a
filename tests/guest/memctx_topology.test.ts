/**
 * Which bytes are RAM, on real QEMUs: files that another device has or that stand in another order, DIMMs and
 * virtio-mem from the start and plugged while the guest runs. With the monitor and by pid alone.
 * @module
 */
import "../unit/ffi/loaded_shim.ts";
import { assert, assertEquals } from "@std/assert";
import { findersFor } from "../../src/guest/finders.ts";
import { HostProcess } from "../../src/ram/host_process.ts";
import { findQemuMemory } from "../../src/ram/qemu_backends.ts";
import { openTarget } from "../../src/ram/open_target.ts";
import { readProcess } from "../../src/roster/host_probe.ts";
import { ProcHost } from "../../src/roster/proc_host.ts";
import { checkPids } from "./mem_guest.ts";
import { MemctxRig } from "./memctx_rig.ts";
import { bootArguments, type GuestOptions, Qemu, startGuest } from "./qemu.ts";
import { startSavedGuest } from "./saved_guest.ts";
import { TestQmp } from "./test_qmp.ts";

const MIB = 2 ** 20;
const memfd = (id: string, mib: number): string[] => [
  "-object",
  `memory-backend-memfd,id=${id},size=${mib}M,share=on`,
];

/** Two nodes' RAM: QEMU makes it, the test removes it. */
const FILE = `/dev/shm/vmsig-parts-${crypto.randomUUID()}`;

function filePart(id: string, offsetMiB: number): string[] {
  return [
    "-object",
    `memory-backend-file,id=${id},size=128M,mem-path=${FILE},offset=${offsetMiB}M,share=on`,
  ];
}

interface Topology {
  readonly label: string;
  readonly extraArgs: readonly string[];
  readonly ramMiB: number;
  readonly files: number;
  /** Without the machine's own backend: the arguments have one. */
  readonly memory?: "none";
  /** The first QEMU that has it: "9.1". An earlier one leaves it to the nightly tests. */
  readonly since?: string;
  /** QEMU does not save a VM with such a device. */
  readonly boots?: true;
}

const TOPOLOGIES: readonly Topology[] = [
  {
    label: "an ivshmem device's memfd of RAM's size stands first",
    memory: "none",
    extraArgs: [
      ...memfd("other", 256),
      ...["-device", "ivshmem-plain,memdev=other", ...memfd("ram0", 256), "-machine", "memory-backend=ram0"],
    ],
    ramMiB: 256,
    files: 1,
    boots: true,
  },
  {
    label: "two NUMA nodes of one size, n1 before n0",
    memory: "none",
    extraArgs: [
      ...memfd("n1", 128),
      ...memfd("n0", 128),
      ...["-numa", "node,nodeid=0,memdev=n0,cpus=0", "-numa", "node,nodeid=1,memdev=n1"],
    ],
    ramMiB: 256,
    files: 2,
  },
  {
    label: "two NUMA nodes of one size, node 1 named first",
    memory: "none",
    extraArgs: [
      ...memfd("a", 128),
      ...memfd("b", 128),
      ...["-numa", "node,nodeid=1,memdev=a", "-numa", "node,nodeid=0,memdev=b,cpus=0"],
    ],
    ramMiB: 256,
    files: 2,
  },
  {
    label: "a cold-plugged DIMM and virtio-mem",
    extraArgs: [
      ...["-m", "256M,slots=4,maxmem=2G", ...memfd("d0", 128), "-device", "pc-dimm,id=dimm0,memdev=d0"],
      ...[...memfd("v0", 256), "-device", "virtio-mem-pci,id=vm0,memdev=v0,requested-size=64M"],
    ],
    ramMiB: 640,
    files: 3,
  },
  {
    label: "memory-backend-shm",
    memory: "none",
    since: "9.1",
    extraArgs: ["-object", "memory-backend-shm,id=m,size=256M", "-machine", "memory-backend=m"],
    ramMiB: 256,
    files: 1,
  },
  {
    label: "two NUMA nodes in one file, from an offset each",
    memory: "none",
    since: "8.1",
    extraArgs: [
      ...filePart("n0", 0),
      ...filePart("n1", 128),
      ...["-numa", "node,nodeid=0,memdev=n0,cpus=0", "-numa", "node,nodeid=1,memdev=n1"],
    ],
    ramMiB: 256,
    files: 2,
  },
];

async function makeSized(path: string, sizeBytes: number): Promise<void> {
  using file = await Deno.open(path, { write: true, createNew: true });
  await file.truncate(sizeBytes);
}

/** Whether the QEMU that is tested has what came with a version. */
async function isSince(since: string): Promise<boolean> {
  const { stdout } = await new Deno.Command("qemu-system-x86_64", { args: ["--version"] }).output();
  const [, major = 0, minor = 0] = /version (\d+)\.(\d+)/.exec(new TextDecoder().decode(stdout)) ?? [];
  const [wantedMajor = 0, wantedMinor = 0] = since.split(".").map(Number);
  return Number(major) > wantedMajor || (Number(major) === wantedMajor && Number(minor) >= wantedMinor);
}

for (const { label, ramMiB, files, memory, since, boots, extraArgs } of TOPOLOGIES) {
  Deno.test(`RAM is the guest's: ${label}`, async () => {
    if (since !== undefined && !(await isSince(since))) {
      console.log(`skipped: this needs QEMU ${since}; the nightly tests have it`);
      return;
    }
    await using stack = new AsyncDisposableStack();
    stack.defer(() => Deno.remove(FILE).catch(() => {}));
    if (extraArgs.some((word) => word.includes(FILE))) await makeSized(FILE, ramMiB * MIB);
    const start = boots ? startGuest : startSavedGuest;
    const vm = stack.use(await start({ ramMiB: 256, extraArgs, ...(memory && { memory }) }));
    await using rig = new MemctxRig(vm.qmpPath);
    const told = await rig.event(rig.join(), "MEMCTX");
    const { ramBytes, nfd, kcr3 } = told.fields;
    assertEquals({ ramBytes: Number(ramBytes), nfd: Number(nfd) }, { ramBytes: ramMiB * MIB, nfd: files });
    using target = openTarget(`pid:${vm.pid}`, findersFor("linux"));
    assert(target.guest.found, target.guest.found ? "" : target.guest.detail);
    assertEquals(target.guest.os.kernel.root, Number(kcr3));
    assertEquals(target.qemu?.ramBytes, ramMiB * MIB);
    const { os } = target.guest;
    await rig.during(checkPids(vm, () => os.processes().items.map(({ pid }) => pid)));
  });
}

Deno.test("a DIMM that is plugged while the guest runs makes a new epoch, with one file more", async () => {
  const extraArgs = ["-m", "256M,slots=4,maxmem=2G"];
  await using vm = await startSavedGuest({ ramMiB: 256, qmpSockets: 2, extraArgs });
  await using qmp = await TestQmp.connect(vm.qmpPaths[1] ?? "");
  await using rig = new MemctxRig(vm.qmpPath);
  const listener = rig.join();
  const first = await rig.event(listener, "MEMCTX");
  assertEquals(Number(first.fields["nfd"]), 1);
  // Another monitor than ours does it.
  await rig.during(
    qmp.execute("object-add", { "qom-type": "memory-backend-memfd", id: "d0", size: 128 * MIB, share: true }),
  );
  await rig.during(qmp.execute("device_add", { driver: "pc-dimm", id: "dimm0", memdev: "d0" }));
  const second = await rig.event(listener, "MEMCTX", 2);
  assertEquals(listener.of("MEMCTX_INVALIDATED")[0]?.fields, { epoch: 1, reason: 3 });
  assertEquals([Number(second.fields["nfd"]), Number(second.fields["ramBytes"])], [2, 384 * MIB]);
  assertEquals(second.fields["kcr3"], first.fields["kcr3"]);
});

Deno.test("a DIMM that is unplugged makes a new epoch without it, and the lists go on", async () => {
  const extraArgs = [
    "-m",
    "256M,slots=4,maxmem=2G",
    ...memfd("d0", 128),
    "-device",
    "pc-dimm,id=dimm0,memdev=d0",
  ];
  await using vm = await startSavedGuest({ ramMiB: 256, qmpSockets: 2, extraArgs });
  await using qmp = await TestQmp.connect(vm.qmpPaths[1] ?? "");
  await using rig = new MemctxRig(vm.qmpPath);
  const listener = rig.join();
  const first = await rig.event(listener, "MEMCTX");
  assertEquals([Number(first.fields["nfd"]), Number(first.fields["ramBytes"])], [2, 384 * MIB]);
  // Somebody who opened it before, and reads on meanwhile: what went away is no RAM of the guest's any more.
  using before = openTarget(`pid:${vm.pid}`, findersFor("linux"));
  assert(before.guest.found);
  const dimm = before.memory.port.segments.at(-1);
  assertEquals(dimm?.sizeBytes, 128 * MIB);
  let reads = 0;
  const page = new Uint8Array(4096);
  const read = () => {
    // What it gives is the guest's matter; it ends, whole.
    for (let i = 0; i < 64; i++) {
      assertEquals(before.memory.read(dimm!.gpa + reads++ % 32_768 * 4096, page), page.length);
    }
    before.memory.verify();
  };
  read();
  const reading = setInterval(read, 1);
  const second = await rig.during(qmp.execute("device_del", { id: "dimm0" }))
    .then(() => rig.event(listener, "MEMCTX", 2))
    .finally(() => clearInterval(reading));
  assertEquals(listener.of("MEMCTX_INVALIDATED")[0]?.fields, { epoch: 1, reason: 3 });
  assertEquals([Number(second.fields["nfd"]), Number(second.fields["ramBytes"])], [1, 256 * MIB]);
  assertEquals(second.fields["kcr3"], first.fields["kcr3"]);
  await rig.during(qmp.execute("object-del", { id: "d0" }));
  using after = openTarget(`pid:${vm.pid}`, findersFor("linux"));
  assert(after.guest.found, after.guest.found ? "" : after.guest.detail);
  for (const { guest } of [before, after]) {
    const { items, end } = guest.found ? guest.os.processes() : { items: [], end: undefined };
    assertEquals(end, { complete: true });
    assert(items.some(({ pid }) => pid === 1));
  }
});

Deno.test("virtio-mem that shrinks and grows: the same root, and the lists go on", async () => {
  const extraArgs = [
    ...["-m", "256M,slots=4,maxmem=2G", ...memfd("v0", 256)],
    ...["-device", "virtio-mem-pci,id=vm0,memdev=v0,requested-size=192M"],
  ];
  await using vm = await startSavedGuest({
    ramMiB: 256,
    qmpSockets: 2,
    extraArgs,
    modules: ["virtio_mem", "virtio_pci"],
  });
  await using qmp = await TestQmp.connect(vm.qmpPaths[1] ?? "");
  await using rig = new MemctxRig(vm.qmpPath);
  const listener = rig.join();
  const first = await rig.event(listener, "MEMCTX");
  const path = "/machine/peripheral/vm0";
  /** Sets a size, and waits until the guest has followed; reads all the while. */
  const resize = async (mib: number): Promise<void> => {
    using target = openTarget(`pid:${vm.pid}`, findersFor("linux"));
    assert(target.guest.found);
    await rig.during(qmp.execute("qom-set", { path, property: "requested-size", value: mib * MIB }));
    for (let size = -1; size !== mib * MIB;) {
      size = Number(await rig.during(qmp.execute("qom-get", { path, property: "size" })));
      const { items, end } = target.guest.os.processes();
      assertEquals(end, { complete: true });
      assert(items.some(({ pid }) => pid === 1));
    }
  };
  await resize(192);
  await resize(64);
  await resize(0);
  await resize(128);
  const last = listener.of("MEMCTX").at(-1);
  assertEquals(last?.fields["kcr3"], first.fields["kcr3"]);
  using target = openTarget(`pid:${vm.pid}`, findersFor("linux"));
  assert(target.guest.found);
  const names = await rig.during(vm.agent.list("/proc"));
  const inGuest = names.filter((name) => /^\d+$/.test(name)).length;
  assert(Math.abs(target.guest.os.processes().items.length - inGuest) <= 2);
});

Deno.test("microvm by pid: its kernel and its processes", async () => {
  const options: GuestOptions = { machine: "microvm", ramMiB: 256 };
  // Under TCG it has no timer against which the kernel could measure its clock.
  const append = "ignore_loglevel tsc_early_khz=2000000 lpj=4000000";
  await using vm = await Qemu.start(options, await bootArguments({ ...options, append }));
  await vm.waitForConsole(/Run \/init as init process/);
  using target = openTarget(`pid:${vm.pid}`, findersFor("linux"));
  assert(target.guest.found, target.guest.found ? "" : target.guest.detail);
  assertEquals(target.qemu?.ramBytes, 256 * MIB);
  assertEquals(target.guest.os.processes().items.slice(0, 2).map(({ pid }) => pid), [1, 2]);
});

Deno.test("memory-backend-ram with share=on on a QEMU that has it anonymous: probe and pid: say the same", async () => {
  const extraArgs = ["-object", "memory-backend-ram,id=m,size=256M,share=on", "-machine", "memory-backend=m"];
  await using vm = await startSavedGuest({ ramMiB: 256, memory: "none", extraArgs });
  const maps = await Deno.readTextFile(`/proc/${vm.pid}/maps`);
  const isAnonymous = maps.includes("/dev/zero (deleted)");
  const probed = await readProcess(new ProcHost(), vm.pid);
  assert(probed !== undefined);
  assertEquals(probed.setup.memory.shared, !isAnonymous);
  // Root reads it through the process.
  using target = openTarget(`pid:${vm.pid}`, findersFor("linux"));
  assert(target.guest.found, target.guest.found ? "" : target.guest.detail);
  assertEquals(target.qemu?.access, isAnonymous ? "process" : "memfd");
  assert(target.guest.os.processes().items.some(({ pid }) => pid === 1));
  if (!isAnonymous) return;
  const advice =
    "-object memory-backend-memfd,id=m,size=268435456,share=on in place of its memory-backend-ram";
  assertEquals(probed.setup.remedy, advice);
  using process = HostProcess.open(vm.pid);
  const { ram } = findQemuMemory(process);
  assert(!ram.shared && ram.detail === `its memory backend m is not shared; start QEMU with ${advice}`);
});
