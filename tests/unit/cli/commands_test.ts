/** The commands as a user runs them: processes of their own, against a daemon that the test scripts. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { ClientEvent } from "../../../src/client/client_event.ts";
import { COMMANDS } from "../../../src/client/cli/command_table.ts";
import { parseCommandLine } from "../../../src/client/cli/command_line.ts";
import { CODE } from "../../../src/base/codes.ts";
import { ROSTER_STATE } from "../../../src/event/body_number.ts";
import { CAP } from "../../../src/event/capability.ts";
import { KIND } from "../../../src/event/kind.ts";
import { SOURCE } from "../../../src/event/source.ts";
import { FakeDaemon, type Peer, type Script } from "../client/fake_daemon.ts";

const MAIN = new URL("../../../main.ts", import.meta.url).pathname;

interface Ran {
  code: number;
  out: string;
  err: string;
}

function command(args: readonly string[], env: Record<string, string> = {}): Deno.Command {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", MAIN, ...args],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    env: { NO_COLOR: "1", ...env },
  });
}

async function vmsig(...args: string[]): Promise<Ran> {
  const { code, stdout, stderr } = await command(args).output();
  const decoder = new TextDecoder();
  return { code, out: decoder.decode(stdout), err: decoder.decode(stderr) };
}

/** Answers as a core would that refuses nothing. */
function agreeable(state = 1): Script {
  return {
    endpoints: ["alpha", "beta"],
    onCommand(command: ClientEvent, peer: Peer) {
      const first = command.view.getUint32(0, true);
      switch (command.kind) {
        case KIND.CMD_ACQUIRE:
          return peer.reply(command, KIND.LEASE_GRANTED, [first, 0, 8, 0, 0]);
        case KIND.CMD_RELEASE:
          return peer.reply(command, KIND.LEASE_RELEASED, [first]);
        case KIND.CMD_LEASE_STATUS:
          return peer.reply(command, KIND.LEASE_STATUS, [first, 1, 4711]);
        case KIND.CMD_QUERY_INPUT:
          return peer.reply(command, KIND.INPUT_HELD, [1, 0, (30 << 16) | 3]);
        case KIND.CMD_VM:
          if (first === 0) return peer.reply(command, KIND.VM_LIFECYCLE, [state, 1]);
      }
      peer.ack(command);
    },
  };
}

async function withDaemon(
  script: Script,
  body: (daemon: FakeDaemon, at: string[]) => Promise<void>,
): Promise<void> {
  await using daemon = new FakeDaemon(script);
  await body(daemon, ["--socket", daemon.path]);
}

function kindsOf(peer: Peer | undefined): string[] {
  return (peer?.commands ?? []).map(({ kindName }) => kindName);
}

Deno.test("ls: columns for a person, objects for a program", async () => {
  await withDaemon({ ...agreeable(), contexts: [0, 1] }, async (_daemon, at) => {
    const table = await vmsig("ls", ...at);
    assertEquals([table.code, table.err], [0, ""]);
    assertEquals(table.out.split("\n"), [
      "#  NAME   STATE  SEAMS                PID   VMID",
      "0  alpha  up     input,vmhost,memctx  4000  100",
      "1  beta   up     input,vmhost,memctx  4001  101",
      "",
    ]);
    const json = await vmsig("ls", "--json", ...at);
    assertEquals(json.out.trim().split("\n").map((line) => JSON.parse(line)), [
      { endpoint: 0, name: "alpha", state: "up", seams: ["input", "vmhost", "memctx"], pid: 4000, vmid: 100 },
      { endpoint: 1, name: "beta", state: "up", seams: ["input", "vmhost", "memctx"], pid: 4001, vmid: 101 },
    ]);
  });
});

