/**
 * What goes wrong around a NATS server: a certificate that is not trusted, credentials that run out, a full
 * disk, a reader that does not read, another clock. The host stays,
 * says what is wrong, counts it, and is as before when it is over; nothing stays held.
 */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { jetstreamManager } from "@nats-io/jetstream";
import { Fault } from "../../src/base/fault.ts";
import { type Client, connect } from "../../src/client/mod.ts";
import { KIND } from "../../src/event/kind.ts";
import { NatsLink } from "../../src/nats/wire/nats_link.ts";
import { AUDIT_STREAM, auditSubject } from "../../src/nats/wire/subjects.ts";
import { DaemonProcess, join, until, vmsig } from "../fixtures/daemon_process.ts";
import { daemonRoot } from "../fixtures/daemon_root.ts";
import { JoinHost } from "../fixtures/joined_host.ts";
import { natsProgram, NatsServer } from "../fixtures/nats_server.ts";
import { natsOperator } from "../fixtures/nats_operator.ts";
import { stopProcess } from "../fixtures/stopped_process.ts";

const ROOT = daemonRoot();
const DENO = ["run", "-A", "--no-check", "--config", `${ROOT}deno.json`];

const rules = `[[admission]]\nuid = ${Deno.uid()}\nendpoints = ["*"]\ncaps = ["*"]\nqueue_events = 65536\n` +
  `speaks_for = ["nats:*"]\n[[admission]]\nnats = "alice"\nendpoints = ["*"]\ncaps = ["*"]\n`;

function needServer(): void {
  assert(
    natsProgram() !== "",
    "nats-server is missing: apt-get install nats-server (scripts/setup.sh guest)",
  );
}

async function create(server: NatsServer, ...more: string[]): Promise<void> {
  const admin = ["--creds", server.creds("admin"), "--as", "admin"];
  const made = await vmsig(["join", server.url, "--create", ...admin, ...more]);
  assertEquals(made.code, 0, made.errors);
}

async function works(client: Client): Promise<void> {
  await until(
    "commands are answered",
    () => client.leaseStatus("rack1/stub0", "input", { timeoutMs: 5000 }).then(() => true, () => false),
  );
}

/** A client whose credentials soon run out; a machine that stalls for that long has another try. */
async function shortLived(open: () => Promise<Client>): Promise<Client> {
  for (let left = 5;; left--) {
    try {
      const client = await open();
      await client.leaseStatus("rack1/stub0", "input");
      return client;
    } catch (error) {
      if (!(error instanceof Fault) || left === 0) throw error;
    }
  }
}

async function metric(path: string, name: string): Promise<number> {
  const text = await Deno.readTextFile(path).catch(() => "");
  return Number(new RegExp(`^vmsig_join_${name} (\\d+)`, "m").exec(text)?.[1] ?? NaN);
}

