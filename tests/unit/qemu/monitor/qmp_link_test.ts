/**
 * The shared monitor against a scripted peer: each way in which it can be missing or fail, with its reason,
 * and what comes after.
 * @module
 */
import { assert, assertEquals, assertGreater, assertLess, assertMatch } from "@std/assert";
import { openFdCount } from "../../../../ffi/owned_fd.ts";
import { QmpLink } from "../../../../src/qemu/monitor/qmp_link.ts";
import { VmhostAdapter } from "../../../../src/adapters/vmhost/vmhost_adapter.ts";
import { CODE } from "../../../../src/base/codes.ts";
import { SEAM_REASON, VM_OP, VM_STATE_NUMBER } from "../../../../src/event/body_number.ts";
import { KIND } from "../../../../src/event/kind.ts";
import { type ProcessIdentity, startOf } from "../../../../src/qemu/process_identity.ts";
import { AdapterRig } from "../../../fixtures/adapter_rig.ts";
import { doneLine, ScriptedQmp } from "../../../fixtures/scripted_qmp.ts";

interface Place {
  readonly rig: AdapterRig;
  readonly link: () => QmpLink;
  readonly path: string;
}

async function inPlace(body: (place: Place) => Promise<void>, expected?: ProcessIdentity): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "vmsig-qmp-" });
  const before = openFdCount();
  try {
    const path = `${dir}/qmp.sock`;
    let link: QmpLink | undefined;
    using rig = new AdapterRig((loop) => {
      return new VmhostAdapter(
        link = new QmpLink({ path, loop, ...expected === undefined ? {} : { expected } }),
      );
    });
    await body({
      rig,
      path,
      link: () => {
        assert(link !== undefined);
        return link;
      },
    });
    await rig.close();
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
  assertEquals(openFdCount(), before, "no descriptor is left");
}

function downs(rig: AdapterRig): unknown[] {
  return rig.of("SEAM_DOWN").map(({ fields }) => fields["reason"]);
}

function texts(rig: AdapterRig): unknown[] {
  return rig.of("ERROR").map(({ fields }) => fields["text"]);
}

Deno.test("no socket: one SEAM_DOWN, one ERROR, and it is found when it comes", async () => {
  await inPlace(async ({ rig, path }) => {
    rig.open();
    await rig.event("SEAM_DOWN");
    await rig.forMs(400);
    assertEquals(downs(rig), [SEAM_REASON.PROCESS_GONE]);
    assertEquals(texts(rig), ["there is no QMP socket at its path"]);
    assertEquals((await rig.answered(rig.operate(KIND.CMD_VM, VM_OP.STOP))).code, CODE["seam-down"]);
    await using peer = new ScriptedQmp(path);
    await rig.event("SEAM_UP");
    assertEquals(peer.connections, 1);
    assertEquals(rig.of("ERROR").length, 1);
  });
});

Deno.test("nobody listens, not a socket, a socket of another kind, a path that is too long", async () => {
  await inPlace(async ({ rig, path }) => {
    const listener = Deno.listen({ transport: "unix", path: `${path}.real` });
    await Deno.rename(`${path}.real`, path);
    listener.close();
    rig.open();
    await rig.event("SEAM_DOWN");
    assertEquals([downs(rig), texts(rig)], [[SEAM_REASON.PROCESS_GONE], [
      "nobody listens on the QMP socket",
    ]]);
  });
  await inPlace(async ({ rig, path }) => {
    await Deno.writeTextFile(path, "");
    rig.open();
    await rig.event("SEAM_DOWN");
    assertEquals(downs(rig), [SEAM_REASON.PROCESS_GONE]);
  });
  using rig = new AdapterRig((loop) =>
    new VmhostAdapter(new QmpLink({ path: `/tmp/${"x".repeat(120)}`, loop }))
  );
  rig.open();
  await rig.event("SEAM_DOWN");
  assertEquals([downs(rig), texts(rig)], [[SEAM_REASON.PROTOCOL_ERROR], ["the QMP path cannot be used"]]);
  await rig.close();
});

