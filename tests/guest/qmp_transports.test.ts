/**
 * Ways to the monitor of a real QEMU other than a path: TCP on loopback, and a connection that was given. And
 * a QEMU whose program is called something else.
 * @module
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { openFdCount } from "../../ffi/owned_fd.ts";
import { connectUnix, SOCKET, socketPair } from "../../ffi/unix_socket.ts";
import { VmhostAdapter } from "../../src/adapters/vmhost/vmhost_adapter.ts";
import { SEAM_REASON, VM_OP } from "../../src/event/body_number.ts";
import { CODE } from "../../src/base/codes.ts";
import { KIND } from "../../src/event/kind.ts";
import { GivenTransport } from "../../src/qemu/monitor/given_transport.ts";
import { QmpLink } from "../../src/qemu/monitor/qmp_link.ts";
import type { QmpTransport } from "../../src/qemu/monitor/qmp_transport.ts";
import { transportTo } from "../../src/qemu/monitor/transport_to.ts";
import type { HmpReply } from "../../src/qemu/protocol/hmp.ts";
import { probeHost } from "../../src/roster/host_probe.ts";
import { ProcHost } from "../../src/roster/proc_host.ts";
import { AdapterRig } from "../fixtures/adapter_rig.ts";
import { type Qemu, startFirmware } from "./qemu.ts";
import { TestQmp } from "./test_qmp.ts";

async function withLink(
  transport: QmpTransport,
  body: (rig: AdapterRig, link: QmpLink) => Promise<void>,
): Promise<void> {
  let link: QmpLink | undefined;
  using rig = new AdapterRig((loop) => new VmhostAdapter(link = new QmpLink({ path: transport, loop })));
  rig.open();
  assert(link !== undefined);
  await body(rig, link);
  await rig.close();
}

/** The port that the kernel gave to a monitor on port 0. */
async function tcpPort(qemu: Qemu): Promise<number> {
  await using qmp = await TestQmp.connect(qemu.qmpPaths[0] ?? "");
  const chardevs = await qmp.execute("query-chardev") as { label: string; filename: string }[];
  const name = chardevs.find(({ label }) => label === "tcp")?.filename ?? "";
  return Number(/:(\d+),server/.exec(name)?.[1]);
}

function withTcp(host: string): Promise<Qemu> {
  const chardev = `socket,id=tcp,host=${host},port=0,server=on,wait=off`;
  return startFirmware({ extraArgs: ["-chardev", chardev, "-mon", "chardev=tcp,mode=control"] });
}

Deno.test("a monitor over TCP: it comes up, obeys, passes no descriptors, and its end is told", async () => {
  const before = openFdCount();
  {
    await using qemu = await withTcp("127.0.0.1");
    const port = await tcpPort(qemu);
    for (const host of ["127.0.0.1", "localhost"]) {
      await withLink(transportTo(`tcp:${host}:${port}`), async (rig, link) => {
        await rig.event("SEAM_UP");
        assertEquals([link.name, link.pid, link.monitorUid], [`tcp:${host}:${port}`, 0, -1]);
        assertEquals((await rig.answered(rig.operate(KIND.CMD_VM, VM_OP.STOP))).code, CODE.ok);
        let refused = "";
        link.execute("getfd", { fdname: "a" }, (reply) => {
          if (reply.outcome === "error") refused = reply.errorText;
        }, { timeoutNs: 1e9, fds: [0] });
        assertMatch(refused, /tcp:.* passes no descriptors, only a unix socket does/);
      });
    }
    await withLink(transportTo(`tcp:127.0.0.1:${port}`), async (rig, link) => {
      await rig.event("SEAM_UP");
      await rig.answered(rig.operate(KIND.CMD_VM, VM_OP.QUIT));
      await rig.event("SEAM_DOWN");
      // Nobody knows which process it was.
      assertEquals(rig.of("SEAM_DOWN")[0]?.fields["reason"], SEAM_REASON.PEER_CLOSED);
      const refusal = "nobody listens on the QMP port";
      await rig.until(refusal, () => rig.of("ERROR").some(({ fields }) => fields["text"] === refusal));
      assertEquals(link.isUp, false);
    });
  }
  assertEquals(openFdCount(), before);
});