Deno.test("record --memory names each VM whose memory it did not copy, and why", async () => {
  const folder = await Deno.makeTempDir({ prefix: "vmsig-record-" });
  try {
    const script: Script = {
      ...agreeable(),
      onJoin: (peer) => {
        peer.error(0, CODE["not-supported"], 0, "its RAM is not shared", SOURCE.MEMCTX);
        peer.roster(2, "gone");
        peer.roster(2, "gone", ROSTER_STATE.GONE);
      },
    };
    await withDaemon(script, async (_daemon, at) => {
      const args = ["record", "--memory", "--for", "300", ...at, "-o"];
      const text = await vmsig(...args, `${folder}/a.cbor`);
      assertEquals([text.code, text.err.trim().split("\n")], [0, [
        "vmsig: the memory of gone was not copied: it was detached before a memory context was announced",
        "vmsig: the memory of alpha was not copied: its RAM is not shared",
        "vmsig: the memory of beta was not copied: no memory context was announced",
      ]]);
      const json = await vmsig(...args, `${folder}/b.cbor`, "--json");
      const { memory, uncopied } = JSON.parse(json.out);
      assertEquals([memory, uncopied.map(({ name }: { name: string }) => name)], [
        [],
        ["gone", "alpha", "beta"],
      ]);
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("ls: a memory seam that is up and has no system yet, or none that is known, says so", async () => {
  const script: Script = {
    ...agreeable(),
    endpoints: ["alpha", "beta", "gamma"],
    contexts: [0],
    onJoin: (peer) => peer.error(2, 15, 0, "not supported: Linux 5.10.0", SOURCE.MEMCTX),
  };
  await withDaemon(script, async (_daemon, at) => {
    const table = await vmsig("ls", ...at);
    assertEquals([table.code, table.err], [0, ""]);
    assertMatch(table.out, /alpha +up +input,vmhost,memctx +4000/);
    assertMatch(table.out, /beta +up +input,vmhost,memctx \(no system yet\) +4001/);
    assertMatch(table.out, /gamma +up +input,vmhost,memctx \(no known system\) +4002/);
    const json = await vmsig("ls", "--json", ...at);
    const memory = json.out.trim().split("\n").map((line) => JSON.parse(line).memory);
    assertEquals(memory, [undefined, "no-system-yet", "no-known-system"]);
  });
  // Who may not see memory is told nothing of it.
  await withDaemon({ ...script, welcome: { caps: CAP.ROSTER | CAP.OBSERVE } }, async (_daemon, at) => {
    assertMatch((await vmsig("ls", ...at)).out, /beta +up +input,vmhost,memctx +4001/);
  });
});

Deno.test("mem and screen tell a reason that is known, and do not call it a temporary one", async () => {
  const script: Script = {
    ...agreeable(),
    endpoints: ["alpha", "beta"],
    onJoin: (peer) => {
      peer.error(0, 15, 0, "not supported: Linux 5.10.0", SOURCE.MEMCTX);
      peer.roster(1, "beta", 2, 0b0100100);
      peer.error(1, 15, 0, "RAM is not shared: see vmsig probe", SOURCE.MEMCTX);
    },
  };
  await withDaemon(script, async (_daemon, at) => {
    const unknown = await vmsig("mem", "alpha", "ps", ...at);
    assertEquals([unknown.code, unknown.out], [1, ""]);
    assertMatch(
      unknown.err,
      /^vmsig: not-supported: Cannot examine the memory of alpha: not supported: Linux 5.10.0 /,
    );
    const unshared = await vmsig("mem", "beta", "ps", "--json", ...at);
    assertMatch(
      JSON.parse(unshared.err).text,
      /beta: RAM is not shared: see vmsig probe \(its memory seam is down; .*: vmsig mem pid:4001\)/,
    );
    const screen = await vmsig("screen", "beta", "--source", "vgpu", ...at);
    assertMatch(screen.err, /RAM is not shared/);
  });
});

Deno.test("vm: query, an operation, and one under the power lease", async () => {
  await withDaemon(agreeable(), async (daemon, at) => {
    assertEquals((await vmsig("vm", "alpha", "query", ...at)).out, "paused (host-request)\n");
    assertEquals(JSON.parse((await vmsig("vm", "1", "query", "--json", ...at)).out), {
      endpoint: 1,
      state: "paused",
      detail: "host-request",
    });
    const reset = await vmsig("vm", "beta", "reset", ...at);
    assertEquals([reset.code, reset.out], [0, "beta: reset\n"]);
    assertEquals(kindsOf(daemon.peers.at(-1)).filter((kind) => kind !== "CMD_QUERY_INPUT"), [
      "CMD_ACQUIRE",
      "CMD_VM",
      "CMD_RELEASE",
    ]);
  });
});

Deno.test("a refusal is exit 1 with the code's name and what to do; the lease is released all the same", async () => {
  const agree = agreeable();
  const script: Script = {
    ...agree,
    onCommand: (command, peer) =>
      command.kind === KIND.CMD_VM ? peer.ack(command, 10) : agree.onCommand?.(command, peer),
  };
  await withDaemon(script, async (daemon, at) => {
    const ran = await vmsig("vm", "alpha", "reset", ...at);
    assertEquals([ran.code, ran.out], [1, ""]);
    assertMatch(ran.err, /^vmsig: refused: Cannot reset alpha: .*log.*\n$/);
    assertEquals(kindsOf(daemon.peers.at(-1)).at(-1), "CMD_RELEASE");
    const unknown = await vmsig("vm", "gamma", "stop", ...at);
    assertEquals(unknown.code, 1);
    assertMatch(unknown.err, /^vmsig: no-endpoint: .*0 alpha, 1 beta\n$/);
  });
});

Deno.test("what the VM said to a refused command is in the answer, plain and under --json", async () => {
  const script: Script = {
    endpoints: ["alpha"],
    onCommand(command, peer) {
      if (command.kind !== KIND.CMD_INPUT) return agreeable().onCommand?.(command, peer);
      peer.error(0, 10, command.corr, "VM not running");
      peer.ack(command, 10);
    },
  };
  await withDaemon(script, async (_daemon, at) => {
    const key = await vmsig("key", "alpha", "a", ...at);
    assertEquals([key.code, key.out], [1, ""]);
    assertMatch(key.err, /^vmsig: refused: Cannot .*: the VM refused it: VM not running\n$/);
    const json = await vmsig("mouse", "alpha", "move", "1", "2", "--json", ...at);
    assertEquals(json.code, 1);
    const { code, text } = JSON.parse(json.err);
    assertEquals(code, "refused");
    assertStringIncludes(text, "VM not running");
  });
});

Deno.test("key, type, mouse, held and lease", async () => {
  await withDaemon(agreeable(), async (daemon, at) => {
    assertEquals((await vmsig("key", "alpha", "ctrl-c", "enter", ...at)).out, "alpha: 2 pressed\n");
    assertEquals(kindsOf(daemon.peers.at(-1)).filter((kind) => kind === "CMD_INPUT").length, 2);
    const typed = await vmsig("type", "alpha", "Hi!", "--json", ...at);
    const { endpoint, ok, characters } = JSON.parse(typed.out);
    assertEquals([endpoint, ok, characters], [0, true, 3]);
    assertEquals((await vmsig("mouse", "alpha", "scroll", "-3", ...at)).out, "alpha: scroll\n");
    assertEquals(
      (await vmsig("held", "alpha", "--json", ...at)).out,
      '{"kind":"key","code":30,"name":"a"}\n',
    );
    assertEquals(
      (await vmsig("lease", "beta", "power", "status", "--json", ...at)).out,
      `${JSON.stringify({ endpoint: 1, class: "power", busy: true, ownerPrincipal: 4711 })}\n`,
    );
    const under = await vmsig(
      "lease",
      "beta",
      "power",
      "hold",
      ...at,
      "--",
      "sh",
      "-c",
      "echo under; exit 7",
    );
    assertEquals([under.code, under.out], [7, "under\n"]);
    assertEquals(kindsOf(daemon.peers.at(-1)).at(-1), "CMD_RELEASE");
    const none = await vmsig("lease", "beta", "power", "hold", ...at, "--", "/no/such/program");
    assertEquals(none.code, 3);
    assertMatch(none.err, /^vmsig: missing: .*there is no such program\n$/);
  });
});

Deno.test("what no daemon could make right is a usage error, before the daemon is asked", async () => {
  const nowhere = ["--socket", "/nowhere/at/all.sock"];
  const cases: [string[], RegExp][] = [
    [["type", "alpha", "naïve"], /character 3 .*nothing was typed; see vmsig type --help$/],
    [["key", "alpha", "nosuch"], /there is no key "nosuch"; see vmsig key --help$/],
    [["mouse", "alpha", "move", "40000", "0"], /from 0 to 32767.*; see vmsig mouse --help$/],
  ];
  for (const [line, text] of cases) {
    const ran = await vmsig(...line, ...nowhere);
    assertEquals([ran.code, ran.out], [2, ""]);
    assertMatch(ran.err.trimEnd(), new RegExp(`^vmsig: usage: .*${text.source}`));
    const asJson = await vmsig(...line, ...nowhere, "--json");
    assertEquals([asJson.code, asJson.out], [2, ""]);
    const { code, text: told } = JSON.parse(asJson.err) as { code: string; text: string };
    assertEquals(code, "usage");
    assertMatch(told, text);
  }
});

Deno.test("errors under --json are one object with code and text, also of a line that is not understood", async () => {
  const cases: [string[], number, string][] = [
    [["wacth", "--json"], 2, "usage"],
    [["watch", "--json", "--cuont", "3"], 2, "usage"],
    [["ls", "--json", "--socket", "/nowhere/x.sock"], 4, "unreachable"],
    [["mem", "pid:999999999", "ps", "--json"], 2, "usage"],
    [["mem", "file:/nowhere/at/all", "ps", "--json"], 1, "refused"],
  ];
  for (const [line, code, name] of cases) {
    const ran = await vmsig(...line);
    assertEquals([ran.code, ran.out], [code, ""], line.join(" "));
    assertEquals(Object.keys(JSON.parse(ran.err)), ["code", "text"]);
    assertEquals(JSON.parse(ran.err).code, name);
  }
});

Deno.test("a disk that is full is not a defect of vmsig", async () => {
  const ran = await new Deno.Command("sh", {
    args: ["-c", 'exec "$0" "$@" > /dev/full', Deno.execPath(), "run", "-A", "--no-check", MAIN, "version"],
    stdin: "null",
    stdout: "null",
    stderr: "piped",
    env: { NO_COLOR: "1" },
  }).output();
  assertEquals(ran.code, 1);
  assertMatch(
    new TextDecoder().decode(ran.stderr),
    /^vmsig: refused: Cannot print: No space left on device[^\n]*\n$/,
  );
});

Deno.test("VMSIG_SOCKET names the daemon's socket, and --socket is stronger", async () => {
  const env = { VMSIG_SOCKET: "/nowhere/by/environment.sock" };
  const ran = await command(["ls"], env).output();
  assertEquals(ran.code, 4);
  assertStringIncludes(new TextDecoder().decode(ran.stderr), "/nowhere/by/environment.sock");
  const named = await command(["ls", "--socket", "/nowhere/by/option.sock"], env).output();
  assertStringIncludes(new TextDecoder().decode(named.stderr), "/nowhere/by/option.sock");
});

Deno.test("watch: filters, --count, --for, columns", async () => {
  await withDaemon(agreeable(), async (daemon, at) => {
    const counted = await vmsig("watch", "--json", "--count", "2", ...at);
    const [first] = counted.out.trim().split("\n").map((line) => JSON.parse(line));
    assertEquals(first, {
      kind: "ROSTER",
      source: "CORE",
      prio: "NORMAL",
      endpoint: 0,
      seq: 1,
      corr: 0,
      tsNs: 1000,
      state: 2,
      seams: 0b1100100,
      pid: 4000,
      vmid: 100,
      name: "alpha",
      stateName: "up",
    });
    assertEquals(counted.out.trim().split("\n").length, 2);
    const named = await vmsig("watch", "beta", "--count", "1", ...at);
    assertEquals(named.out.split("\n").map((line) => line.trim().split(/\s{2,}/)), [
      ["SECONDS", "SOURCE", "KIND", "ENDPOINT", "WHAT"],
      ["0.000001", "CORE", "ROSTER", "beta", "beta up [input vmhost memctx] pid 4001"],
      [""],
    ]);
    const none = await vmsig("watch", "--kind", "vm_lifecycle", "--source", "vmhost", "--for", "50", ...at);
    assertEquals([none.code, none.out, none.err], [0, "", ""]);
    assertEquals(daemon.peers.length, 3);
  });
});

Deno.test("Ctrl-C releases the lease and exits 130, SIGTERM 143", async () => {
  for (const [signal, code] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
    await withDaemon(agreeable(), async (daemon, at) => {
      const child = command(["lease", "alpha", "input", "hold", ...at]).spawn();
      while (!kindsOf(daemon.peers[0]).includes("CMD_ACQUIRE")) await new Promise((r) => setTimeout(r, 5));
      const reader = child.stdout.getReader();
      const { value } = await reader.read();
      assertStringIncludes(new TextDecoder().decode(value), "alpha: input is owned (token 8)");
      child.kill(signal);
      const ended = await child.status;
      await reader.cancel();
      const err = await new Response(child.stderr).text();
      assertEquals([ended.code, err], [code, ""]);
      // It has been sent; this process may not have read it yet.
      while (!kindsOf(daemon.peers[0]).includes("CMD_RELEASE")) await new Promise((r) => setTimeout(r, 5));
    });
  }
});

Deno.test("a lease that is lost ends hold and what runs under it", async () => {
  await withDaemon(agreeable(), async (daemon, at) => {
    const child = command(["lease", "alpha", "input", "hold", ...at, "--", "sleep", "60"]).spawn();
    while (!kindsOf(daemon.peers[0]).includes("CMD_ACQUIRE")) await new Promise((r) => setTimeout(r, 5));
    daemon.peer.send(KIND.LEASE_REVOKED);
    const { code, stderr } = await child.output();
    assertEquals(code, 1);
    assertMatch(new TextDecoder().decode(stderr), /^vmsig: stale-lease: .*preempted.*\n$/);
  });
});

Deno.test("a reader that goes away ends watch at once, also when nothing happens any more", async () => {
  await withDaemon(agreeable(), async (_daemon, at) => {
    const child = command(["watch", ...at]).spawn();
    const reader = child.stdout.getReader();
    await reader.read();
    await reader.cancel();
    const ended = await child.status;
    assertEquals([ended.code, await new Response(child.stderr).text()], [0, ""]);
  });
});

Deno.test("a reader that goes away ends watch quietly", async () => {
  await withDaemon(agreeable(), async (daemon, at) => {
    const child = command(["watch", ...at]).spawn();
    const reader = child.stdout.getReader();
    await reader.read();
    await reader.cancel();
    const ticking = setInterval(() => {
      const [peer] = daemon.peers;
      if (peer !== undefined && !peer.fd.closed) peer.send(KIND.VM_LIFECYCLE);
    }, 5);
    const ended = await child.status;
    clearInterval(ticking);
    assertEquals([ended.code, await new Response(child.stderr).text()], [0, ""]);
  });
});

Deno.test("without a command it prints the help", async () => {
  const ran = await vmsig();
  assertEquals([ran.code, ran.err], [0, ""]);
  assertEquals(ran.out, (await vmsig("help")).out);
});

Deno.test("usage errors are exit 2, an absent daemon exit 4, each in one line", async () => {
  const cases: [string[], number, RegExp][] = [
    [["wacth"], 2, /^vmsig: usage: .*did you mean watch\?/],
    [["watch", "--cuont", "3"], 2, /^vmsig: usage: .*did you mean --count\?/],
    [["watch", "--kind", "nope"], 2, /^vmsig: usage: .*no kind nope/],
    [["watch", "--source", "vmhots"], 2, /^vmsig: usage: .*did you mean VMHOST\?/],
    [["vm", "a", "rest"], 2, /^vmsig: usage: .*did you mean reset\?/],
    [["vm", "a"], 2, /^vmsig: usage: .*argument is missing/],
    [["mouse", "a", "move", "1"], 2, /^vmsig: usage: .*move X Y/],
    [["help", "wacth"], 2, /^vmsig: usage: .*did you mean watch\?/],
    [
      ["ls", "--socket", "/nowhere/x.sock"],
      4,
      /^vmsig: unreachable: .*\/nowhere\/x\.sock: there is no such socket/,
    ],
  ];
  for (const [args, code, line] of cases) {
    const ran = await vmsig(...args);
    assertEquals([ran.code, ran.out], [code, ""], args.join(" "));
    assertMatch(ran.err, line);
    assertEquals(ran.err.trim().split("\n").length, 1, ran.err);
  }
});

Deno.test("version tells the version of deno.json", async () => {
  const { version } = JSON.parse(await Deno.readTextFile(new URL("../../../deno.json", import.meta.url)));
  assertEquals(JSON.parse((await vmsig("version", "--json")).out).version, version);
  assertStringIncludes((await vmsig("--version")).out, `vmsig ${version} `);
});

Deno.test("every command has help, and its examples are valid lines", async () => {
  const overview = (await vmsig("help")).out;
  for (const [name, entry] of Object.entries(COMMANDS)) {
    assertStringIncludes(overview, entry.summary);
    for (const usage of entry.usage) assertStringIncludes(overview, `vmsig ${usage}`);
    const module = await entry.load();
    assert(module.details.length > 20, `${name} explains itself`);
    for (const example of module.examples) {
      const [first, ...rest] = example.match(/'[^']*'|"[^"]*"|\$'[^']*'|\S+/g) ?? [];
      assertEquals(first, name, example);
      parseCommandLine(name, module, rest);
    }
  }
});

Deno.test("doctor tells what is there, and what is missing with its remedy", async () => {
  await withDaemon(agreeable(), async (_daemon, at) => {
    const directory = await Deno.makeTempDir();
    try {
      const config = `${directory}/bad.toml`;
      await Deno.writeTextFile(config, "[daemon]\nlgo = 1\n");
      const ran = await vmsig("doctor", "--json", "--config", config, ...at);
      const findings = ran.out.trim().split("\n").map((line) => JSON.parse(line));
      assertEquals(findings.map(({ check }) => check), [
        "system",
        "shim",
        "kernel",
        "processes",
        "scheduling",
        "uinput",
        "socket",
        "config",
        "daemon",
      ]);
      const of = (name: string) => findings.find(({ check }) => check === name);
      for (const name of ["system", "shim", "kernel"]) assertEquals(of(name).state, "ok");
      assertMatch(of("daemon").found, /^it answers; uid 1000 may observe, /);
      assertEquals(of("config").state, "missing");
      assertStringIncludes(
        of("config").remedy,
        `${config}:2: daemon.lgo: there is no such key (did you mean log?)`,
      );
      for (const { state, remedy } of findings) assertEquals(state === "ok", remedy === undefined);
      assertEquals(ran.code, 3);
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  });
  const alone = await vmsig("doctor", "--socket", "/nowhere/x.sock");
  assertEquals(alone.code, 3);
  assertMatch(alone.out, /^daemon +missing +unreachable$/m);
  assertMatch(alone.out, /^daemon: Cannot reach the daemon at \/nowhere\/x\.sock: .*vmsig serve/m);
});