Deno.test("no greeting within a second: told as held by another, then used when it comes", async () => {
  await inPlace(async ({ rig, path, link }) => {
    await using peer = new ScriptedQmp(path);
    peer.greets = false;
    const startedMs = performance.now();
    rig.open();
    await rig.event("SEAM_DOWN");
    assertLess(performance.now() - startedMs, 120_000);
    assertEquals([downs(rig), texts(rig)], [
      [SEAM_REASON.HEARTBEAT_STALE],
      ["no QMP greeting: another client has it"],
    ]);
    assertEquals([link().state, rig.loop.armed], ["held", 0]);
    // Who asks something of the VM now is told the same.
    assertMatch(link().outlook.away, /^no QMP greeting: another client has it: give vmsig a monitor/);
    await peer.say('{"QMP": {"version": {}, "capabilities": []}}\r\n');
    await rig.event("SEAM_UP");
    assertEquals([link().generation, peer.connections], [1, 1]);
  });
});

Deno.test("a peer that closes in the middle of a reply answers what was under way; it is tried again", async () => {
  await inPlace(async ({ rig, path, link }) => {
    await using peer = new ScriptedQmp(path);
    rig.open();
    await rig.event("SEAM_UP");
    peer.script = () => undefined;
    const tickets = Array.from({ length: 12 }, () => rig.operate(KIND.CMD_VM, VM_OP.STOP));
    await rig.until("the commands", () => peer.orders.length >= 8);
    await peer.say('{"return": {}, "id"');
    peer.hangUp();
    const endedMs = performance.now();
    for (const ticket of tickets) assertEquals((await rig.answered(ticket)).code, CODE["seam-down"]);
    await rig.event("SEAM_DOWN");
    assertLess(performance.now() - endedMs, 120_000);
    assertEquals(downs(rig), [SEAM_REASON.PEER_CLOSED], "its process lives on");
    await rig.event("SEAM_UP", 2);
    assertEquals([link().generation, peer.connections], [2, 2]);
    assertEquals(rig.of("VM_LIFECYCLE").length, 2, "the state is told again");
  });
});

Deno.test("garbage is a protocol error, told once however often it comes", async () => {
  await inPlace(async ({ rig, path }) => {
    await using peer = new ScriptedQmp(path);
    rig.open();
    await rig.event("SEAM_UP");
    peer.greets = false;
    peer.script = () => undefined;
    const ticket = rig.operate(KIND.CMD_VM, VM_OP.STOP);
    await peer.say("SSH-2.0-OpenSSH_9.2\r\n");
    await rig.event("SEAM_DOWN");
    assertEquals((await rig.answered(ticket)).code, CODE["seam-down"]);
    for (let i = 2; i < 5; i++) {
      await rig.until("it to connect again", () => peer.connections >= i);
      await peer.say("SSH-2.0-OpenSSH_9.2\r\n");
    }
    await rig.forMs(50);
    assertEquals([downs(rig), texts(rig)], [[SEAM_REASON.PROTOCOL_ERROR], ["what QMP sends is not QMP"]]);
  });
});

Deno.test("a line without end is a protocol error and no growth without bound", async () => {
  await inPlace(async ({ rig, path }) => {
    await using peer = new ScriptedQmp(path);
    rig.open();
    await rig.event("SEAM_UP");
    const megabyte = "x".repeat(1024 * 1024);
    const flood = (async () => {
      for (let i = 0; i < 20; i++) await peer.say(megabyte);
    })();
    await rig.event("SEAM_DOWN");
    assertEquals(downs(rig), [SEAM_REASON.PROTOCOL_ERROR]);
    await flood;
  });
});

Deno.test("pauses between tries grow to a second and no further", async () => {
  await inPlace(async ({ rig, path }) => {
    await using peer = new ScriptedQmp(path);
    peer.greets = false;
    rig.open();
    const times: number[] = [];
    for (let i = 1; i <= 8; i++) {
      await rig.until("a connection", () => peer.connections >= i);
      times.push(performance.now());
      await peer.say("no\n");
    }
    const pauses = times.slice(1).map((time, i) => time - (times[i] ?? 0));
    // 50, 100, 200, 400, 800, 1000, 1000 ms; a busy machine only adds.
    [50, 100, 200, 400, 800, 1000, 1000].forEach((ms, i) => assertGreater(pauses[i] ?? 0, ms - 5));
    assertEquals(rig.of("SEAM_DOWN").length, 1);
  });
});

