/**
 * MEMCTX on real guests: a context whose root and RAM are the guest's own, for whoever comes when; epochs
 * that end with each reset; and descriptors that give nothing but reading.
 * @module
 */
import "../unit/ffi/loaded_shim.ts";
import { assert, assertEquals, assertGreater, assertLess, assertThrows } from "@std/assert";
import { Mapping } from "../../ffi/mapping.ts";
import { OPEN, reopen, statFd } from "../../ffi/memfd.ts";
import type { OwnedFd } from "../../ffi/owned_fd.ts";
import { OsError } from "../../ffi/os_error.ts";
import { pwriteFrom, sendWithFds } from "../../ffi/stream.ts";
import { acceptUnix, listenUnix, SOCKET } from "../../ffi/unix_socket.ts";
import { findLinux } from "../../src/guest/linux/find_linux.ts";
import type { LinuxGuest } from "../../src/guest/linux/linux_guest.ts";
import { openMemsegs } from "../../src/ram/memseg_ram.ts";
import type { PhysicalMemory } from "../../src/guest/physical_memory.ts";
import { openFilesOf } from "../fixtures/holdings.ts";
import { compiledProgram } from "./c_program.ts";
import { checkPids } from "./mem_guest.ts";
import { MemctxRig, type Told } from "./memctx_rig.ts";
import { TestQmp } from "./test_qmp.ts";
import { type GuestOptions, startFirmware, startGuest } from "./qemu.ts";
import { startSavedGuest } from "./saved_guest.ts";

/** The guest behind a MEMCTX, read through its own descriptors. */
function linuxOf(told: Told): { memory: PhysicalMemory; os: LinuxGuest } {
  const fds = (told.event?.fds ?? []).map((fd) => reopen(fd, OPEN.READ_ONLY));
  const memory = openMemsegs(told.body, fds, "RAM of a test");
  for (const fd of fds) fd.close();
  memory.refresh();
  const found = findLinux(memory);
  assert(found.found, "a kernel is in the context's RAM");
  return { memory, os: found.os };
}

const VARIANTS:
  readonly (GuestOptions & { label: string; segments: number; kpti?: boolean; levels?: number })[] = [
    { label: "q35, memfd, 512 MiB", segments: 1 },
    { label: "pc, file, 512 MiB", machine: "pc", memory: "file", segments: 1 },
    { label: "q35, memfd, 3 GiB split", ramMiB: 3072, segments: 2 },
    { label: "q35, memfd, KPTI", append: "pti=on", segments: 1, kpti: true },
    { label: "q35, memfd, 5 levels", cpu: "max", segments: 1, levels: 5 },
  ];

for (const { label, segments, kpti = false, levels = 4, ...options } of VARIANTS) {
  Deno.test(`MEMCTX: ${label}: root, RAM and processes are the guest's`, async () => {
    await using vm = await startGuest(options);
    await using rig = new MemctxRig(vm.qmpPath);
    const early = rig.join("early");
    const told = await rig.event(early, "MEMCTX");
    const ramBytes = (options.ramMiB ?? 512) * 2 ** 20;
    const { kcr3, low, ...rest } = told.fields;
    assertEquals(rest, {
      ramBytes,
      epoch: 1,
      nseg: segments,
      guestOs: 1,
      levels,
      flags: kpti ? 1 : 0,
      nfd: 1,
    });
    assertEquals(Number(low), segments === 1 ? ramBytes : 2 ** 31);
    assertEquals(told.body.length, 32 * segments);
    const { memory, os } = linuxOf(told);
    using _memory = memory;
    assertEquals(os.kernel.root, Number(kcr3));
    await rig.during(checkPids(vm, () => os.processes().items.map(({ pid }) => pid)));
    // Who comes later is given the same context, with the same RAM behind it.
    const late = rig.join("late");
    const replayed = await rig.event(late, "MEMCTX");
    assertEquals(replayed.fields, told.fields);
    assertEquals(early.of("MEMCTX").length, 1);
    assertEquals(statFd(replayed.event?.fds[0] ?? -1).ino, statFd(told.event?.fds[0] ?? -1).ino);
  });
}

Deno.test("MEMCTX: its descriptor only reads, for us and for another user", async () => {
  await using vm = await startSavedGuest();
  await using rig = new MemctxRig(vm.qmpPath);
  const told = await rig.event(rig.join(), "MEMCTX");
  const [fd = -1] = told.event?.fds ?? [];
  assertEquals(statFd(fd).mode & 0o777, 0o400);
  assertThrows(() => Mapping.map(fd, 0, 4096, { write: true }), OsError, "EACCES");
  assertThrows(() => pwriteFrom(fd, new Uint8Array(1), 0, 1, 0), OsError, "EBADF");
  if (Deno.uid() !== 0) {
    console.log("not root: cannot become another user; the rest of this test is left out");
    return;
  }
  const program = await compiledProgram("fd_check");
  const path = `${vm.dir}/fd.sock`;
  using listening = listenUnix(path, SOCKET.SEQPACKET);
  const child = new Deno.Command(program.path, { args: [path, "65534"], stdout: "piped" }).spawn();
  let peer: OwnedFd | undefined;
  await rig.until("the program", () => (peer = acceptUnix(listening.fd)) !== undefined);
  sendWithFds((peer as OwnedFd).fd, new Uint8Array(1), [fd]);
  const { stdout } = await child.output();
  peer?.close();
  assertEquals(new TextDecoder().decode(stdout).trim().split("\n"), [
    "map-read ok",
    "map-write EACCES",
    "write EBADF",
    "reopen-write EACCES",
    "reopen-truncate EACCES",
    "truncate EINVAL",
    "dup-write EBADF",
    "chmod EPERM",
  ]);
});

