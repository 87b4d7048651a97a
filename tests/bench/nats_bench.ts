/**
 * `nats.*`: other hosts over a real nats-server on this machine, beside the same library's bare request and
 * reply, and its bare publishing. `nats.roster.late` and `nats.change.p99` are a thousand hosts with sixteen
 * endpoints each, which one process puts.
 */
import { connect } from "../../src/client/mod.ts";
import { NatsLink } from "../../src/nats/wire/nats_link.ts";
import { RosterReader } from "../../src/nats/reader/roster_reader.ts";
import { DaemonProcess } from "../fixtures/daemon_process.ts";
import { daemonRoot } from "../fixtures/daemon_root.ts";
import { JoinHost } from "../fixtures/joined_host.ts";
import { NatsServer } from "../fixtures/nats_server.ts";
import { type Bench, type BenchResult, median, resultOf } from "./bench.ts";

const ROUNDS = 5;
const PINGS = 300;
const EVENTS = 50_000;
const HOSTS = 1000;
const CHANGES = 200;
const ROOT = daemonRoot();

const RULES = `[[admission]]\nuid = ${Deno.uid()}\nendpoints = ["*"]\ncaps = ["*"]\narb_prio = 20\n` +
  `speaks_for = ["nats:*"]\n[[admission]]\nnats = "alice"\nendpoints = ["*"]\ncaps = ["*"]\narb_prio = 10\n`;

/** A peer process that has said "ready". */
class Peer implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #stdin: WritableStreamDefaultWriter<Uint8Array>;

  private constructor(child: Deno.ChildProcess) {
    this.#child = child;
    this.#stdin = child.stdin.getWriter();
  }

  static async start(
    server: NatsServer,
    what: string,
    user: "alice" | "admin",
    ...more: string[]
  ): Promise<Peer> {
    const child = new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "-A", "--no-check", "--config", `${ROOT}deno.json`, `${ROOT}tests/bench/nats_peer.ts`],
        ...[what, server.url, `${server.folder}/any.seed`, user, ...more],
      ],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    for (let text = ""; !text.includes("ready");) {
      const { value, done } = await reader.read();
      if (done) throw new Error(`the peer that is to ${what} ended`);
      text += value;
    }
    return new Peer(child);
  }

  async say(text: string): Promise<void> {
    await this.#stdin.write(new TextEncoder().encode(text));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.status;
  }
}

/** A server on which one more user may do everything: the bare sides. */
async function startServer(): Promise<NatsServer> {
  const server = await NatsServer.start();
  const { nkeys } = await import("@nats-io/nats-core");
  const pair = nkeys.createUser();
  await Deno.writeTextFile(`${server.folder}/any.seed`, new TextDecoder().decode(pair.getSeed()), {
    mode: 0o600,
  });
  const path = `${server.folder}/vmsig.conf`;
  const text = await Deno.readTextFile(path);
  await Deno.writeTextFile(path, text.replace("users: [", `users: [\n { nkey: "${pair.getPublicKey()}" }`));
  await server.kill();
  await server.up();
  await server.create();
  return server;
}

async function traffic(): Promise<BenchResult[]> {
  await using server = await startServer();
  await using daemon = await DaemonProcess.start({ config: RULES, stubs: 1 });
  await using _rack = await JoinHost.start({ server, socket: daemon.socket, host: "rack1" });
  await using _echo = await Peer.start(server, "echo", "alice");
  await using _relay = await Peer.start(server, "relay", "alice");
  await using publisher = await Peer.start(server, "publish", "alice", `${EVENTS}`, "96");
  await using feed = await Peer.start(server, "feed", "alice", `${EVENTS}`, "96");
  await using bare = await NatsLink.open(
    { url: server.url, creds: `${server.folder}/any.seed`, as: "any" },
    "bench",
  );
  await using client = await connect({ name: "bench", nats: server.options("alice") });
  await client.completeRoster();
  const endpoint = await client.endpoint("rack1/stub0");
  const bytes = new Uint8Array(120);
  const times = async (ping: () => Promise<unknown>): Promise<number> => {
    const all: number[] = [];
    for (let i = 0; i < PINGS; i++) {
      const begun = performance.now();
      await ping();
      all.push(performance.now() - begun);
    }
    return median(all) * 1000;
  };
  const ours: number[] = [];
  const peer: number[] = [];
  const relayed: number[] = [];
  for (let i = 0; i <= ROUNDS; i++) {
    const theirs = await times(() => bare.nc.request("vmsig.bench.req.x", bytes, { timeout: 5000 }));
    const relay = await times(() => bare.nc.request("vmsig.bench.relay.x", bytes, { timeout: 5000 }));
    const our = await times(() => client.leaseStatus(endpoint, "input"));
    // The first round warms all up.
    if (i > 0) {
      peer.push(theirs);
      relayed.push(relay);
      ours.push(our);
    }
  }
  const beside = resultOf(
    "nats.command.relayed",
    "us",
    "lower",
    ours,
    relayed,
    "a bare request whose responder goes to a process and back by a unix socket",
  );
  const command = resultOf(
    "nats.command.p50",
    "us",
    "lower",
    ours,
    peer,
    "a bare request and reply, same library and bytes",
  );

  // Events: what the bridge does with frames that it has read, as fast as it can, against bare publishing.
  let count = 0;
  let arrived = Promise.withResolvers<void>();
  let last = 0;
  let isInOrder = true;
  bare.on("vmsig.bench.*.*.*", ({ data }) => {
    const id = new DataView(data.buffer, data.byteOffset).getUint32(48, true);
    isInOrder &&= id === 0 || id === last + 1;
    last = id;
    if (++count === EVENTS) arrived.resolve();
  });
  await bare.flush();
  const rates: [number[], number[]] = [[], []];
  for (let i = 0; i <= ROUNDS; i++) {
    for (const [side, each] of [feed, publisher].entries()) {
      count = last = 0;
      arrived = Promise.withResolvers();
      const begun = performance.now();
      await each.say("go\n");
      const timer = setTimeout(
        () => arrived.reject(new Error(`${EVENTS - count} of ${EVENTS} are lost`)),
        30_000,
      );
      await arrived.promise;
      clearTimeout(timer);
      if (!isInOrder) throw new Error("events came out of order");
      if (i > 0) rates[side]?.push(EVENTS / (performance.now() - begun));
    }
  }
  const events = resultOf(
    "nats.events",
    "k/s",
    "higher",
    ...rates,
    "bare publishing of 96 bytes, same library",
  );
  return [command, beside, events];
}

