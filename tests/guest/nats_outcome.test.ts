/**
 * A partition at every point of acquire, press, release and give back, cut exactly before the command or
 * between it and its answer, shorter and longer than the session lives: each command is answered once, or the
 * truth is found out afterwards, in the program itself and by `vmsig outcome`; nothing stays held or owned.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { Fault } from "../../src/base/fault.ts";
import {
  type Client,
  type CommandOutcome,
  connect,
  InputControl,
  keyRecord,
  type Lease,
} from "../../src/client/mod.ts";
import { OP, opened, sealed } from "../../src/nats/wire/envelope.ts";
import { NatsLink, type NatsOptions } from "../../src/nats/wire/nats_link.ts";
import { commandIdOf } from "../../src/nats/wire/outcome.ts";
import { requestSubject, sessionInbox } from "../../src/nats/wire/subjects.ts";
import { CutCable } from "../fixtures/cut_cable.ts";
import { DaemonProcess, until, vmsig } from "../fixtures/daemon_process.ts";
import { JoinHost } from "../fixtures/joined_host.ts";
import { NatsServer } from "../fixtures/nats_server.ts";

/** How long a session lives without a word where the partition is to be longer, ms. */
const SHORT_TTL_MS = 8000;

const rules = `[[admission]]\nuid = ${Deno.uid()}\nendpoints = ["*"]\ncaps = ["*"]\n` +
  `speaks_for = ["nats:*"]\n[[admission]]\nnats = "alice"\nendpoints = ["*"]\ncaps = ["*"]\n`;

const STEPS = ["acquire", "press", "release", "give"] as const;
type Step = typeof STEPS[number];
/** Where it is cut, in a VM of its own each. */
const POINTS = STEPS.flatMap((step) => (["before", "between"] as const).map((where) => ({ step, where })))
  .map((point, i) => ({ ...point, vm: `stub${i}` }));
type Point = typeof POINTS[number];

/** A person's program that has done all steps before one. */
class Parted implements AsyncDisposable {
  readonly client: Client;
  readonly steps: Readonly<Record<Step, () => Promise<unknown>>>;
  /** What comes before the step is waited for, however busy the machine is. */
  #patience = { timeoutMs: 60_000 };

