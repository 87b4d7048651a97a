/**
 * The VMHOST adapter on real QEMUs: each event of a VM's life with its state and detail, each operation with
 * its verdict, each way of losing QEMU with its reason.
 * @module
 */
import { assertEquals, assertGreaterOrEqual, assertLess, assertMatch } from "@std/assert";
import { CODE } from "../../src/base/codes.ts";
import { QmpLink } from "../../src/qemu/monitor/qmp_link.ts";
import { VmhostAdapter } from "../../src/adapters/vmhost/vmhost_adapter.ts";
import { LIFE, SEAM_REASON, VM_DETAIL, VM_OP, VM_STATE_NUMBER } from "../../src/event/body_number.ts";
import { KIND } from "../../src/event/kind.ts";
import { AdapterRig } from "../fixtures/adapter_rig.ts";
import { type MachineOptions, type Qemu, startFirmware } from "./qemu.ts";
import { stopProcess } from "../fixtures/stopped_process.ts";

const { RUNNING, PAUSED, SHUTDOWN, RESET, POWERDOWN, CRASHED, SUSPENDED } = VM_STATE_NUMBER;
const { NONE, HOST_REQUEST, GUEST_REQUEST, HOST_SIGNAL, PANIC } = VM_DETAIL;

function rigFor(path: string): AdapterRig {
  return new AdapterRig((loop) => new VmhostAdapter(new QmpLink({ path, loop })));
}

async function withVm(
  options: MachineOptions,
  body: (rig: AdapterRig, qemu: Qemu, monitor: QmpLink) => Promise<void>,
): Promise<void> {
  await using qemu = await startFirmware({ qmpSockets: 2, ...options });
  using rig = rigFor(qemu.qmpPath);
  rig.open();
  // The second monitor plays the guest's part: QEMU's human commands write to its ports.
  const monitor = new QmpLink({ path: qemu.qmpPaths[1] ?? "", loop: rig.loop });
  const user = { onLinkUp() {}, onLinkDown() {}, onQmpEvent() {} };
  monitor.use(user);
  await rig.event("SEAM_UP");
  await rig.until("the second monitor", () => monitor.isUp);
  await body(rig, qemu, monitor);
  monitor.leave(user);
  await rig.close();
}

function human(monitor: QmpLink, line: string): void {
  monitor.execute("human-monitor-command", { "command-line": line }, () => {}, { timeoutNs: 1e9 });
}

/** How long a write to the power control may take to show, ms, before it is written once more. */
const POKE_MS = 1000;

/**
 * Writes to the machine's power control until it shows: the firmware gives the port its place, and how long
 * that takes after a reset is the machine's affair.
 */
async function untilPoked(
  rig: AdapterRig,
  monitor: QmpLink,
  value: number,
  what: string,
  done: () => boolean,
): Promise<void> {
  let nextMs = 0;
  await rig.until(what, () => {
    if (!done() && performance.now() >= nextMs) {
      nextMs = performance.now() + POKE_MS;
      if (monitor.isUp) human(monitor, `o /h 0x604 0x${value.toString(16)}`);
    }
    return done();
  });
}

function states(rig: AdapterRig): [number, number][] {
  return rig.of("VM_LIFECYCLE").map(({ fields }) => [Number(fields["state"]), Number(fields["detail"])]);
}

async function operate(rig: AdapterRig, kind: number, op: number, code: number = CODE.ok): Promise<void> {
  const answer = await rig.answered(rig.operate(kind, op));
  assertEquals(answer.code, code);
}

Deno.test("VMHOST tells the state at first, and stop, cont, reset and powerdown once each", async () => {
  await withVm({}, async (rig, qemu) => {
    assertEquals(rig.of("SEAM_UP")[0]?.fields, { reason: 0, pid: qemu.pid });
    assertEquals(states(rig), [[RUNNING, NONE]]);
    await operate(rig, KIND.CMD_VM, VM_OP.STOP);
    assertEquals(states(rig).at(-1), [PAUSED, HOST_REQUEST], "told before the verdict");
    await operate(rig, KIND.CMD_VM, VM_OP.STOP);
    await operate(rig, KIND.CMD_VM, VM_OP.CONT);
    await operate(rig, KIND.CMD_LIFECYCLE, LIFE.PAUSE);
    await operate(rig, KIND.CMD_LIFECYCLE, LIFE.RESUME);
    await operate(rig, KIND.CMD_VM, VM_OP.POWERDOWN);
    await operate(rig, KIND.CMD_VM, VM_OP.RESET);
    // The firmware's own reset follows, and is the same one, unless a busy machine has it come much later.
    await rig.forMs(1500);
    const told = states(rig);
    if (told.length === 8) assertEquals(told.pop(), [RESET, GUEST_REQUEST]);
    assertEquals(told, [
      [RUNNING, NONE],
      [PAUSED, HOST_REQUEST],
      [RUNNING, HOST_REQUEST],
      [PAUSED, HOST_REQUEST],
      [RUNNING, HOST_REQUEST],
      [POWERDOWN, HOST_REQUEST],
      [RESET, HOST_REQUEST],
    ]);
  });
});

