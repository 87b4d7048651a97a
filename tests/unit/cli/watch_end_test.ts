/** How `vmsig watch` ends: with its daemon, with a replay that is over, or, told to follow, with neither. */
import type { EndpointId } from "../../../src/base/ids.ts";
import "../ffi/loaded_shim.ts";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { SILENT } from "../../../src/base/log.ts";
import { replay } from "../../../src/daemon/replay_daemon.ts";
import { planReplay } from "../../../src/daemon/replay_plan.ts";
import { encodeRecordedEvent, encodeRecordingHeader } from "../../../src/event/recording.ts";
import { DaemonProcess } from "../../fixtures/daemon_process.ts";

const MAIN = new URL("../../../main.ts", import.meta.url).pathname;

/** A watch as a process of its own, whose lines can be awaited. */
class Watch {
  readonly child: Deno.ChildProcess;
  readonly lines: string[] = [];
  readonly errors: Promise<string>;
  readonly #reading: Promise<void>;
  #more = Promise.withResolvers<void>();
  readonly #status: Promise<Deno.CommandStatus>;
  #ended = false;
  #hasExited = false;

  constructor(socket: string, ...args: string[]) {
    this.child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", MAIN, "watch", "--json", "--socket", socket, ...args],
      env: { NO_COLOR: "1" },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.errors = new Response(this.child.stderr).text();
    this.#reading = this.#read();
    this.#status = this.child.status.then((status) => {
      this.#hasExited = true;
      return status;
    });
  }

  async #read(): Promise<void> {
    let rest = "";
    for await (const text of this.child.stdout.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + text).split("\n");
      rest = lines.pop() as string;
      this.lines.push(...lines);
      this.#more.resolve();
      this.#more = Promise.withResolvers();
    }
    this.#ended = true;
    this.#more.resolve();
  }

  /** Waits for a line, from one on, that holds something; its index. */
  async line(what: string, from = 0): Promise<number> {
    for (;;) {
      const at = this.lines.findIndex((line, i) => i >= from && line.includes(what));
      if (at >= 0) return at;
      if (this.#ended) throw new Error(`no ${what} in ${this.lines.join("\n")}; ${await this.errors}`);
      await this.#more.promise;
    }
  }

  /** Signals it, if it still runs. */
  kill(signal: Deno.Signal): void {
    if (!this.#hasExited) this.child.kill(signal);
  }

  /** The exit code. */
  async end(): Promise<number> {
    await this.#reading;
    return (await this.#status).code;
  }
}

function recordingOf(count: number): Uint8Array {
  const header = encodeRecordingHeader({
    host: { name: "h", kernel: "k" },
    versions: {},
    startedAt: "",
    startedNs: 0,
    roster: [{ endpoint: 7 as EndpointId, name: "web", state: "up", seams: ["vmhost"], pid: 1, vmid: 0 }],
  });
  const events = Array.from({ length: count }, (_, i) => {
    const inline = new Uint8Array(48);
    const head = {
      kind: 49,
      source: 5,
      prio: 3,
      endpoint: 7 as EndpointId,
      seq: 0,
      corr: 0,
      tsNs: i * 1_000_000,
      inline,
    };
    return encodeRecordedEvent({ ...head, bodyFormat: 0, body: new Uint8Array(0), fds: 0 });
  });
  return Uint8Array.from([header, ...events].flatMap((part) => [...part]));
}

async function withReplay(
  count: number,
  body: (socket: string, playing: Promise<number>, aborter: AbortController) => Promise<void>,
): Promise<void> {
  const directory = await Deno.makeTempDir({ prefix: "vmsig-watch-" });
  const aborter = new AbortController();
  const ready = Promise.withResolvers<void>();
  const socketPath = `${directory}/replay.sock`;
  const playing = replay({
    plan: planReplay(recordingOf(count), "x"),
    socketPath,
    speed: count > 100 ? 0.001 : 0,
    log: SILENT,
    signal: aborter.signal,
    onReady: ready.resolve,
  });
  try {
    await ready.promise;
    await body(socketPath, playing, aborter);
  } finally {
    aborter.abort();
    await playing;
    await Deno.remove(directory, { recursive: true });
  }
}

Deno.test("a replay that was played to its end ends watch with exit code 0, also one that follows", async () => {
  for (const options of [[], ["--follow"]]) {
    await withReplay(20, async (socket, playing) => {
      const watch = new Watch(socket, ...options);
      assertEquals([await playing, await watch.end(), await watch.errors], [20, 0, ""]);
      assertEquals(watch.lines.filter((line) => line.includes("VM_LIFECYCLE")).length, 20);
      assert(!watch.lines.some((line) => line.includes('"ERROR"')), "that it is over is not an event");
    });
  }
});

Deno.test("a replay that is stopped before its end ends watch as a daemon that went away does", async () => {
  await withReplay(10_000, async (socket, _playing, aborter) => {
    const watch = new Watch(socket);
    await watch.line("VM_LIFECYCLE");
    aborter.abort();
    assertEquals(await watch.end(), 4);
    assertMatch(await watch.errors, /"code":"unreachable"/);
  });
});

Deno.test("watch --follow: over a daemon that is killed, with a marker, by name; without it exit code 4", async () => {
  const folder = await Deno.makeTempDir({ prefix: "vmsig-watch-" });
  let daemon = await DaemonProcess.start({ folder, stubs: 3 });
  const following = new Watch(daemon.socket, "stub1", "--follow", "--kind", "roster");
  const plain = new Watch(daemon.socket);
  try {
    const first = await following.line('"name":"stub1"');
    await plain.line('"name":"stub1"');
    await daemon.crash();
    assertEquals(await plain.end(), 4);
    daemon = await DaemonProcess.start({ folder, stubs: 2 });
    const marker = await following.line("RECONNECTED", first + 1);
    const told = JSON.parse(following.lines[marker] as string) as Record<string, unknown>;
    assertEquals(told["kind"], "RECONNECTED");
    await following.line('"name":"stub1"', marker + 1);
    assert(!following.lines.some((line) => line.includes("stub0")), "only what was asked for");
    following.kill("SIGINT");
    assertEquals(await following.end(), 130);
    // The watch prints JSON: what it says beside that is an object as well.
    assertMatch(await following.errors, /^\{"code":"unreachable","text":"the daemon is away; /);
  } finally {
    for (const watch of [following, plain]) {
      watch.kill("SIGKILL");
      await watch.end();
    }
    await daemon[Symbol.asyncDispose]();
    await Deno.remove(folder, { recursive: true });
  }
});