  private constructor(client: Client, vm: string) {
    this.client = client;
    let lease: Lease | undefined;
    const input = () => lease === undefined ? undefined : new InputControl(client, lease, this.#patience);
    this.steps = {
      acquire: async () => {
        lease = await client.acquire(vm, "input", { ...this.#patience, ttlMs: 30_000 });
      },
      press: async () => await input()?.frame([keyRecord(30, true)]),
      release: async () => await input()?.frame([keyRecord(30, false)]),
      give: async () => await lease?.release(),
    };
  }

  static async before({ step, vm: stub }: Point, isLong: boolean, nats: NatsOptions): Promise<Parted> {
    const vm = `rack1/${stub}`;
    const sessionTtlMs = isLong ? SHORT_TTL_MS : 60_000;
    const client = await connect({ name: "parted", nats: { ...nats, sessionTtlMs } });
    try {
      const parted = new Parted(client, vm);
      // The session is open, and what comes before the step is done.
      await client.leaseStatus(vm, "input", { timeoutMs: 60_000 });
      for (const each of STEPS.slice(0, STEPS.indexOf(step))) await parted.steps[each]();
      // A short partition is over long before an answer is given up, a long one long after that.
      if (isLong) parted.#patience = { timeoutMs: 1000 };
      return parted;
    } catch (error) {
      await client.close().catch(() => {});
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.close().catch(() => {});
  }
}

/** A machine that stalls may end a short session before its time: another try. */
async function prepared<T>(prepare: () => Promise<T>): Promise<T> {
  for (let left = 5;; left--) {
    try {
      return await prepare();
    } catch (error) {
      if (!(error instanceof Fault) || left === 0) throw error;
    }
  }
}

/** Open sessions of the host, as counters tell that were written after a moment. */
async function sessionsAfter(path: string, sinceMs: number): Promise<number> {
  const { mtime } = await Deno.stat(path);
  if ((mtime?.getTime() ?? 0) <= sinceMs) return NaN;
  return Number(/^vmsig_join_open_sessions (\d+)/m.exec(await Deno.readTextFile(path))?.[1] ?? NaN);
}

/** Asks until the host tells. */
async function truthOf(client: Client, corr: number): Promise<CommandOutcome> {
  let found: CommandOutcome | undefined;
  await until("the truth is told", async () => {
    try {
      found = await client.outcome(corr, { timeoutMs: 10_000 });
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      return false;
    }
    return found.is !== "under way";
  });
  return found as CommandOutcome;
}

Deno.test("nats: a partition at every point of acquire, press and release: answered once, or found out by corr", async () => {
  await using server = await NatsServer.start();
  await server.create();
  await using daemon = await DaemonProcess.start({ config: rules, stubs: POINTS.length });
  const metrics = `${server.folder}/join.prom`;
  await using rack = await JoinHost.start({
    server,
    socket: daemon.socket,
    host: "rack1",
    more: ["--metrics", metrics],
  });
  await using local = await daemon.connect("local");
  // Shorter than anything but the connection lives, and longer than the session does.
  for (const isLong of [false, true]) {
    let cut = 0;
    const allCut = Promise.withResolvers<void>();
    const over = allCut.promise.then(async () => {
      const sinceMs = Date.now();
      if (!isLong) return;
      await until(
        "the sessions are over on their host",
        async () => await sessionsAfter(metrics, sinceMs) === 0,
      );
    });
    const onCut = async () => {
      if (++cut === POINTS.length) allCut.resolve();
      await over;
    };
    await Promise.all(POINTS.map((point) => part(server, local, point, isLong, onCut)));
  }
  // What was never a command.
  const none = await vmsig(["outcome", `rack1/${"0".repeat(32)}/1`, ...server.args("alice")]);
  assertEquals(none.code, 1);
  assertMatch(none.text, /unknown: the host no longer knows its session/);
  const bad = await vmsig(["outcome", "rack1", ...server.args("alice")]);
  assertMatch(bad.errors, /usage: .* not the ID of a command/);
  assertEquals(await rack.stop(), 0);
});

/** Cuts at one point, and looks what everybody is told. @param onCut resolves when it is to be mended */
async function part(
  server: NatsServer,
  local: Client,
  point: Point,
  isLong: boolean,
  onCut: () => Promise<void>,
): Promise<void> {
  const { step, where, vm } = point;
  const shown = `${step}, cut ${where}, ${isLong ? "longer" : "shorter"} than a session`;
  const busy = async () => (await local.leaseStatus(vm, "input")).busy;
  const held = async () => (await local.held(vm)).entries.length;
  const isDone: Record<Step, () => Promise<boolean>> = {
    acquire: busy,
    press: async () => await held() === 1,
    release: async () => await held() === 0,
    give: async () => !await busy(),
  };
  await using cable = new CutCable(server.port);
  const nats = { creds: server.creds("alice"), as: "alice", url: cable.url };
  await using parted = await prepared(() => Parted.before(point, isLong, nats));
  const { client } = parted;
  assertEquals(await held(), step === "release" ? 1 : 0, shown);

  const lost = cable.lost.up;
  cable.cut(where === "before" ? "both" : "from the server");
  const outcome = parted.steps[step]().then(() => "ok" as const, (error) => {
    if (error instanceof Fault) return error;
    throw error;
  });
  // Its frame is nowhere, or was done and the answer goes nowhere.
  await until(
    `${shown}: it has gone`,
    async () => where === "before" ? cable.lost.up > lost : await isDone[step](),
  );
  await onCut();
  if (isLong) assert(await outcome !== "ok", shown);
  cable.cut("nothing");
  const told = await outcome;
  if (!isLong) {
    // Asked for when the connection was back: its answer, or that it was never done.
    if (where === "between") assertEquals(told, "ok", shown);
    else assertEquals(told instanceof Fault && told.code, "dropped", shown);
  } else if (told !== "ok") {
    assertEquals(told.code, "timed-out", shown);
    const truth = await truthOf(client, told.corr);
    assertEquals(truth, { is: where === "between" ? "done" : "never" }, shown);
    const [, id = ""] = / vmsig outcome (\S+)/.exec(told.message) ?? [];
    assert(commandIdOf(id) !== undefined, told.message);
    if (step === "press") await fromAnotherProgram(server, id, truth);
  }
  await client.close();
  await until(`${shown}: nothing is held`, async () => await held() === 0);
  await until(`${shown}: nobody owns it`, async () => !await busy());
}

/** Another program of the same user is told the same, by another connection; and nothing is done again. */
async function fromAnotherProgram(server: NatsServer, id: string, truth: CommandOutcome): Promise<void> {
  const said = await vmsig(["outcome", id, ...server.args("alice")]);
  assertEquals(said.code, truth.is === "done" ? 0 : 1, said.errors);
  assertMatch(said.text, new RegExp(`^${id}: ${truth.is}`));
  const json = await vmsig(["outcome", id, "--json", ...server.args("alice")]);
  assertEquals(JSON.parse(json.text), { id, ...truth });
  await again(server, id);
}

/** What a session that is over sent is delivered once more: it is opened by nobody, and nothing is done. */
async function again(server: NatsServer, id: string): Promise<void> {
  const { host, session, seq } = commandIdOf(id) ?? { host: "", session: "", seq: 0 };
  await using link = await NatsLink.open(server.options("alice"), "again");
  const heard: number[] = [];
  const inbox = sessionInbox("alice", "0".repeat(32), session, host);
  link.on(inbox, ({ data }) => heard.push(opened(data)?.op ?? 0));
  const subject = requestSubject(host, "alice", session);
  const open = new TextEncoder().encode(JSON.stringify({ v: 1, vmsig: "0", name: "again", ttlMs: 60_000 }));
  link.publish(subject, sealed(OP.OPEN, {}, open), inbox);
  link.publish(subject, sealed(OP.COMMAND, { seq, atMs: 1e12, life: 1 }, new Uint8Array(96)), inbox);
  link.publish(subject, sealed(OP.ASK, { seq }), inbox);
  await until("it is told three times", () => heard.length >= 3);
  assertEquals(heard.slice(0, 2), [OP.ENDED, OP.ENDED]);
  assert(heard[2] === OP.ANSWER || heard[2] === OP.FATE);
}