Deno.test("a monitor over IPv6, and localhost that is only there", async () => {
  await using qemu = await withTcp("::1");
  const port = await tcpPort(qemu);
  for (const host of ["[::1]", "localhost"]) {
    await withLink(transportTo(`tcp:${host}:${port}`), async (rig, link) => {
      await rig.event("SEAM_UP");
      assertEquals(link.version.slice(0, 2), "7.");
    });
  }
});

Deno.test("a connection that was given is used once, and its end is the end", async () => {
  const before = openFdCount();
  {
    await using qemu = await startFirmware();
    const socket = connectUnix(qemu.qmpPath, SOCKET.STREAM);
    await withLink(new GivenTransport(socket), async (rig, link) => {
      await rig.event("SEAM_UP");
      assertEquals([link.pid, link.passesDescriptors], [qemu.pid, true]);
      await rig.answered(rig.operate(KIND.CMD_VM, VM_OP.QUIT));
      await rig.event("SEAM_DOWN");
      assertEquals(rig.of("SEAM_DOWN")[0]?.fields["reason"], SEAM_REASON.PROCESS_GONE);
      assertEquals([link.state, rig.loop.armed], ["pausing", 0], "there is no other to try");
    });
  }
  assertEquals(openFdCount(), before);
  const [near, far] = socketPair(SOCKET.STREAM);
  {
    using unused = new GivenTransport(near, "a pair");
    assertEquals([unused.name, unused.passesDescriptors], ["a pair", true]);
  }
  far.close();
  assertEquals(openFdCount(), before, "one that nobody used is closed");
});

Deno.test("lines of the human monitor: text, cut to what was asked for; what goes wrong is text too", async () => {
  await using qemu = await startFirmware();
  await withLink(transportTo(qemu.qmpPath), async (rig, link) => {
    const ask = async (line: string, chars?: number): Promise<HmpReply> => {
      let reply: HmpReply | undefined;
      link.hmp(line, (answer) => reply = answer, 60e9, chars);
      await rig.until(`an answer to ${line}`, () => reply !== undefined);
      assert(reply !== undefined);
      return reply;
    };
    const down = await ask("info pci");
    assertEquals(down, { outcome: "unsent" }, "it is not up yet");
    await rig.event("SEAM_UP");
    const pci = await ask("info pci");
    assert(pci.outcome === "text" && !pci.isCut);
    assertMatch(pci.text, /Bus +0, device +0, function 0:\n/);
    const cut = await ask("info pci", 10);
    assertEquals(cut, { outcome: "text", text: pci.text.slice(0, 10), isCut: true });
    const wrong = await ask("no such line");
    assert(wrong.outcome === "text");
    assertMatch(wrong.text, /unknown command/);
  });
});

Deno.test("a QEMU whose program is called something else is found", async () => {
  const dir = await Deno.makeTempDir({ prefix: "vmsig-named-" });
  try {
    const program = `${dir}/vmm`;
    await Deno.copyFile("/usr/bin/qemu-system-x86_64", program);
    const socket = `${dir}/q`;
    const args = [
      "-name",
      "guest=a,,b",
      "-machine",
      "none",
      "-display",
      "none",
      "-nodefaults",
      "-qmp",
    ];
    const process = new Deno.Command(program, {
      args: [...args, `unix:${socket},server=on,wait=off`],
      // A program that was moved does not find its modules.
      env: { QEMU_MODULE_DIR: "/usr/lib/x86_64-linux-gnu/qemu" },
      stdin: "null",
    }).spawn();
    let isRunning = true;
    void process.status.then(() => isRunning = false);
    try {
      const find = async () => (await probeHost(new ProcHost())).find(({ pid }) => pid === process.pid);
      while (isRunning && await find() === undefined) await new Promise((resolve) => setTimeout(resolve, 20));
      const vm = await find();
      assertEquals([vm?.name, vm?.monitors.map(({ path }) => path)], ["a,b", [socket]]);
    } finally {
      if (isRunning) process.kill("SIGKILL");
      await process.status;
    }
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