Deno.test("silence after the greeting is told as stale within 3 s; a late answer brings it up", async () => {
  await inPlace(async ({ rig, path, link }) => {
    await using peer = new ScriptedQmp(path);
    rig.open();
    await rig.event("SEAM_UP");
    peer.scriptsStatus = true;
    peer.script = () => undefined;
    const ticket = rig.operate(KIND.CMD_VM, VM_OP.POWERDOWN);
    const silentMs = performance.now();
    await rig.event("SEAM_DOWN");
    assertLess(performance.now() - silentMs, 120_000);
    assertEquals(downs(rig), [SEAM_REASON.HEARTBEAT_STALE]);
    assertEquals((await rig.answered(ticket)).code, CODE["timed-out"]);
    assertEquals([link().state, rig.loop.armed], ["stale", 0]);
    assertMatch(link().outlook.away, /^QEMU does not answer on QMP: it is stopped \(SIGSTOP\) or stuck/);
    peer.scriptsStatus = false;
    peer.status = "paused";
    const late = peer.commands.findLast((command) => command.execute === "system_powerdown");
    await peer.say(doneLine(late));
    await rig.event("SEAM_UP", 2);
    assertEquals(rig.of("VM_LIFECYCLE").at(-1)?.fields["state"], VM_STATE_NUMBER.PAUSED);
    assertEquals([link().generation, peer.connections], [2, 1]);
  });
});

Deno.test("silence within the handshake is told; the late answers bring it up all the same", async () => {
  await inPlace(async ({ rig, path, link }) => {
    await using peer = new ScriptedQmp(path);
    peer.silent = true;
    rig.open();
    await rig.event("SEAM_DOWN");
    assertEquals([downs(rig), link().state], [[SEAM_REASON.HEARTBEAT_STALE], "stale"]);
    peer.silent = false;
    await peer.say(doneLine(peer.commands[0]));
    await rig.event("SEAM_UP");
    assertEquals([link().generation, peer.connections, rig.of("SEAM_DOWN").length], [1, 1, 1]);
    assertEquals((await rig.answered(rig.operate(KIND.CMD_VM, VM_OP.STOP))).code, CODE.ok);
  });
});

Deno.test("a peer that talks is not asked for its pulse, one that is quiet is", async () => {
  await inPlace(async ({ rig, path }) => {
    await using peer = new ScriptedQmp(path);
    rig.open();
    await rig.event("SEAM_UP");
    const asked = () => peer.commands.filter(({ execute }) => execute === "query-status").length;
    assertEquals(asked(), 1, "when it came up");
    // On a machine that is too busy to let it talk for a second it was quiet, and was asked: once more then.
    for (let isShown = false; !isShown;) {
      const before = asked();
      let longestMs = 0;
      let lastMs = performance.now();
      for (let i = 0; i < 15; i++) {
        await peer.event("RTC_CHANGE", { offset: 0 });
        await rig.forMs(100);
        longestMs = Math.max(longestMs, performance.now() - lastMs);
        lastMs = performance.now();
      }
      isShown = asked() === before;
      assert(isShown || longestMs > 1000, "it talked all the time, and was asked");
    }
    const talked = asked();
    const startedMs = performance.now();
    await rig.until("to be asked again and again", () => asked() >= talked + 2);
    assert(performance.now() - startedMs > 1000, "and not as fast as it can");
  });
});

Deno.test("a reply torn byte by byte, slowly, is a reply", async () => {
  await inPlace(async ({ rig, path }) => {
    await using peer = new ScriptedQmp(path);
    rig.open();
    await rig.event("SEAM_UP");
    peer.script = () => undefined;
    const ticket = rig.operate(KIND.CMD_VM, VM_OP.CONT);
    await rig.until("the command", () => peer.orders.length > 0);
    for (const byte of doneLine(peer.orders[0])) {
      await peer.say(byte);
      await rig.forMs(5);
    }
    assertEquals((await rig.answered(ticket)).code, CODE.ok);
  });
});

Deno.test("quit is ok when the stream ends without an answer", async () => {
  await inPlace(async ({ rig, path }) => {
    await using peer = new ScriptedQmp(path);
    rig.open();
    await rig.event("SEAM_UP");
    peer.script = () => undefined;
    const quit = rig.operate(KIND.CMD_VM, VM_OP.QUIT);
    const stop = rig.operate(KIND.CMD_VM, VM_OP.STOP);
    await rig.until("the commands", () => peer.orders.length === 2);
    peer.hangUp();
    assertEquals((await rig.answered(quit)).code, CODE.ok);
    assertEquals((await rig.answered(stop)).code, CODE["seam-down"]);
  });
});