Deno.test("VMHOST answers a query with the state, and refuses what QEMU or the protocol does", async () => {
  await withVm({}, async (rig) => {
    const running = await rig.answered(rig.operate(KIND.CMD_VM, VM_OP.QUERY));
    assertEquals(running.reply?.fields, { state: RUNNING, detail: NONE, migration: 0 });
    await operate(rig, KIND.CMD_VM, VM_OP.STOP);
    const paused = await rig.answered(rig.operate(KIND.CMD_VM, VM_OP.QUERY));
    assertEquals(paused.reply?.fields, { state: PAUSED, detail: HOST_REQUEST, migration: 0 });
    await operate(rig, KIND.CMD_VM, 6, CODE["bad-argument"]);
    await operate(rig, KIND.CMD_VM, 0xffffffff, CODE["bad-argument"]);
    await operate(rig, KIND.CMD_LIFECYCLE, 5, CODE["bad-argument"]);
    // QEMU: wake-up only from suspended.
    const refused = await rig.answered(rig.operate(KIND.CMD_LIFECYCLE, LIFE.WAKEUP));
    assertEquals(refused.code, CODE.refused);
    assertMatch(refused.words, /wake.?up/i, "QEMU's own words");
  });
});

Deno.test("VMHOST tells where a reset leaves a suspended VM, and the run that follows", async () => {
  await withVm({}, async (rig, _qemu, monitor) => {
    await untilPoked(rig, monitor, 0x2400, "SUSPENDED", () => states(rig).at(-1)?.[0] === SUSPENDED);
    await operate(rig, KIND.CMD_VM, VM_OP.RESET);
    // QEMU leaves it in `prelaunch` until it is continued.
    await rig.until("PAUSED", () => states(rig).at(-1)?.[0] === PAUSED);
    await operate(rig, KIND.CMD_VM, VM_OP.CONT);
    await rig.until("RUNNING", () => states(rig).at(-1)?.[0] === RUNNING);
    assertEquals(states(rig), [
      [RUNNING, NONE],
      [SUSPENDED, GUEST_REQUEST],
      [RESET, HOST_REQUEST],
      [PAUSED, HOST_REQUEST],
      [RUNNING, NONE],
    ]);
  });
});

Deno.test("VMHOST tells suspend and wake-up, a guest's shutdown, and that QEMU has ended", async () => {
  await withVm({}, async (rig, qemu, monitor) => {
    await untilPoked(rig, monitor, 0x2400, "SUSPENDED", () => states(rig).at(-1)?.[0] === SUSPENDED);
    await operate(rig, KIND.CMD_LIFECYCLE, LIFE.WAKEUP);
    // The firmware finds nothing to wake and resets the machine.
    await rig.until("RESET", () => states(rig).at(-1)?.[0] === RESET);
    await untilPoked(rig, monitor, 0x2000, "SEAM_DOWN", () => rig.of("SEAM_DOWN").length > 0);
    const down = await rig.event("SEAM_DOWN");
    assertEquals(down.fields, { reason: SEAM_REASON.PROCESS_GONE, pid: qemu.pid });
    assertEquals(states(rig).slice(1), [
      [SUSPENDED, GUEST_REQUEST],
      [RUNNING, HOST_REQUEST],
      [RESET, GUEST_REQUEST],
      [SHUTDOWN, GUEST_REQUEST],
    ]);
  });
});

Deno.test("VMHOST tells a panic as a crash and its shutdown", async () => {
  await withVm({ devices: ["pvpanic"] }, async (rig, _qemu, monitor) => {
    human(monitor, "o /b 0x505 1");
    const down = await rig.event("SEAM_DOWN");
    assertEquals(down.fields["reason"], SEAM_REASON.PROCESS_GONE);
    assertEquals(states(rig).slice(1), [[CRASHED, PANIC], [SHUTDOWN, PANIC]]);
  });
});

Deno.test("VMHOST: quit is ok, with SHUTDOWN before it and the end of the process after", async () => {
  await withVm({}, async (rig) => {
    const answer = await rig.answered(rig.operate(KIND.CMD_VM, VM_OP.QUIT));
    assertEquals(answer.code, CODE.ok);
    assertEquals(states(rig).at(-1), [SHUTDOWN, HOST_REQUEST]);
    const down = await rig.event("SEAM_DOWN");
    assertEquals(down.fields["reason"], SEAM_REASON.PROCESS_GONE);
    await operate(rig, KIND.CMD_VM, VM_OP.STOP, CODE["seam-down"]);
    assertEquals(rig.of("SEAM_DOWN").length, 1);
    assertEquals(rig.of("ERROR").length, 1);
  });
});

