/**
 * `vmsig doctor` judges by the config: what nobody asked for is not missing, and what it says holds when it
 * is tried.
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { listenUnix, SOCKET, unlinkSocket } from "../../../ffi/unix_socket.ts";
import {
  examineConfig,
  examineSocket,
  examineUinput,
  socketOf,
} from "../../../src/client/cli/daemon_check.ts";
import { parseConfig } from "../../../src/daemon/config.ts";
import { planServe } from "../../../src/daemon/serve_plan.ts";
import { DaemonProcess, vmsig } from "../../fixtures/daemon_process.ts";
import "../ffi/loaded_shim.ts";

interface Finding {
  readonly check: string;
  readonly state: string;
  readonly found: string;
  readonly remedy?: string;
}

async function doctor(...words: string[]): Promise<{ code: number; of: (check: string) => Finding }> {
  const { code, text, errors } = await vmsig(["doctor", "--json", ...words]);
  assertEquals(errors, "");
  const findings = text.trim().split("\n").map((line) => JSON.parse(line) as Finding);
  for (const { state, remedy } of findings) assertEquals(state === "ok", remedy === undefined);
  assertEquals(code, findings.some(({ state }) => state === "missing") ? 3 : 0);
  return { code, of: (check) => findings.find((each) => each.check === check) as Finding };
}

function withFolder(body: (folder: string) => Promise<void> | void): () => Promise<void> {
  return async () => {
    const folder = Deno.makeTempDirSync({ prefix: "vmsig-doctor-" });
    try {
      await body(folder);
    } finally {
      Deno.removeSync(folder, { recursive: true });
    }
  };
}

Deno.test("a daemon that serves: nothing is missing, whether or not there is a /dev/uinput", async () => {
  await using daemon = await DaemonProcess.start({ stubs: 1 });
  // The socket that only the config names is the one that is looked at.
  const config = `${daemon.folder}/named.toml`;
  Deno.writeTextFileSync(config, `[daemon]\nsocket = "${daemon.socket}"\n`);
  for (const words of [["--config", config], ["--config", daemon.configPath, "--socket", daemon.socket]]) {
    const { code, of } = await doctor(...words);
    assertEquals(code, 0);
    assertEquals([of("socket").state, of("socket").found], ["ok", daemon.socket]);
    assertMatch(of("daemon").found, /^it answers; uid /);
    assert(of("uinput").state !== "missing");
  }
});

Deno.test(
  "uinput is missing only where an endpoint of the config or of the trigger directory asks for it",
  withFolder((folder) => {
    const config = `${folder}/vmsigd.toml`;
    const socket = `${folder}/control.sock`;
    const write = (toml: string) => Deno.writeTextFileSync(config, toml);
    const look = () => examineUinput(examineConfig(config).config, socket);
    write("");
    const unasked = look();
    if (unasked.state === "ok") return;
    assertEquals(unasked.state, "note");
    write('[[endpoint]]\nname = "web"\nqmp = "/run/web.qmp"\ninput = "qmp"\n');
    assertEquals(look().state, "note");
    write('[[endpoint]]\nname = "web"\nqmp = "/run/web.qmp"\ninput = "uinput"\n');
    assertEquals(look().state, "missing");
    assertStringIncludes(look().found, "web");
    write("");
    Deno.mkdirSync(`${folder}/endpoints.d`);
    Deno.writeTextFileSync(`${folder}/endpoints.d/broken`, "name = 3\n");
    assertEquals(look().state, "note");
    Deno.writeTextFileSync(`${folder}/endpoints.d/db`, 'name = "db"\ninput = "uinput"\n');
    assertEquals(look().state, "missing");
    assertStringIncludes(look().found, "db");
    write(`[discovery]\ntrigger_dir = "${folder}/nowhere"\n`);
    assertEquals(look().state, "note");
  }),
);

Deno.test(
  "the socket: ok only where there is one, and where it says that it can be made, it can",
  withFolder((folder) => {
    const path = `${folder}/deep/er/control.sock`;
    const look = (at: string) => examineSocket(() => at);
    const none = look(path);
    assertEquals(none.state, "note");
    assertMatch(none.found, /a daemon of this user can make it$/);
    assertEquals([...Deno.readDirSync(folder)], [], "nothing is left behind");
    // Tried: the daemon's own plan makes the folder, and the socket is made there.
    planServe({ configPath: undefined, socketPath: path, stub: { count: 1, rateHz: 0 } });
    using socket = listenUnix(path, SOCKET.SEQPACKET);
    assertEquals(look(path), { check: "socket", state: "ok", found: path });
    unlinkSocket(path);
    socket.close();
    Deno.writeTextFileSync(path, "");
    assertMatch(look(path).found, /is there, and is not a socket$/);
    assertEquals(look(path).state, "missing");
    // Below a file nothing can be made, whoever tries.
    const below = look(`${path}/x/control.sock`);
    assertEquals(below.state, "missing");
    assertStringIncludes(below.remedy ?? "", "is not a folder");
    assertEquals(look("/proc/vmsig/control.sock").state, "missing");
  }),
);

Deno.test("which socket is meant: --socket, then the config that was named, then VMSIG_SOCKET", () => {
  const config = parseConfig('[daemon]\nsocket = "/c/control.sock"\n', "x");
  const environment = "/e/control.sock";
  assertEquals(socketOf({ given: "/g.sock", environment, byConfig: true, config }), "/g.sock");
  assertEquals(socketOf({ given: undefined, environment, byConfig: false, config }), "/e/control.sock");
  assertEquals(socketOf({ given: undefined, environment, byConfig: true, config }), "/c/control.sock");
  assertEquals(
    socketOf({ given: undefined, environment: undefined, byConfig: false, config }),
    "/c/control.sock",
  );
});

Deno.test(
  "a config that cannot be read or is not valid is missing, with what is wrong",
  withFolder(async (folder) => {
    const absent = await doctor("--config", `${folder}/none.toml`);
    assertEquals([absent.code, absent.of("config").state], [3, "missing"]);
    Deno.writeTextFileSync(`${folder}/bad.toml`, "[daemon]\nlgo = 1\n");
    const bad = await doctor("--config", `${folder}/bad.toml`);
    assertStringIncludes(bad.of("config").remedy ?? "", "bad.toml:2: daemon.lgo");
  }),
);
