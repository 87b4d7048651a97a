/**
 * The guest harness itself: boots on both chip sets, the agent, power changes, input, disposal.
 * @module
 */
import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { exists } from "./content_cache.ts";
import { GuestError } from "./guest_process.ts";
import { startGuests } from "./guests.ts";
import { firstPatternError, patternWord } from "./pattern.ts";
import { type Qemu, startFirmware, startGuest } from "./qemu.ts";
import { startSavedGuest, withoutPlaces } from "./saved_guest.ts";
import { TestQmp } from "./test_qmp.ts";
import { stopProcess } from "../fixtures/stopped_process.ts";

/** Whether a process with this pid exists. */
async function alive(pid: number): Promise<boolean> {
  return await exists(`/proc/${pid}`);
}

for (const machine of ["q35", "pc"] as const) {
  for (const memory of ["memfd", "file", "none"] as const) {
    Deno.test(`guest: ${machine} with 512 MiB of ${memory} boots, and its agent answers`, async () => {
      await using vm = await startGuest({ machine, memory });
      assertMatch(vm.agent.release, /^6\.\d+\..*cloud-amd64$/);
      assertStringIncludes(await vm.agent.cat("/proc/version"), vm.agent.release);
      await vm.waitForConsole(/vmsig-guest: ready/);
      const total = Number((await vm.agent.cat("/proc/meminfo")).match(/MemTotal: +(\d+)/)?.[1]);
      assert(total > 400_000 && total < 512 * 1024, `MemTotal is ${total} kB`);
      await using qmp = await TestQmp.connect(vm.qmpPath);
      assertEquals((await qmp.execute("query-status") as { status: string }).status, "running");
      const backends = await qmp.execute("query-memdev") as { id: string; share: boolean }[];
      const expected = memory === "none" ? { id: "pc.ram", share: false } : { id: "ram0", share: true };
      assertEquals(backends.map(({ id, share }) => ({ id, share })), [expected]);
      if (memory === "file") assertEquals((await Deno.stat(vm.ramPath ?? "")).size, 512 * 1024 * 1024);
    });
  }
}

Deno.test("guest: the agent carries programs' output, input, exit codes and signals", async () => {
  await using vm = await startSavedGuest({ programs: ["pattern", "procs"] });
  const usage = await vm.agent.run("pattern");
  assertEquals([usage.code, usage.status], [2, "code 2"]);
  assertStringIncludes(usage.text, "usage: pattern");
  const unknown = await vm.agent.run("no-such-program");
  assertEquals(unknown.code, 127);
  const error = await assertRejects(() => vm.agent.cat("/no such/file"), GuestError);
  assertStringIncludes(error.message, "No such file");
  const odd = "a b%c\nd\te\u00e4\u0000f";
  await vm.agent.write("/tmp/odd name", odd.repeat(300));
  assertEquals(await vm.agent.cat("/tmp/odd name"), odd.repeat(300));
  assertEquals((await vm.agent.list("/tmp")).includes("odd name"), true);

  const sleeper = await vm.agent.start("pattern", "1", "1");
  await sleeper.lineMatching(/^ready/);
  await sleeper.kill(9);
  assertEquals((await sleeper.wait()).status, "signal 9");
});

Deno.test("guest: pattern holds known memory in pages of every kind and tells what changes", async () => {
  await using vm = await startSavedGuest({ programs: ["pattern"], ramMiB: 1024 });
  for (const kind of ["small", "thp", "2M", "gap", "/tmp/mapped"]) {
    const program = await vm.agent.start("pattern", "16", "99", kind);
    const ready = await program.lineMatching(/^ready (\d+) (0x[0-9a-f]+) (\d+)$/);
    assertEquals(Number(ready[3]), 16 * 1024 * 1024);
    await program.write("sum\npeek 4096 64\nwatch 64\npoke 64 0000000000000001\n");
    const right = await program.lineMatching(/^sum (\d+) of (\d+) right$/);
    assertEquals(right[1], right[2]);
    const hex = (await program.lineMatching(/^peek ([0-9a-f]+)$/))[1] ?? "";
    const words = new Uint32Array(
      Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16)).buffer,
    );
    assertEquals(words.length, 16);
    assertEquals(firstPatternError(words, 99, 1024), -1);
    assertEquals(firstPatternError(words, 98, 1024), 1024);
    const was = BigInt(patternWord(99, 17)) << 32n | BigInt(patternWord(99, 16));
    await program.lineMatching(new RegExp(`^changed 64 0x${was.toString(16)} 0x100000000000000$`));
    await program.write("quit\n");
    assertEquals((await program.wait()).code, 0);
  }
});