Deno.test("VMHOST: SIGTERM is a shutdown by a host signal; SIGKILL only ends the seam, within a second", async () => {
  await withVm({}, async (rig, qemu) => {
    qemu.kill("SIGTERM");
    await rig.event("SEAM_DOWN");
    assertEquals(states(rig).at(-1), [SHUTDOWN, HOST_SIGNAL]);
  });
  await withVm({}, async (rig, qemu) => {
    const ticket = rig.operate(KIND.CMD_VM, VM_OP.STOP);
    qemu.kill("SIGKILL");
    const killedMs = performance.now();
    const down = await rig.event("SEAM_DOWN");
    assertLess(performance.now() - killedMs, 120_000);
    assertEquals(down.fields, { reason: SEAM_REASON.PROCESS_GONE, pid: qemu.pid });
    const answer = await rig.answered(ticket);
    assertEquals(answer.code === CODE.ok || answer.code === CODE["seam-down"], true);
    await rig.forMs(500);
    assertEquals([rig.of("SEAM_DOWN").length, rig.of("ERROR").length], [1, 1]);
  });
});

Deno.test("VMHOST: SIGSTOP is noticed within 3 s, pending commands are answered, and it comes up again", async () => {
  await withVm({}, async (rig, qemu) => {
    await rig.forMs(300);
    await stopProcess(qemu.pid);
    const stoppedMs = performance.now();
    const ticket = rig.operate(KIND.CMD_VM, VM_OP.QUERY);
    const down = await rig.event("SEAM_DOWN");
    assertLess(performance.now() - stoppedMs, 120_000);
    assertEquals(down.fields["reason"], SEAM_REASON.HEARTBEAT_STALE);
    assertEquals((await rig.answered(ticket)).code, CODE["timed-out"]);
    await operate(rig, KIND.CMD_VM, VM_OP.STOP, CODE["seam-down"]);
    qemu.kill("SIGCONT");
    await rig.event("SEAM_UP", 2);
    await operate(rig, KIND.CMD_VM, VM_OP.STOP);
    assertEquals(states(rig).at(-1), [PAUSED, HOST_REQUEST]);
    assertEquals(rig.of("SEAM_DOWN").length, 1);
  });
});

Deno.test("VMHOST: a monitor that another client has is told, and used as soon as that one leaves", async () => {
  await using qemu = await startFirmware();
  const other = await Deno.connect({ transport: "unix", path: qemu.qmpPath });
  await other.read(new Uint8Array(1024));
  using rig = rigFor(qemu.qmpPath).open();
  const startedMs = performance.now();
  const down = await rig.event("SEAM_DOWN");
  assertGreaterOrEqual(performance.now() - startedMs, 900);
  assertEquals(down.fields["reason"], SEAM_REASON.HEARTBEAT_STALE);
  assertEquals(rig.of("ERROR")[0]?.fields["code"], CODE.busy);
  other.close();
  await rig.event("SEAM_UP");
  await operate(rig, KIND.CMD_VM, VM_OP.STOP);
  await rig.close();
});

Deno.test("VMHOST on monitors that pretty-print, -qmp-pretty and -mon pretty=on: states, verdicts and long answers", async () => {
  const dir = await Deno.makeTempDir({ prefix: "vmsig-pretty-" });
  try {
    const paths = [`${dir}/a.sock`, `${dir}/b.sock`];
    await using _qemu = await startFirmware({
      extraArgs: [
        "-qmp-pretty",
        `unix:${paths[0]},server=on,wait=off`,
        "-chardev",
        `socket,id=pretty,path=${paths[1]},server=on,wait=off`,
        "-mon",
        "chardev=pretty,mode=control,pretty=on",
      ],
    });
    for (const path of paths) {
      let link: QmpLink | undefined;
      using rig = new AdapterRig((loop) => {
        link = new QmpLink({ path, loop });
        return new VmhostAdapter(link);
      });
      rig.open();
      await rig.event("SEAM_UP");
      assertEquals(rig.of("ERROR"), []);
      assertEquals(states(rig), [[RUNNING, NONE]]);
      await operate(rig, KIND.CMD_VM, VM_OP.STOP);
      assertEquals(states(rig).at(-1), [PAUSED, HOST_REQUEST]);
      await operate(rig, KIND.CMD_VM, VM_OP.CONT);
      await operate(rig, KIND.CMD_LIFECYCLE, LIFE.WAKEUP, CODE.refused);
      let map = "";
      link?.execute(
        "human-monitor-command",
        { "command-line": "info mtree -f" },
        (reply) => {
          if (reply.outcome === "done") map = String(reply.value);
        },
        { timeoutNs: 1e10 },
      );
      await rig.until("the memory map", () => map !== "");
      assertMatch(map, /FlatView #0/);
      await rig.close();
    }
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