Deno.test("MEMCTX: ten reboots are ten epochs, each ended before its RESET is told, each with a right root", async () => {
  await using vm = await startGuest({ programs: ["procs"] });
  await using rig = new MemctxRig(vm.qmpPath);
  const listener = rig.join();
  await rig.event(listener, "MEMCTX");
  const roots = new Set<string>();
  for (let boot = 1; boot <= 10; boot++) {
    const told = await rig.event(listener, "MEMCTX", boot);
    assertEquals(told.fields["epoch"], boot);
    roots.add(String(told.fields["kcr3"]));
    // The root is this boot's: a process that only this boot has is found under it.
    const marker = await rig.during(vm.agent.start("procs", "1"));
    const { memory, os } = linuxOf(told);
    assertEquals(os.kernel.root, Number(told.fields["kcr3"]));
    // The agent answers when it has forked; the name comes with the exec.
    await rig.until("the marker", () => os.process(marker.pid)?.name === "procs");
    memory[Symbol.dispose]();
    if (boot === 10) break;
    await rig.during(vm.agent.power("reboot"));
    await rig.event(listener, "MEMCTX_INVALIDATED", boot);
    await rig.during(vm.agent.ready(boot + 1));
  }
  assertGreater(roots.size, 1, "KASLR moves the root");
  const order = listener.told.filter(({ kind, fields }) =>
    kind.startsWith("MEMCTX") || (kind === "VM_LIFECYCLE" && fields["state"] === 3)
  );
  for (let boot = 1; boot < 10; boot++) {
    const at = order.findIndex((t) => t.kind === "MEMCTX_INVALIDATED" && t.fields["epoch"] === boot);
    assertEquals(order[at]?.fields["reason"], 0);
    assertEquals(order[at - 1]?.fields["epoch"], boot, "the context that it ends came before it");
    assertEquals(order[at + 1]?.kind, "VM_LIFECYCLE", "the reset is told after it");
  }
  assertEquals(listener.of("MEMCTX_INVALIDATED").length, 9);
  assertEquals(listener.of("MEMCTX").length, 10);
});

Deno.test("MEMCTX: firmware is no kernel; a kill ends the epoch before the seam", async () => {
  {
    await using firmware = await startFirmware();
    await using rig = new MemctxRig(firmware.qmpPath);
    const listener = rig.join();
    await rig.event(listener, "SEAM_UP", 2);
    const untilMs = performance.now() + 1500;
    await rig.until("some time", () => performance.now() >= untilMs);
    assertEquals(listener.of("MEMCTX"), []);
    assertEquals(listener.of("ERROR"), []);
  }
  await using vm = await startSavedGuest();
  await using rig = new MemctxRig(vm.qmpPath);
  const listener = rig.join();
  await rig.event(listener, "MEMCTX");
  assertEquals(rig.core.bus.context.waiting(0), 0);
  vm.kill("SIGKILL");
  await rig.event(listener, "SEAM_DOWN", 2);
  const kinds = listener.told.map(({ kind }) => kind);
  assertEquals(kinds.slice(kinds.indexOf("MEMCTX_INVALIDATED")), [
    "MEMCTX_INVALIDATED",
    "SEAM_DOWN",
    "ERROR",
    "SEAM_DOWN",
    "ERROR",
  ]);
  assertEquals(listener.of("MEMCTX_INVALIDATED")[0]?.fields, { epoch: 1, reason: 1 });
  // Nothing is retained: who comes now is told of no context.
  const late = rig.join("late");
  rig.loop.turn(0);
  assertEquals(late.of("MEMCTX"), []);
});

Deno.test("MEMCTX: a paused guest is found all the same, and looking costs the host no memory", async () => {
  await using vm = await startGuest({ ramMiB: 2048, qmpSockets: 2 });
  await using qmp = await TestQmp.connect(vm.qmpPaths[1] ?? "");
  await qmp.execute("stop");
  const held = () => {
    const ram = openFilesOf(vm.pid).find(({ target }) => target.startsWith("/memfd:"));
    using file = reopen(`/proc/${vm.pid}/fd/${ram?.fd}`, OPEN.READ_ONLY);
    return statFd(file.fd).allocatedBytes;
  };
  const before = held();
  await using rig = new MemctxRig(vm.qmpPath);
  const told = await rig.event(rig.join(), "MEMCTX");
  assertLess(held() - before, 2 ** 20);
  assertLess(before, 2 ** 30, "most of the guest's RAM was never touched, so that growth would show");
  const { memory } = linuxOf(told);
  memory[Symbol.dispose]();
  assertLess(held() - before, 2 ** 20);
});

Deno.test("MEMCTX: RAM that is not shared is told once, and the host plane goes on", async () => {
  await using vm = await startFirmware({ memory: "none" });
  await using rig = new MemctxRig(vm.qmpPath);
  const listener = rig.join();
  const error = await rig.event(listener, "ERROR");
  assertEquals(error.fields["codeName"], "not-supported");
  assertEquals(error.fields["text"], "RAM is not shared: see vmsig probe");
  assertEquals(listener.of("VM_LIFECYCLE").length, 1);
  assertEquals(listener.of("ERROR").length, 1);
});