Deno.test("guest: procs makes processes whose names, threads and maps are known", async () => {
  await using vm = await startSavedGuest({ programs: ["procs"] });
  const program = await vm.agent.start("procs", "20", "2");
  await program.lineMatching(/^ready$/);
  const pid = program.text.match(/^child 7 (\d+)$/m)?.[1];
  assertEquals(await vm.agent.cat(`/proc/${pid}/comm`), "proc-0007\n");
  assertEquals(await vm.agent.cat(`/proc/${pid}/cmdline`), "procs\0child\x007\0");
  assertEquals((await vm.agent.list(`/proc/${pid}/task`)).length, 3);
  const maps = await vm.agent.cat(`/proc/${pid}/maps`);
  assertMatch(maps, /^700007000000-700007004000 rw-p/m);
  assertMatch(maps, /^700007010000-700007012000 r--p/m);
  assertMatch(maps, /^700007020000-700007021000 r-xp/m);
  assertMatch(maps, /^700007030000-700007040000 ---p/m);
  await program.write("kill 7\nadd\n");
  await program.lineMatching(/^killed$/);
  await program.lineMatching(/^child 20 \d+$/);
  await assertRejects(() => vm.agent.cat(`/proc/${pid}/comm`), GuestError);
});

/** Types one key and moves the tablet, and takes what evrec says of it. */
async function inputArrives(vm: Qemu): Promise<void> {
  await using qmp = await TestQmp.connect(vm.qmpPath);
  const recorder = await vm.agent.start("evrec");
  await recorder.lineMatching(/^recording$/);
  const keyboard = recorder.text.match(/^device (event\d+) QEMU Virtio Keyboard$/m)?.[1];
  const tablet = recorder.text.match(/^device (event\d+) QEMU Virtio Tablet$/m)?.[1];
  assert(keyboard !== undefined && tablet !== undefined, recorder.text);
  for (const down of [true, false]) {
    const key = { type: "key", data: { down, key: { type: "qcode", data: "a" } } };
    await qmp.execute("input-send-event", { events: [key] });
  }
  const axis = (name: string, value: number) => ({ type: "abs", data: { axis: name, value } });
  await qmp.execute("input-send-event", { events: [axis("x", 1000), axis("y", 32767)] });
  for (
    const expected of [
      ...[`${keyboard} 1 30 1`, `${keyboard} 0 0 0`, `${keyboard} 1 30 0`, `${keyboard} 0 0 0`],
      ...[`${tablet} 3 0 1000`, `${tablet} 3 1 32767`, `${tablet} 0 0 0`],
    ]
  ) {
    let line = await recorder.line();
    // A key that is down for a while on a busy machine is repeated by the guest.
    while (line === `${keyboard} 1 30 2` || line === `${keyboard} 0 0 1`) line = await recorder.line();
    assertEquals(line, expected);
  }
}

Deno.test("guest: evrec records keys and absolute moves that QMP sends", async () => {
  await using vm = await startSavedGuest({ programs: ["evrec"], devices: ["virtio-input"] });
  await inputArrives(vm);
});

Deno.test("guest: generic kernel has uinput, a framebuffer and the same input", async () => {
  await using vm = await startSavedGuest({
    kernel: "generic",
    programs: ["evrec"],
    devices: ["virtio-input"],
    modules: ["uinput", "bochs"],
  });
  assertMatch(vm.agent.release, /^6\.\d+\.[^c]*-amd64$/);
  const devices = await vm.agent.list("/dev");
  assert(devices.includes("uinput") && devices.includes("fb0"), devices.join(" "));
  assertEquals((await vm.agent.list("/dev/dri")).includes("card0"), true);
  assertMatch(await vm.agent.cat("/sys/class/graphics/fb0/virtual_size"), /^\d+,\d+\n$/);
  await inputArrives(vm);
});

Deno.test("guest: a saved state is found again by another run of the gate, and from another checkout", () => {
  const machine = (cache: string, run: string) =>
    JSON.stringify({
      extraArgs: ["-vnc", `unix:${run}/v`, "-drive", `file=${cache}programs/disk-1,format=raw`],
      boot: ["-initrd", `${cache}images/1.cpio`],
    });
  const first = withoutPlaces(machine("/a/tests/.cache/", "/tmp/ok-1/vmsig-2"), "/a/tests/.cache/", [
    "/tmp/ok-1",
    "/tmp",
  ]);
  assertEquals(
    withoutPlaces(machine("/tmp/b/.cache/", "/tmp/vmsig-3"), "/tmp/b/.cache/", ["/tmp", "/tmp"]),
    first,
  );
  assertEquals(JSON.parse(first), {
    extraArgs: ["-vnc", "unix:TEMPORARY/v", "-drive", "file=CACHE/programs/disk-1,format=raw"],
    boot: ["-initrd", "CACHE/images/1.cpio"],
  });
});

Deno.test("guest: powers off at its power button", async () => {
  await using vm = await startSavedGuest();
  await using qmp = await TestQmp.connect(vm.qmpPath);
  await qmp.execute("system_powerdown");
  await qmp.event("POWERDOWN");
  const shutdown = await qmp.event("SHUTDOWN");
  assertEquals((shutdown.data as { reason: string }).reason, "guest-shutdown");
  assertEquals((await vm.ended).code, 0);
});

