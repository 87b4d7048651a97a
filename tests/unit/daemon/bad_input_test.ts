/**
 * What the daemon gets that it should not get, and what a person sees then: one clear line, and everybody
 * else is served on.
 * @module
 */
import { assert, assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import type { EndpointId } from "../../../src/base/ids.ts";
import { monotonicClock } from "../../../ffi/clock.ts";
import type { Client } from "../../../src/client/client.ts";
import { VM_OP } from "../../../src/event/body_number.ts";
import { KIND } from "../../../src/event/kind.ts";
import { SOURCE } from "../../../src/event/source.ts";
import { RawControl } from "../../bench/raw_control.ts";
import { configText, DaemonProcess, until, vmsig } from "../../fixtures/daemon_process.ts";

const endpoint = (name: string, more = "") => `name = "${name}"\nqmp = "/nonexistent/${name}.qmp"\n${more}\n`;
const roster = (client: Client) => client.roster.list().map((entry) => entry.name).sort();
const lines = (text: string, part: string) => text.split("\n").filter((line) => line.includes(part));

Deno.test("two triggers for one vmid, or one name: the first has it, the second waits for it", async () => {
  await using daemon = await DaemonProcess.start();
  await using client = await daemon.connect("watch");
  daemon.drop("first", endpoint("a", "vmid = 7"));
  await until("a", () => roster(client).join() === "a");
  daemon.drop("second", endpoint("b", "vmid = 7"));
  await daemon.says(/cannot attach b of file:second: vmid 7 is a's already/);
  daemon.drop("third", endpoint("a"));
  await daemon.says(/cannot attach a of file:third: the name a is taken/);
  daemon.take("first");
  await until("both have their turn", () => roster(client).join() === "a,b");
  assertEquals(client.roster.get(7 as EndpointId)?.name, "b", "the number is the vmid's");
  assertEquals(lines(daemon.logText, "cannot attach").length, 2, "each is told once");
});

Deno.test("a file taken away and put back at once is not an error", async () => {
  await using daemon = await DaemonProcess.start();
  await using client = await daemon.connect("watch");
  for (let round = 0; round < 5; round++) {
    daemon.drop("vm", endpoint("vm", `vmid = ${round + 1}`));
    await until("it is there", () => client.roster.list().some((entry) => entry.vmid === round + 1));
    daemon.take("vm");
  }
  daemon.drop("vm", endpoint("vm", "vmid = 60"));
  await until("it is there", () => client.roster.list().some((entry) => entry.vmid === 60));
  assertEquals(lines(daemon.logText, "error"), []);
});

Deno.test("a trigger file that is half an endpoint is told with its line, and attached when it is whole", async () => {
  await using daemon = await DaemonProcess.start();
  await using client = await daemon.connect("watch");
  daemon.drop("vm", 'name = "vm"\nqmp = "/nonex');
  await daemon.says(/endpoints\.d\/vm:2/);
  daemon.drop("vm", 'name = "vm"\nbackend = 3\n');
  await daemon.says(/endpoints\.d\/vm:2: backend/);
  assertEquals(roster(client), []);
  daemon.drop("vm", endpoint("vm"));
  await until("it is there", () => roster(client).join() === "vm");
});

Deno.test("a 65th endpoint waits until one goes", async () => {
  await using daemon = await DaemonProcess.start();
  await using client = await daemon.connect("watch");
  for (let i = 0; i < 64; i++) daemon.drop(`vm${i}`, endpoint(`vm${i}`));
  await until("64", () => roster(client).length === 64);
  daemon.drop("late", endpoint("late"));
  await daemon.says(/cannot attach late of file:late: all 64 endpoints are taken; detach one/);
  daemon.take("vm17");
  await until("the late one", () => roster(client).includes("late"));
  assertEquals(client.roster.find("late"), 17, "the number that was free");
});

Deno.test("a QMP path that is no monitor: the seams say why, and the daemon goes on", async () => {
  await using daemon = await DaemonProcess.start({ stubs: 1 });
  await using client = await daemon.connect("watch");
  await Deno.writeTextFile(`${daemon.folder}/plain`, "");
  daemon.drop("plain", `name = "plain"\nqmp = "${daemon.folder}/plain"\n`);
  await daemon.says(/qmp\[plain\]: the QMP path is not a socket/);
  // Whoever asks something of it is told why, and what to do.
  for (const line of [["vm", "plain", "stop"], ["vm", "plain", "query"], ["key", "plain", "a"]]) {
    const { code, errors } = await vmsig([...line, "--socket", daemon.socket]);
    assertEquals(code, 1);
    assertMatch(errors, /^vmsig: seam-down: Cannot .* plain: the QMP path is not a socket: .+\n$/);
  }
  daemon.drop("self", `name = "self"\nqmp = "${daemon.socket}"\n`);
  await daemon.says(/qmp\[self\]: the QMP path is not a stream socket/);
  // A stranger who answers, and not in QMP.
  using listener = Deno.listen({ transport: "unix", path: `${daemon.folder}/http.sock` });
  const served = (async () => {
    using connection = await listener.accept();
    await connection.write(new TextEncoder().encode("HTTP/1.1 400 Bad Request\r\n\r\n"));
  })();
  daemon.drop("web", `name = "web"\nqmp = "${daemon.folder}/http.sock"\n`);
  await daemon.says(/qmp\[web\]: what QMP sends is not QMP/);
  await served;
  assertEquals((await client.vmState("stub0")).state, "running");
});

Deno.test("SIGHUP with a broken config is one error; the old one stays in force, whole", async () => {
  await using daemon = await DaemonProcess.start({ config: `[[endpoint]]\n${endpoint("old")}` });
  await using client = await daemon.connect("watch");
  await until("old", () => roster(client).join() === "old");
  const broken = `[[endpoint]]\n${endpoint("new")}[[admission]]\nuid = "root"\n`;
  await daemon.reload(broken, /Cannot use the config: .*vmsigd\.toml:\d+: admission\[0\]\.uid/);
  await Deno.remove(daemon.configPath);
  const from = daemon.logText.length;
  daemon.kill("SIGHUP");
  await daemon.says(/Cannot read the config/, from);
  assertEquals(roster(client), ["old"]);
  assertEquals(lines(daemon.logText, "error").length, 2, daemon.logText);
  await daemon.reload(configText(`[[endpoint]]\n${endpoint("new")}`));
  await until("new", () => roster(client).join() === "new");
});

Deno.test("a second daemon on the same socket is one line; a dead one's socket is taken over", async () => {
  const folder = await Deno.makeTempDir({ prefix: "vmsig-daemon-" });
  try {
    {
      await using daemon = await DaemonProcess.start({ folder, stubs: 1 });
      const second = await vmsig(["serve", "--config", daemon.configPath, "--socket", daemon.socket]);
      assertEquals([second.code, second.text], [1, ""]);
      assertMatch(
        second.errors,
        new RegExp(
          `^vmsig: busy: Cannot serve with the runtime directory .*: process ${daemon.pid} holds [^\\n]*\\n$`,
        ),
      );
      // One that keeps its own things elsewhere.
      await Deno.mkdir(`${folder}/elsewhere`);
      await Deno.writeTextFile(
        `${folder}/third.toml`,
        `[daemon]\nruntime_dir = "${folder}/elsewhere"\n${configText("")}`,
      );
      const third = await vmsig(["serve", "--config", `${folder}/third.toml`, "--socket", daemon.socket]);
      assertEquals([third.code, third.text], [1, ""]);
      assertMatch(
        third.errors,
        new RegExp(
          `^vmsig: busy: Cannot listen on .*: another process listens there; stop it \\(pid ${daemon.pid}\\) [^\\n]*\\n$`,
        ),
      );
      await using client = await daemon.connect("still served");
      assertEquals((await client.vmState("stub0")).state, "running");
      await daemon.crash();
    }
    assert(Deno.lstatSync(`${folder}/control.sock`).isSocket, "left behind");
    await using daemon = await DaemonProcess.start({ folder, stubs: 1 });
    await using client = await daemon.connect("after");
    assertEquals((await client.vmState("stub0")).state, "running");
    await client.close();
    assertEquals((await daemon.stop()).code, 0);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** Removes a folder; false when something was made in it meanwhile, as a daemon does with its own. */
async function isRemoved(folder: string): Promise<boolean> {
  try {
    await Deno.remove(folder, { recursive: true });
    return true;
  } catch (error) {
    if (/os error 39\b/.test(String(error))) return false;
    throw error;
  }
}

Deno.test("the sockets' folder deleted under the daemon: who is in goes on, and new ones come in again", async () => {
  await using daemon = await DaemonProcess.start({ stubs: 1 });
  await using client = await daemon.connect("in");
  assertEquals((await client.vmState("stub0")).state, "running");
  for (let round = 0; round < 2; round++) {
    const from = daemon.logText.length;
    await until("nothing is in the folder any more", () => isRemoved(daemon.folder));
    await daemon.says(/error .*control socket .* was removed/, from);
    await daemon.says(/listening again/, from);
    assertEquals((await client.vmState("stub0")).state, "running");
    await using late = await daemon.connect("late");
    assertEquals((await late.vmState("stub0")).state, "running");
    await until("the metrics are there again", async () => {
      return await daemon.metric("vmsig_controls").then((count) => count >= 2, () => false);
    });
    await until("the trigger directory is there again", () => {
      return [...Deno.readDirSync(daemon.folder)].some((entry) => entry.name === "endpoints.d");
    });
    daemon.drop("vm", endpoint("vm"));
    await until("triggers are seen again", () => roster(client).includes("vm"));
  }
  Deno.removeSync(daemon.socket);
  await until(
    "the socket alone",
    () => daemon.connect("x").then((it) => it.close().then(() => true), () => false),
  );
  assertEquals((await daemon.stop()).code, 0);
});

Deno.test("a disk that fills up while recording leaves a good file and one line", async () => {
  await using daemon = await DaemonProcess.start({ stubs: 1 });
  const none = await vmsig(["record", "-o", "/dev/full", "--for", "100", "--socket", daemon.socket]);
  assertEquals(none.code, 1);
  assertMatch(
    none.errors,
    /^vmsig: refused: Cannot write the recording \/dev\/full: [^\n]*make room[^\n]*\n$/,
  );
});

Deno.test("events carry the monotonic clock: setting the wall clock moves nothing", async () => {
  await using daemon = await DaemonProcess.start({ stubs: 1 });
  await using client = await daemon.connect("clock");
  const before = monotonicClock.nowNs();
  const answer = await client.vm("stub0", "stop");
  const after = monotonicClock.nowNs();
  assert(before <= answer.tsNs && answer.tsNs <= after, `${before} <= ${answer.tsNs} <= ${after}`);
  // Nothing on the loop's thread looks at the wall clock, which may jump.
  const folders = [
    "core",
    "context",
    "access",
    "adapters",
    "controls/socket",
    "controls/inproc",
    "roster",
    "qemu",
    "protocol",
  ];
  for (const folder of folders) {
    for (const path of sources(new URL(`../../../src/${folder}/`, import.meta.url).pathname)) {
      const text = Deno.readTextFileSync(path);
      assert(!/Date\.now|new Date\(|performance\.timeOrigin/.test(text), `${path} uses the wall clock`);
    }
  }
});

function sources(folder: string): string[] {
  return [...Deno.readDirSync(folder)].flatMap((entry) =>
    entry.isDirectory
      ? sources(`${folder}${entry.name}/`)
      : entry.name.endsWith(".ts")
      ? [`${folder}${entry.name}`]
      : []
  );
}

Deno.test("a control that reads nothing is closed when urgent events fill its queue, and the log says who, why and what helps", async () => {
  await using daemon = await DaemonProcess.start({ stubs: 1, config: "[daemon]\nqueue_events = 128\n" });
  using silent = new RawControl(daemon.socket, 1 << SOURCE.VMHOST);
  using hand = new RawControl(daemon.socket, 1 << SOURCE.CORE);
  // What the socket itself takes comes first; each is a change of state, which is told to all.
  for (let i = 0; i < 2000; i++) {
    for (const op of [VM_OP.STOP, VM_OP.CONT]) {
      hand.ask(hand.frameOf(KIND.CMD_VM, 0, (event) => event.words[0] = op));
    }
  }
  await daemon.says(
    /warn .*control closed: its queue is full of urgent events control=bench queue_events=128 remedy=".*queue_events/,
  );
  assertThrows(
    () => {
      for (;;) silent.await(() => false);
    },
    Error,
    "closed the socket",
  );
  // Nobody else notices.
  RawControl.mustBeOk(hand.ask(hand.frameOf(KIND.CMD_VM, 0, (event) => event.words[0] = VM_OP.STOP)));
});

Deno.test("an orderly stop: leases end, commands are answered, files and sockets are gone", async () => {
  await using daemon = await DaemonProcess.start({ stubs: 2 });
  await using client = await daemon.connect("holder");
  const lease = await client.acquire("stub0", "input");
  const { code } = await daemon.stop();
  assertEquals(code, 0);
  assertEquals(await lease.lost !== undefined, true);
  // The lease's end is told before the connection's.
  await until("the connection has ended", () => client.fault !== undefined);
  assertStringIncludes(`${client.fault?.message}`, "closed");
  const left = [...Deno.readDirSync(daemon.folder)].map((entry) => entry.name).sort();
  assertEquals(left, ["endpoints.d", "vmsigd.toml"]);
});