Deno.test("nats: TLS: a host joins, people come, a page is served; an authority that is not known is told", async () => {
  needServer();
  const folder = await Deno.makeTempDir({ prefix: "vmsig-natstls-" });
  await using _folder = { [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }) };
  const [cert, key] = [`${folder}/server.pem`, `${folder}/server.key`];
  const { success, stderr } = await new Deno.Command("openssl", {
    args: [
      ...[
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
      ],
      ...["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
    ],
    stdout: "null",
    stderr: "piped",
  }).output();
  assert(success, new TextDecoder().decode(stderr));
  await using server = await NatsServer.start({
    more: `tls { cert_file: "${cert}", key_file: "${key}" }`,
    scheme: "tls",
  });
  await using daemon = await DaemonProcess.start({ config: rules, stubs: 1 });
  const trusted = ["--nats-ca", cert];
  const stranger = await vmsig(["ls", ...server.args("alice")]);
  assertEquals(stranger.code, 4, stranger.errors);
  assertMatch(stranger.errors, /no trusted encrypted connection .*--nats-ca/);
  await create(server, ...trusted);
  await using rack = await JoinHost.start({ server, socket: daemon.socket, host: "rack1", more: trusted });
  await until("the VM is there", async () => {
    return /^rack1\/stub0 +up/m.test((await vmsig(["ls", ...server.args("alice"), ...trusted])).text);
  });
  await using client = await join({ name: "far", nats: { ...server.options("alice"), ca: cert } });
  await works(client);

  const web = new Deno.Command(Deno.execPath(), {
    args: [
      ...[...DENO, `${ROOT}main.ts`, "web", "--listen", "127.0.0.1:0", "--link"],
      ...[...server.args("alice"), ...trusted],
    ],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let said = "";
  const reading = Promise.all([web.stdout, web.stderr].map(async (stream) => {
    for await (const part of stream.pipeThrough(new TextDecoderStream())) said += part;
  }));
  await until("the page is served", () => /http:\/\/127\.0\.0\.1:\d+\/#enter/.test(said));
  const page = await fetch(/http:\/\/127\.0\.0\.1:\d+\//.exec(said)?.[0] as string);
  assertEquals(page.status, 200);
  assertMatch(await page.text(), /<html/i);
  web.kill("SIGTERM");
  await web.status;
  await reading;
  await client.close();
  assertEquals(await rack.stop(), 0);
});

Deno.test("nats: JWTs of an operator: who is let in, whose are too old, and whose run out meanwhile", async () => {
  needServer();
  const operator = natsOperator();
  await using server = await NatsServer.start({ accounts: operator.config });
  const seconds = Math.floor(Date.now() / 1000);
  const file = async (name: string, exp?: number): Promise<string> => {
    const path = `${server.folder}/${name}-${exp ?? "ever"}.creds`;
    await Deno.writeTextFile(path, operator.user(name, exp), { mode: 0o600 });
    return path;
  };
  const admin = ["--creds", await file("admin"), "--as", "admin"];
  const made = await vmsig(["join", server.url, "--create", ...admin]);
  assertEquals(made.code, 0, made.errors);
  await using daemon = await DaemonProcess.start({ config: rules, stubs: 1 });
  const rackCreds = await file("rack1");
  await using rack = await JoinHost.start({
    server: { url: server.url, creds: () => rackCreds } as unknown as NatsServer,
    socket: daemon.socket,
    host: "rack1",
  });
  const old = await vmsig(["ls", "--nats", server.url, "--creds", await file("alice", seconds - 60)]);
  assertEquals(old.code, 1, old.errors);
  assertMatch(old.errors, /not-admitted: .*the credentials have expired; have them renewed/);
  const good = await vmsig(["ls", "--nats", server.url, "--creds", await file("alice")]);
  assertMatch(good.text, /rack1\/stub0/, good.errors);

  // They run out while a lease is owned: the session ends on both sides, and what was owned is free.
  await using client = await shortLived(async () => {
    const ends = Math.floor(Date.now() / 1000) + 30;
    return await connect({
      name: "runs out",
      nats: { url: server.url, creds: await file("alice", ends), sessionTtlMs: 15_000 },
    });
  });
  const lease = await client.acquire("rack1/stub0", "input");
  await lease.lost;
  await assertRejects(() => client.leaseStatus("rack1/stub0", "input", { timeoutMs: 2000 }), Fault);
  await using local = await daemon.connect("local");
  await until("nobody owns it", async () => !(await local.leaseStatus("stub0", "input")).busy);
  // The host is none the worse.
  const again = await vmsig([
    "vm",
    "rack1/stub0",
    "query",
    "--nats",
    server.url,
    "--creds",
    await file("alice"),
  ]);
  assert(!/unreachable/.test(again.errors), again.errors);
  assertEquals(await rack.stop(), 0);
});

Deno.test("nats: a full disk: the host stays and says so; with room again it is in the roster as before", async () => {
  needServer();
  await using server = await NatsServer.start({ storeBytes: 2 * 1024 * 1024 });
  await create(server);
  await using daemon = await DaemonProcess.start({ config: rules, stubs: 1 });
  const metrics = `${server.folder}/join.prom`;
  await using rack = await JoinHost.start({
    server,
    socket: daemon.socket,
    host: "rack1",
    more: ["--metrics", metrics],
  });
  await using client = await join({ name: "far", nats: server.options("alice") });
  await works(client);
  // What the audit's stream takes fills the store: a host's own credentials may write there.
  await using filler = await NatsLink.open(server.options("rack1"), "fills");
  // Large ones, and small ones in what room is left: then not even an entry of the audit fits.
  for (const bytes of [256 * 1024, 16 * 1024, 256]) {
    let isFull = false;
    for (let i = 0; i < 2000 && !isFull; i++) {
      const message = new Uint8Array(bytes);
      const { data } = await filler.nc.request(auditSubject("rack1"), message, { timeout: 30_000 });
      isFull = new TextDecoder().decode(data).includes("error");
    }
    assert(isFull, "the store is full");
  }
  // Something for the audit happens meanwhile, and waits.
  {
    await using local = await daemon.connect("local");
    await (await local.acquire("stub0", "power")).release();
  }
  await until("the audit waits", async () => await metric(metrics, "audit_waiting") > 0);
  await until("the host has told it", () => /the audit waits/.test(rack.text));
  // Commands need no disk, as long as the host is known.
  await client.leaseStatus("rack1/stub0", "input", { timeoutMs: 10_000 }).catch((error) => {
    assert(error instanceof Fault);
  });
  await using admin = await NatsLink.open(server.options("admin"), "frees");
  await (await jetstreamManager(admin.nc)).streams.delete(AUDIT_STREAM);
  await create(server);
  await until("the audit is written", async () => await metric(metrics, "audit_waiting") === 0);
  await until("the host is in the roster", async () => {
    return /^rack1\/stub0 +up/m.test((await vmsig(["ls", ...server.args("alice")])).text);
  });
  await works(client);
  await client.close();
  assertEquals(await rack.stop(), 0);
});

Deno.test("nats: a reader that does not read is given up by the server, comes back, and is told how many it missed", async () => {
  needServer();
  const COUNT = 20_000;
  await using server = await NatsServer.start({ more: 'max_pending: 1048576\nwrite_deadline: "1s"' });
  await create(server);
  await using daemon = await DaemonProcess.start({ config: rules, stubs: 1 });
  await using rack = await JoinHost.start({ server, socket: daemon.socket, host: "rack1" });
  const reader = new Deno.Command(Deno.execPath(), {
    args: [...DENO, `${ROOT}tests/fixtures/nats_counter.ts`, server.url, server.creds("alice"), "alice"],
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  let said = "";
  const reading = (async () => {
    for await (const part of reader.stdout.pipeThrough(new TextDecoderStream())) said += part;
  })();
  try {
    await until("the reader reads", () => said.includes("ready"));
    await stopProcess(reader.pid);
    await using publisher = await daemon.connect("publisher", { sources: [] });
    await using asker = await daemon.connect("asker", { sources: ["CORE"] });
    const endpoint = await asker.endpoint("stub0");
    const publish = async (first: number, last: number): Promise<void> => {
      for (let i = first; i <= last;) {
        try {
          publisher.publish(KIND.VGPU_STATUS, endpoint, ({ words }) => {
            words[0] = 2;
            words[1] = i;
          });
          i++;
        } catch (error) {
          if (!(error instanceof Fault && error.code === "busy")) throw error;
          await new Promise((resolve) => setTimeout(resolve, 1));
        }
      }
      await publisher.barrier();
    };
    // How much the kernel keeps for a socket differs from one to the next.
    let next = 0;
    await until("the server gives the reader up", async () => {
      await publish(next + 1, next + COUNT);
      next += COUNT;
      return /slow consumer/i.test(await Deno.readTextFile(`${server.folder}/log`).catch(() => ""));
    });
    reader.kill("SIGCONT");
    // It is back at some time; the next event shows what is missing before it.
    await until("the reader hears again", async () => {
      next++;
      await publish(next, next);
      await new Promise((resolve) => setTimeout(resolve, 200));
      return /^heard .* gap/m.test(said);
    });
    const [, got = "", told = "", missing = ""] = /^heard (\d+) told (\d+) missing (\d+) gap/m.exec(said) ??
      [];
    assert(Number(missing) > 0 && Number(got) > 0, said);
    // What was published after the reader was away for longer than its want lives did not leave the host.
    assert(Number(told) > 0, `${missing} are missing, ${told} were told`);
  } finally {
    reader.kill("SIGKILL");
    await reader.status;
    await reading;
  }
  assertEquals(await rack.stop(), 0);
});

Deno.test("nats: a host whose clock is days ahead, and one that it meets, agree on deadlines and liveness", async () => {
  needServer();
  if (Deno.uid() !== 0) return console.log("not root: no time namespace can be made");
  const wrapper = ["unshare", "--time", "--monotonic", "1000000", "--boottime", "1000000", "--"];
  await using server = await NatsServer.start();
  await create(server);
  await using daemon = await DaemonProcess.start({ config: rules, stubs: 1 });
  await using rack = await JoinHost.start({ server, socket: daemon.socket, host: "rack1", wrapper });
  await using client = await join({ name: "far", nats: server.options("alice") });
  await works(client);
  const lease = await client.acquire("rack1/stub0", "input");
  await client.leaseStatus("rack1/stub0", "input");
  await lease.release();
  await client.close();
  assertEquals(await rack.stop(), 0);
});