Deno.test("200 comings and goings leave no descriptor, no watch, no timer", async () => {
  await inPlace(async ({ rig, path }) => {
    await using peer = new ScriptedQmp(path);
    const before = openFdCount();
    for (let i = 1; i <= 200; i++) {
      rig.open();
      await rig.event("SEAM_UP", i);
      await rig.close();
      assertEquals(openFdCount(), before);
    }
    assertEquals(peer.connections, 200);
    rig.open();
  });
});

Deno.test("the process that named the path listens there: it comes up", async () => {
  await inPlace(async ({ rig, path, link }) => {
    await using _peer = new ScriptedQmp(path);
    rig.open();
    await rig.event("SEAM_UP");
    assertEquals(link().pid, Deno.pid);
  }, { pid: Deno.pid, started: startOf(Deno.pid) });
});

Deno.test("another process listens where one said that its monitor is: refused, told once, and hardly disturbed", async () => {
  const impostors: ProcessIdentity[] = [
    { pid: Deno.ppid, started: startOf(Deno.ppid) },
    // The same number, and another process had it.
    { pid: Deno.pid, started: "1" },
    { pid: 2 ** 30, started: "" },
  ];
  for (const expected of impostors) {
    await inPlace(async ({ rig, path, link }) => {
      await using peer = new ScriptedQmp(path);
      rig.open();
      await rig.event("SEAM_DOWN");
      const startedMs = performance.now();
      await rig.forMs(1200);
      const passedMs = performance.now() - startedMs;
      assertEquals(downs(rig), [SEAM_REASON.NO_PERMISSION]);
      assertEquals(texts(rig), ["another process listens on the QMP path"]);
      assertEquals([peer.commands, link().state], [[], "pausing"], "nothing was said to it");
      assertLess(peer.connections, 4 * passedMs / 1200);
      assertEquals((await rig.answered(rig.operate(KIND.CMD_VM, VM_OP.STOP))).code, CODE["seam-down"]);
    }, expected);
  }
});

Deno.test("a listener whose process has ended is nobody's, though another has its socket", async () => {
  const dir = await Deno.makeTempDir({ prefix: "vmsig-qmp-" });
  const path = `${dir}/q`;
  // The parent listens, ends, and leaves the socket to its child.
  const code =
    `import os,socket,sys,time\ns=socket.socket(socket.AF_UNIX)\ns.bind(sys.argv[1])\ns.listen()\nprint(os.getpid(),flush=True)\nsys.stdin.readline()\nif os.fork()==0:\n print(os.getpid(),flush=True)\n time.sleep(60)`;
  const parent = new Deno.Command("python3", {
    args: ["-c", code, path],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const reader = parent.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let child = 0;
  try {
    const pid = Number((await reader.read()).value);
    const expected = { pid, started: startOf(pid) };
    const writer = parent.stdin.getWriter();
    await writer.write(new TextEncoder().encode("\n"));
    await writer.close();
    child = Number((await reader.read()).value);
    await parent.status;
    using rig = new AdapterRig((loop) => new VmhostAdapter(new QmpLink({ path, loop, expected })));
    rig.open();
    await rig.event("SEAM_DOWN");
    assertEquals(downs(rig), [SEAM_REASON.NO_PERMISSION]);
    await rig.close();
  } finally {
    if (child > 0) Deno.kill(child, "SIGKILL");
    await reader.cancel();
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("what a user of the monitor throws is a protocol error of it: the seam goes down and comes back", async () => {
  await inPlace(async ({ rig, path, link }) => {
    await using peer = new ScriptedQmp(path);
    rig.open();
    await rig.event("SEAM_UP");
    let isBroken = true;
    const user = {
      onLinkUp: () => {},
      onLinkDown: () => {},
      onQmpEvent: () => {
        if (!isBroken) return;
        isBroken = false;
        throw new TypeError("an event that nobody thought of");
      },
    };
    link().use(user);
    await peer.event("ODD", {});
    await rig.event("SEAM_DOWN");
    assertEquals(downs(rig), [SEAM_REASON.PROTOCOL_ERROR]);
    await rig.event("SEAM_UP", 2);
    assertEquals(rig.loop.faults.counts.get("descriptor"), 1);
    link().leave(user);
  });
});
