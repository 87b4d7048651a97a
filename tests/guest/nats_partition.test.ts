/**
 * Three hosts as network namespaces of the test's own around a real nats-server: real guests on two of them,
 * a person on the third. What the person sees and does; then cables are pulled at random points, and a
 * checker reads the hosts' own audits: at most one owner, tokens only grow, each command done at most once
 * and in agreement with what its sender was told, at once or when it asked afterwards; at the end nothing is
 * held, nothing owned, and no key is down in a guest.
 *
 * VMSIG_NATS_PARTITIONS=100 pulls a hundred times (the nightly run).
 */
import "../unit/ffi/loaded_shim.ts";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { DaemonProcess, until, vmsig } from "../fixtures/daemon_process.ts";
import { daemonRoot } from "../fixtures/daemon_root.ts";
import { JoinHost } from "../fixtures/joined_host.ts";
import { LeaseChecker } from "../fixtures/lease_checker.ts";
import { NatsNetwork } from "../fixtures/nats_network.ts";
import { natsProgram, NatsServer, type NatsUser } from "../fixtures/nats_server.ts";
import { SeededRandom } from "../fixtures/seeded_random.ts";
import { startSavedGuest } from "./saved_guest.ts";

const PARTITIONS = Number(Deno.env.get("VMSIG_NATS_PARTITIONS") ?? 15);
/** Shorter than anything notices, longer than a lease lives, longer than a session lives, ms. */
const LENGTHS = [30, 400, 2500, 4500] as const;
/** Operations that a person has done from one partition to the next. */
const BETWEEN = 2;
const KEY = 30;

const rule = (who: string, prio: number, more = "") =>
  `[[admission]]\n${who}\nendpoints = ["*"]\ncaps = ["*"]\narb_prio = ${prio}\n${more}\n`;
const RULES = rule("uid = 0", 10, 'speaks_for = ["nats:*"]') + rule('nats = "alice"', 10);

interface Told {
  readonly op: string;
  readonly vm: string;
  readonly outcome?: string;
  readonly truth?: string;
  readonly why?: string;
}

/** The person's program. */
class Person implements AsyncDisposable {
  readonly told: Told[] = [];
  readonly #child: Deno.ChildProcess;
  readonly #reading: Promise<void>;

  constructor(wrapper: readonly string[], args: readonly string[]) {
    const root = daemonRoot();
    const [program = "", ...rest] = [
      ...[...wrapper, Deno.execPath(), "run", "-A", "--no-check", "--config", `${root}deno.json`],
      ...[`${root}tests/fixtures/nats_reader.ts`, ...args],
    ];
    this.#child = new Deno.Command(program, { args: rest, stdin: "null", stdout: "piped", stderr: "inherit" })
      .spawn();
    this.#reading = this.#read();
  }

  /** How often something ended so. */
  count(op: string, isSo: (told: Told) => boolean, vm?: string): number {
    return this.told.filter((each) => each.op === op && (vm === undefined || each.vm === vm) && isSo(each))
      .length;
  }

  async end(): Promise<void> {
    this.#child.kill("SIGTERM");
    await this.#child.status;
    await this.#reading;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    await this.#child.status;
    await this.#reading;
  }

  async #read(): Promise<void> {
    let rest = "";
    for await (const part of this.#child.stdout.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + part).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) this.told.push(JSON.parse(line));
    }
  }
}

const isOk = ({ outcome }: Told): boolean => outcome === "ok";

/** A host: a guest, its daemon, and what puts it on the server. */
async function startHost(
  stack: AsyncDisposableStack,
  network: NatsNetwork,
  which: number,
  server: NatsServer,
) {
  const vm = stack.use(
    await startSavedGuest({
      append: "quiet console=ttyS0 console=tty0 no_timer_check random.trust_cpu=on",
      devices: ["virtio-input"],
      programs: ["console"],
      ramMiB: 256,
      extraArgs: ["-vga", "std"],
    }),
  );
  const recorder = await vm.agent.start("evrec");
  await recorder.lineMatching(/^recording/);
  const place = network.places[which];
  assert(place !== undefined);
  const config = `[[endpoint]]\nname = "vm"\nvmid = 1\nqmp = "${vm.qmpPath}"\ninput = "qmp"\n${RULES}`;
  const daemon = stack.use(await DaemonProcess.start({ config, wrapper: place.wrapper }));
  const host = `rack${which + 1}` as NatsUser & string;
  const from = { url: place.server, creds: (user: NatsUser) => server.creds(user) } as unknown as NatsServer;
  const rack = stack.use(
    await JoinHost.start({ server: from, socket: daemon.socket, host, wrapper: place.wrapper }),
  );
  const client = stack.use(await daemon.connect("checker"));
  /** What the guest got of the key: downs and ups. */
  const keys = () => {
    const all = [...recorder.text.matchAll(/^event\d+ 1 (\d+) ([01])$/gm)]
      .filter(([, code]) => Number(code) === KEY)
      .map(([, , value]) => value);
    return {
      downs: all.filter((value) => value === "1").length,
      ups: all.filter((value) => value === "0").length,
    };
  };
  return { name: `${host}/vm`, client, checker: new LeaseChecker(client), rack, keys };
}