/** What a process has of a kind of memory, MB. */
function memoryOf(pid: number, name: string): number {
  const text = Deno.readTextFileSync(`/proc/${pid}/status`);
  return Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(text)?.[1]) / 1024;
}

/** The memory of a Deno that does nothing: nothing that runs on it takes less. */
async function emptyDeno(): Promise<{ readonly VmRSS: number; readonly RssAnon: number }> {
  const program = "console.log('here'); setInterval(() => {}, 1000000)";
  const child = new Deno.Command(Deno.execPath(), { args: ["eval", program], stdout: "piped" }).spawn();
  await child.stdout.getReader().read();
  try {
    return { VmRSS: memoryOf(child.pid, "VmRSS"), RssAnon: memoryOf(child.pid, "RssAnon") };
  } finally {
    child.kill();
    await child.status;
  }
}

async function scale(): Promise<BenchResult[]> {
  await using server = await startServer();
  await using daemon = await DaemonProcess.start({ config: RULES, stubs: 16 });
  await using hosts = await Peer.start(server, "hosts", "admin", `${HOSTS}`, "5000");
  await using rack = await JoinHost.start({ server, socket: daemon.socket, host: "rack1" });
  const late: number[] = [];
  const changes: number[] = [];
  for (let i = 0; i < ROUNDS; i++) {
    await using link = await NatsLink.open(server.options("alice"), "late");
    const begun = performance.now();
    let changed: (() => void) | undefined;
    await using reader = await RosterReader.open(link, {
      onHost: ({ endpoints }) => endpoints[0]?.state === "down" ? changed?.() : undefined,
      onHostGone: () => {},
    });
    await reader.whole();
    late.push(performance.now() - begun);
    if (reader.hosts.length !== HOSTS + 1) throw new Error(`${reader.hosts.length} hosts of ${HOSTS + 1}`);
    for (let k = 0; i === ROUNDS - 1 && k < CHANGES; k++) {
      const told = new Promise<void>((resolve) => changed = resolve);
      const at = performance.now();
      await hosts.say(`${(k * 7) % HOSTS}\n`);
      await told;
      changes.push(performance.now() - at);
    }
  }
  changes.sort((a, b) => a - b);
  const status = (name: string) => memoryOf(rack.pid, name);
  const ticks = () =>
    Deno.readTextFileSync(`/proc/${rack.pid}/stat`).split(" ").slice(13, 15).map(Number).reduce((a, b) =>
      a + b
    );
  const floor = await emptyDeno();
  const before = ticks();
  const idleMs = 20_000;
  await new Promise((resolve) => setTimeout(resolve, idleMs));
  const cpu = (ticks() - before) * 10 / idleMs * 100;
  const single = (name: string, unit: string, value: number) =>
    resultOf(name, unit, "lower", [value], null, null);
  return [
    resultOf("nats.roster.late", "ms", "lower", late, null, null),
    single("nats.change.p99", "ms", changes[Math.floor(changes.length * 0.99)] as number),
    resultOf("nats.join.rss", "MB", "lower", [status("VmRSS")], [floor.VmRSS], "a Deno that does nothing"),
    resultOf(
      "nats.join.anon",
      "MB",
      "lower",
      [status("RssAnon")],
      [floor.RssAnon],
      "a Deno that does nothing",
    ),
    single("nats.join.idle", "% cpu", cpu),
  ];
}

/** The benchmarks. */
export const benches: readonly Bench[] = [
  {
    name: "nats.command.p50",
    names: ["nats.command.p50", "nats.command.relayed", "nats.events"],
    run: traffic,
  },
  {
    name: "nats.roster.late",
    names: ["nats.roster.late", "nats.change.p99", "nats.join.rss", "nats.join.anon", "nats.join.idle"],
    run: scale,
  },
];
