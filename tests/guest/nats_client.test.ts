/**
 * What a person does with a VM of another host, beside looking and typing: consoles, programs, files,
 * processes, the mouse, recordings, VNC, a model, over TLS; and what stays on the VM's host says so.
 */
import "../unit/ffi/loaded_shim.ts";
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { Fault } from "../../src/base/fault.ts";
import { waitFor } from "../../src/client/mod.ts";
import { DaemonProcess, join, until, vmsig } from "../fixtures/daemon_process.ts";
import { JoinHost } from "../fixtures/joined_host.ts";
import { NatsServer } from "../fixtures/nats_server.ts";
import { agentChannel, agentFiles, startAgent } from "./agent_payload.ts";
import { McpProcess } from "./mcp_client.ts";
import { startSavedGuest } from "./saved_guest.ts";

const timeoutMs = 120_000;

const rules = `[[admission]]\nuid = ${Deno.uid()}\nendpoints = ["*"]\ncaps = ["*"]\narb_prio = 20\n` +
  `speaks_for = ["nats:*"]\n[[admission]]\nnats = "alice"\nendpoints = ["*"]\ncaps = ["*"]\narb_prio = 20\n`;

Deno.test("nats: consoles, programs, files, processes, mouse, recordings, VNC and a model, from afar", async () => {
  const folder = await Deno.makeTempDir({ prefix: "vmsig-natsclient-" });
  await using _folder = { [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }) };
  await using vm = await startSavedGuest({
    modules: ["virtio_pci", "virtio_console"],
    devices: ["virtio-input"],
    files: await agentFiles(),
    extraArgs: [
      ...agentChannel(`${folder}/ga.sock`),
      ...["-chardev", `socket,id=com3,path=${folder}/com3.sock,server=on,wait=off`],
      ...["-device", "isa-serial,chardev=com3,index=2"],
    ],
  });
  await startAgent(vm.agent);
  const talker = await vm.agent.start("talker", "/dev/ttyS2", "login");
  await talker.lineMatching(/^ready/);
  const config = `[[endpoint]]\nname = "vm"\nqmp = "${vm.qmpPath}"\ninput = "qmp"\n${rules}`;
  await using daemon = await DaemonProcess.start({ config });
  await using server = await NatsServer.start();
  await server.create();
  await using rack = await JoinHost.start({ server, socket: daemon.socket, host: "rack1" });
  const far = server.args("alice");
  await until("all is up", async () => {
    const { text } = await vmsig(["ls", "--wide", ...far]);
    return ["input", "vmhost", "memctx", "console", "agent"].every((seam) => text.includes(seam));
  });
  const run = async (args: readonly string[], wanted: RegExp, code = 0): Promise<string> => {
    const outcome = await vmsig(args);
    assertEquals(outcome.code, code, `${args.join(" ")}: ${outcome.text}${outcome.errors}`);
    assertMatch(outcome.text + outcome.errors, wanted, args.join(" "));
    return outcome.text;
  };

  // A console: found, awaited, written, one writer at a time.
  const listed = await run(["console", "rack1/vm", "list", ...far], /com3 +serial/);
  const port = Number(/^(\d+) +com3/m.exec(listed)?.[1]);
  await using client = await join({ name: "far", nats: server.options("alice") });
  {
    await using console = await client.console("rack1/vm", { port, backlog: true });
    await console.send("\r");
    await console.expect("login: ");
    await console.send("alice\r");
    assertEquals((await console.expect(/hello (\w+)\r\n/)).groups, ["alice"]);
    await using local = await daemon.connect("local");
    await using other = await local.console("vm", { port });
    await assertRejects(() => other.send("x"), Fault, "owns it");
  }

  // Programs and files, byte for byte.
  await run(["exec", "rack1/vm", ...far, "--", "/bin/worker", "echo", "from afar"], /^from afar$/m);
  const text = "a line that travels\n".repeat(20_000);
  await Deno.writeTextFile(`${folder}/there.txt`, text);
  await run(["cp", `${folder}/there.txt`, "rack1/vm:/tmp/there.txt", ...far], /^$/);
  await run(["cp", "rack1/vm:/tmp/there.txt", `${folder}/back.txt`, ...far], /^$/);
  assertEquals(await Deno.readTextFile(`${folder}/back.txt`) === text, true, "a file comes back as it went");

  // Processes: one that runs, one that comes while it is waited for, one that does not.
  await run(["wait", "rack1/vm", "--process", "talker", ...far], /process talker is \d+/);
  await using asking = await join({
    name: "waits",
    nats: server.options("alice"),
    sub: { sources: ["CORE", "VMHOST", "MEMCTX"] },
  });
  const waiting = waitFor(asking, "rack1/vm", { process: "evrec" }, { timeoutMs });
  const recorder = await vm.agent.start("evrec");
  const found = await waiting;
  assert(found.what === "process" && found.pid > 0, JSON.stringify(found));
  await recorder.lineMatching(/^recording/);
  await assertRejects(
    () => waitFor(asking, "rack1/vm", { process: "nosuch" }, { timeoutMs: 1000 }),
    Fault,
    "not within 1000 ms",
  );
  await run(["mem", "rack1/vm", "ps", ...far], /^ *\d+ .*talker/m);
  // What maps memory cannot be done from afar, and says what can.
  await run(["vgpu", "rack1/vm", "status", ...far], /not-supported: .* stays on its host/, 1);
  await run(
    ["watch", "--memory", "rack1/vm:1:0x400000:16", "--count", "1", ...far],
    /not-supported: .* stays on its host/,
    1,
  );

  await run(["mouse", "rack1/vm", "move", "10", "10", ...far], /rack1\/vm: move/);
  await run(["held", "rack1/vm", ...far], /nothing is held/);
  await run(["record", "-o", `${folder}/r.rec`, "--for", "500", ...far], /r\.rec: \d+ events/);

  // A VNC viewer here sees the screen there.
  {
    const args = ["vnc", "rack1/vm", "--listen", `unix:${folder}/vnc.sock`, ...far];
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-q", "-A", "--no-check", new URL("../../main.ts", import.meta.url).pathname, ...args],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    try {
      const viewer = await dial(`${folder}/vnc.sock`);
      assertMatch(new TextDecoder().decode(await viewer.read(12)), /^RFB 003\.008/);
      await viewer.write(new TextEncoder().encode("RFB 003.008\n"));
      assertEquals((await viewer.read(2))[1], 1);
      await viewer.write(Uint8Array.of(1));
      assertEquals([...await viewer.read(4)], [0, 0, 0, 0]);
      await viewer.write(Uint8Array.of(1));
      const init = new DataView((await viewer.read(24)).buffer);
      assert(init.getUint16(0) > 0 && init.getUint16(2) > 0);
      viewer.close();
    } finally {
      child.kill("SIGTERM");
      await child.status;
    }
  }

  // A model.
  {
    await using model = new McpProcess(far);
    await model.open();
    const call = async (name: string, args: object) => JSON.stringify(await model.call(name, args));
    assertMatch(await call("list_vms", {}), /rack1\/vm/);
    assertMatch(await call("screenshot", { vm: "rack1/vm" }), /"type":"image"/);
    assertMatch(
      await call("exec", { vm: "rack1/vm", command: ["/bin/worker", "echo", "from a model"] }),
      /from a model/,
    );
    assertMatch(await call("processes", { vm: "rack1/vm" }), /talker/);
  }
  await asking.close();
  await client.close();
  assertEquals(await rack.stop(), 0);
});

/** A connection that is read by counts of bytes. */
async function dial(path: string) {
  let connection: Deno.UnixConn | undefined;
  await until("the viewers' socket is there", async () => {
    try {
      connection = await Deno.connect({ transport: "unix", path });
      return true;
    } catch {
      return false;
    }
  });
  assert(connection !== undefined);
  const stream = connection;
  return {
    async read(count: number): Promise<Uint8Array<ArrayBuffer>> {
      const bytes = new Uint8Array(count);
      for (let at = 0; at < count;) {
        const some = await stream.read(bytes.subarray(at));
        assert(some !== null, "the server stays");
        at += some;
      }
      return bytes;
    },
    write: (bytes: Uint8Array) => stream.write(bytes),
    close: () => stream.close(),
  };
}