Deno.test(`nats: three hosts, two guests, ${PARTITIONS} partitions at random points, under a checker`, async () => {
  assert(
    natsProgram() !== "",
    "nats-server is missing: apt-get install nats-server (scripts/setup.sh guest)",
  );
  if (Deno.uid() !== 0) {
    console.log("not root: network namespaces cannot be made, and no cable is pulled");
    return;
  }
  const seed = Number(Deno.env.get("VMSIG_SEED") ?? Math.floor(Math.random() * 2 ** 31));
  console.log(`VMSIG_SEED=${seed}`);
  const random = new SeededRandom(seed);
  await using stack = new AsyncDisposableStack();
  const network = stack.use(await NatsNetwork.make(3));
  const server = stack.use(
    await NatsServer.start({ listen: "0.0.0.0", wrapper: network.wrapper, port: 4222 }),
  );
  const [near, , home] = network.places;
  assert(near !== undefined && home !== undefined);
  const admin = ["--creds", server.creds("admin"), "--as", "admin"];
  const created = await vmsig(["join", near.server, "--create", ...admin], near.wrapper);
  assertEquals(created.code, 0, created.errors);
  const hosts = [await startHost(stack, network, 0, server), await startHost(stack, network, 1, server)];

  // What a person sees and does from the third host.
  const far = ["--nats", home.server, "--creds", server.creds("alice"), "--as", "alice"];
  const run = async (...words: string[]): Promise<string> => {
    const { code, text, errors } = await vmsig([...words, ...far], home.wrapper);
    assertEquals(code, 0, `${words.join(" ")}: ${text}${errors}`);
    return text;
  };
  await until("both VMs are in the roster", async () => {
    const text = await run("ls", "--wide");
    return hosts.every(({ name }) => new RegExp(`^${name} +up +running +\\S*frame`, "m").test(text));
  });
  for (const { name } of hosts) {
    await run("type", name, `echo i am ${name.replace("/", " on ")}`);
    await run("key", name, "enter");
    await run("wait", name, "--text", `^i am ${name.replace("/", " on ")}`, "--timeout", "120000");
    assertMatch(await run("screen", name, "--text"), new RegExp(`i am ${name.replace("/", " on ")}`));
    await run("screen", name, "-o", `${server.folder}/screen.png`);
    const picture = await Deno.readFile(`${server.folder}/screen.png`);
    assertEquals([...picture.subarray(1, 4)], [...new TextEncoder().encode("PNG")]);
  }

  const args = [home.server, server.creds("alice"), "alice", `${seed}`, ...hosts.map(({ name }) => name)];
  const person = stack.use(new Person(home.wrapper, args));
  await until("the person sees what VMs do", () => person.told.some(({ op }) => op === "watch"));
  assertEquals(
    person.told[0]?.outcome,
    "rack1/vm paused, rack1/vm running, rack2/vm paused, rack2/vm running",
  );
  const stops = () => person.count("stop", isOk);
  await until("the person works", () => stops() >= BETWEEN);
  const fights = { won: 0, lost: 0 };
  for (let i = 0; i < PARTITIONS; i++) {
    const which = random.below(3);
    await network.cable(which, false);
    await new Promise((resolve) => setTimeout(resolve, LENGTHS[random.below(LENGTHS.length)]));
    // A local person fights for the keyboard meanwhile.
    const { client } = hosts[random.below(2)] as typeof hosts[number];
    const fight = await client.acquire("vm", "input", { ttlMs: 60_000 }).catch(() => undefined);
    if (fight === undefined) fights.lost++;
    else fights.won++;
    await fight?.release();
    await network.cable(which, true);
    const before = stops();
    await until("the person works again", () => stops() >= before + BETWEEN);
  }
  await person.end();
  assertEquals(person.told.at(-1)?.op, "over", "each command has come to its end");

  for (const { name, client, checker, keys } of hosts) {
    // Nothing owned, nothing held, no key down, however it ended.
    await until("nothing is owned", async () => {
      const [input, power] = await Promise.all([
        client.leaseStatus("vm", "input"),
        client.leaseStatus("vm", "power"),
      ]);
      return !input.busy && !power.busy;
    });
    await until("nothing is held", async () => (await client.held("vm")).entries.length === 0);
    await checker.end();
    const { operations, grants, faults } = checker;
    assertEquals(faults, []);
    // Those of the beginning, and what was confirmed, at once or afterwards.
    const ops = ["stop", "cont"];
    const sum = (isSo: (told: Told) => boolean) => ops.reduce((n, op) => n + person.count(op, isSo, name), 2);
    const done = sum((told) => isOk(told) || told.truth === "done");
    const unknown = sum(({ truth }) => truth === "unknown") - 2;
    assert(
      done <= operations && operations <= done + unknown,
      `${name}: ${done} operations were confirmed, ${unknown} are unknown, ${operations} were done`,
    );
    // One more, for the VM to run: what its guest has not seen yet it sees then.
    await client.vm("vm", "cont");
    const pressed = person.count("press", (told) => isOk(told) || told.truth === "done", name);
    await until(`${name}: the key is up`, () => keys().downs >= pressed && keys().downs === keys().ups);
    console.log(
      `${name}: ${grants} leases, ${operations} operations, ${done} confirmed, ${unknown} unknown, ` +
        `${keys().downs} presses in the guest, ${pressed} confirmed`,
    );
  }
  const all = person.told;
  const open = all.filter(({ outcome }) => outcome === "open").length;
  const found = (what: string) => all.filter(({ truth }) => truth === what).length;
  assertEquals(all.filter(({ truth }) => truth !== undefined).length, open, "each is found out by its corr");
  console.log(
    `${all.length} commands, ${open} without an answer: ${found("done")} were done, ${
      found("refused")
    } refused, ` +
      `${found("never")} never done, ${found("unknown")} unknown; fights: ${JSON.stringify(fights)}`,
  );
  const whys = all.filter(({ truth }) => truth === "unknown").map(({ op, why }) => `${op}: ${why}`);
  if (whys.length > 0) console.log(whys.join("\n"));
  for (const { rack } of hosts) assertEquals(await rack.stop(), 0);
});