Deno.test("guest: ignores its power button when asked to", async () => {
  await using vm = await startSavedGuest({ powerButton: false });
  await using qmp = await TestQmp.connect(vm.qmpPath);
  await qmp.execute("system_powerdown");
  await qmp.event("POWERDOWN");
  assertStringIncludes(await vm.agent.cat("/proc/version"), "Linux");
  assertEquals(vm.running, true);
  assertEquals(await vm.agent.cat("/proc/modules"), "");
});

Deno.test("guest: suspends and is woken, reboots and comes back", async () => {
  await using vm = await startSavedGuest();
  await using qmp = await TestQmp.connect(vm.qmpPath);
  const woken = vm.agent.suspend();
  await qmp.event("SUSPEND");
  assertEquals((await qmp.execute("query-status") as { status: string }).status, "suspended");
  await qmp.execute("system_wakeup");
  await qmp.event("WAKEUP");
  await woken;
  const boot = await vm.agent.cat("/proc/sys/kernel/random/boot_id");
  await vm.agent.power("reboot");
  await vm.agent.ready(2);
  assert(boot !== await vm.agent.cat("/proc/sys/kernel/random/boot_id"), "another boot");
  await qmp.event("RESET");
});

Deno.test("guest: a panic is reported through pvpanic", async () => {
  await using vm = await startSavedGuest({ devices: ["pvpanic"] });
  await using qmp = await TestQmp.connect(vm.qmpPath);
  await vm.agent.power("panic");
  await qmp.event("GUEST_PANICKED");
  await vm.waitForConsole(/sysrq: Trigger a crash|Kernel panic/);
  await vm.ended;
});

Deno.test("guest: SIGSTOP silences it, SIGCONT brings it back, SIGKILL ends it with its files", async () => {
  const vm = await startSavedGuest({ memory: "file" });
  const { pid, dir } = vm;
  try {
    await stopProcess(vm.pid);
    await assertRejects(() => vm.agent.request(["ping"], 300), GuestError, "took longer");
    vm.kill("SIGCONT");
    await vm.agent.request(["ping"]);
    await stopProcess(vm.pid);
  } finally {
    await vm[Symbol.asyncDispose]();
  }
  assertEquals([await alive(pid), await exists(dir)], [false, false]);
  await assertRejects(() => vm.agent.cat("/proc/version"), GuestError, "gone");
});

Deno.test("guest: a bare firmware has as many QMP monitors as asked for", async () => {
  await using vm = await startFirmware({ qmpSockets: 2, machine: "pc" });
  for (const path of vm.qmpPaths) {
    await using qmp = await TestQmp.connect(path);
    assertEquals((await qmp.execute("query-status") as { status: string }).status, "running");
  }
  assertEquals(vm.qmpPaths.length, 2);
});

Deno.test("guest: bad arguments give QEMU's own words and leave nothing", async () => {
  const error = await assertRejects(
    () => startFirmware({ extraArgs: ["-device", "no-such-device"] }),
    GuestError,
  );
  assertStringIncludes(error.message, "no-such-device");
});

Deno.test("guest: several share an image, and one that fails takes the others with it", async () => {
  const pids: number[] = [];
  {
    await using guests = await startGuests([{}, {}, { machine: "pc" }]);
    assertEquals(guests.all.length, 3);
    pids.push(...guests.all.map((vm) => vm.pid));
    assertEquals(new Set(pids).size, 3);
    for (const vm of guests.all) assertStringIncludes(await vm.agent.cat("/proc/version"), "Linux");
  }
  for (const pid of pids) assertEquals(await alive(pid), false);
  const failing = () => startGuests([{}, { extraArgs: ["-device", "no-such-device"] }]);
  await assertRejects(failing, GuestError, "no-such-device");
});

const ORPHAN_MAKER = `
import { startFirmware } from "${new URL("./qemu.ts", import.meta.url).href}";
const vm = await startFirmware();
console.log(JSON.stringify({ pid: vm.pid, dir: vm.dir }));
await new Promise(() => setInterval(() => {}, 1000));
`;

Deno.test("guest: QEMU goes when the process that started it is killed", async () => {
  const folder = await Deno.makeTempDir();
  const left = [folder];
  try {
    await Deno.writeTextFile(`${folder}/maker.ts`, ORPHAN_MAKER);
    const config = new URL("../../deno.json", import.meta.url).pathname;
    const command = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", `--config=${config}`, `${folder}/maker.ts`],
      stdout: "piped",
      stderr: "null",
    });
    const maker = command.spawn();
    const reader = maker.stdout.pipeThrough(new TextDecoderStream()).getReader();
    const first = await reader.read();
    maker.kill("SIGKILL");
    await maker.status;
    await reader.cancel();
    const { pid, dir } = JSON.parse(first.value ?? "{}") as { pid: number; dir: string };
    left.push(dir);
    const deadline = performance.now() + 180_000;
    while (await alive(pid) && performance.now() < deadline) {
      await new Promise((wake) => setTimeout(wake, 20));
    }
    assertEquals(await alive(pid), false);
  } finally {
    for (const path of left) await Deno.remove(path, { recursive: true });
  }
});
