/**
 * `vmsig join`: this host on a NATS server, beside its daemon.
 * @module
 */
import { Fault, messageOf } from "../../base/fault.ts";
import { printable } from "../../base/printable.ts";
import { ALL_SOURCES, SOURCE, sourceByName, type SourceName, sourceNamesOf } from "../../event/source.ts";
import { defaultSocketPathHere } from "../connect.ts";
import type { MemoryDesk } from "../../nats/join/bridge_session.ts";
import type { Call, CommandModule } from "./command.ts";
import { usage } from "./command_line.ts";
import type { MemoryThread } from "./mem_thread.ts";
import { NATS_OPTIONS, natsOptionsOf } from "./nats_options.ts";
import { note } from "./note.ts";

const METRICS_MS = 5000;
const SOURCES = sourceNamesOf(ALL_SOURCES).map((name) => name.toLowerCase());

/** The command. */
export const join: CommandModule = {
  args: { min: 1, max: 1 },
  isClient: false,
  takesSignals: true,
  options: {
    host: {
      takes: "text",
      value: "NAME",
      help: "the name of this host on the server (default: its host name)",
    },
    events: {
      takes: "list",
      value: "S,…",
      choices: SOURCES,
      help: "sources whose events are published while a reader wants them: core, vmhost, … or none (all)",
    },
    always: {
      takes: "list",
      value: "S,…",
      choices: SOURCES,
      help: "sources whose events are always published (none)",
    },
    "no-requests": {
      takes: "nothing",
      help: "do not serve remote users: publish roster, events and audit only",
    },
    "trust-network": {
      takes: "nothing",
      help: "serve remote users although the server does not authenticate them: anybody can claim any name",
    },
    metrics: {
      takes: "text",
      value: "FILE",
      help: "write counters to it, for node_exporter's textfile collector",
    },
    create: { takes: "nothing", help: "create vmsig's bucket and stream on the server, and exit" },
    "audit-days": {
      takes: "number",
      value: "N",
      min: 1,
      max: 36_500,
      help: "create: days for which the audit is kept (90)",
    },
    replicas: {
      takes: "number",
      value: "N",
      min: 1,
      max: 5,
      help: "create: number of servers in a cluster that store it (1)",
    },
    socket: { takes: "text", value: "PATH", help: "the daemon's control socket (or VMSIG_SOCKET)" },
    creds: NATS_OPTIONS["creds"] as never,
    as: NATS_OPTIONS["as"] as never,
    "nats-ca": NATS_OPTIONS["nats-ca"] as never,
    cert: { takes: "text", value: "FILE", help: "client certificate, for a server that asks for one" },
    key: { takes: "text", value: "FILE", help: "its key" },
  },
  details:
    `Runs beside the daemon, as a control with the grant of its user, and publishes three things on a NATS server: which
VMs there are (one entry per host in the bucket vmsig_roster, which expires without a heartbeat), their events
(subjects vmsig.HOST.ENDPOINT.SOURCE.KIND, unchanged frames, while a reader wants them), and the audit trail (the
stream vmsig_audit). It also carries out requests of remote users, who are identified by their names on the server:
the daemon's config says what each may do ([[admission]] nats = "NAME"), and that this command's user may speak for
them (speaks_for = ["nats:*"]). Their leases always have a keepalive, and everything they held is released when they
fall silent.

The server must authenticate its users and let nobody publish under another's name: config/nats/ has accounts to
start from, and src/nats/README.md says what is guaranteed. Credentials are read from a file that nobody else may
read: a .creds file, an nkey seed or USER:PASSWORD. URL is nats://HOST:4222 or tls://HOST:4222.

If the connection is lost, it reconnects; events that do not fit into its buffer meanwhile are dropped, the least
urgent first, and counted. A host whose name is already taken is refused.`,
  examples: [
    "join nats://10.0.0.5:4222 --creds /etc/vmsig/nats.creds",
    "join tls://nats.example:4222 --host rack3 --creds /etc/vmsig/nats.creds --always core,vmhost",
    "join nats://10.0.0.5:4222 --create --creds admin.creds",
  ],
  async run(call) {
    const nats = natsOptionsOf((option) => option === "nats" ? undefined : call.text(option), call.args[0]);
    if (nats === undefined) throw usage("join", "the address of the server is missing");
    const [cert, key] = [call.text("cert"), call.text("key")];
    if ((cert === undefined) !== (key === undefined)) throw usage("join", "--cert and --key belong together");
    const where = { ...nats, cert, key };
    if (call.flag("create")) return await create(call, where);
    const events = sourcesOf(call.list("events")) ?? ALL_SOURCES;
    const { join } = await import("../../nats/join/join.ts");
    const metrics = call.text("metrics");
    let keeping: ReturnType<typeof setInterval> | undefined;
    // A service is expected to be stopped: it leaves in order, with success.
    const stop = new AbortController();
    const leave = (): void => stop.abort();
    for (const signal of ["SIGTERM", "SIGINT"] as const) Deno.addSignalListener(signal, leave);
    const socketPath = call.socket ?? call.text("socket") ?? defaultSocketPathHere();
    // The code that reads guests is loaded by the first query, on a thread of its own.
    let thread: MemoryThread | undefined;
    const memory: MemoryDesk = async (question) => {
      const { MemoryThread } = await import("./mem_thread.ts");
      return await (thread ??= new MemoryThread(socketPath)).ask(question);
    };
    try {
      await join({
        nats: where,
        host: call.text("host") ?? Deno.hostname(),
        socketPath,
        events: events & ~(1 << SOURCE.NONE),
        always: sourcesOf(call.list("always")) ?? 0,
        serves: !call.flag("no-requests"),
        trustsNetwork: call.flag("trust-network"),
        memory,
        tell: (line) => note(call, line),
        signal: stop.signal,
        onReady: (host) => {
          if (metrics === undefined) return;
          const keep = (): void => keepMetrics(metrics, host.metrics(), (line) => note(call, line));
          keep();
          keeping = setInterval(keep, METRICS_MS);
        },
      });
    } finally {
      clearInterval(keeping);
      thread?.[Symbol.dispose]();
      for (const signal of ["SIGTERM", "SIGINT"] as const) Deno.removeSignalListener(signal, leave);
    }
  },
};

async function create(call: Call, nats: NonNullable<ReturnType<typeof natsOptionsOf>>): Promise<void> {
  const { NatsLink } = await import("../../nats/wire/nats_link.ts");
  const { createLayout } = await import("../../nats/join/server_layout.ts");
  await using link = await NatsLink.open(nats, "vmsig join --create");
  const auditDays = call.number("audit-days") ?? 90;
  for (const line of await createLayout(link, { auditDays, replicas: call.number("replicas") ?? 1 })) {
    if (call.json) call.out.json({ done: line });
    else call.out.line(line);
  }
}

function sourcesOf(names: readonly string[] | undefined): number | undefined {
  if (names === undefined) return undefined;
  let mask = 0;
  for (const name of names) {
    const source = name === "none" ? SOURCE.NONE : sourceByName(name as SourceName);
    if (source === undefined) throw usage("join", `there is no source ${printable(name)}`);
    if (source !== SOURCE.NONE) mask |= 1 << source;
  }
  return mask;
}

/** Replaces the file of counters atomically, so that a reader sees one consistent state. */
function keepMetrics(path: string, text: string, tell: (line: string) => void): void {
  try {
    Deno.writeTextFileSync(`${path}.new`, text);
    Deno.renameSync(`${path}.new`, path);
  } catch (error) {
    if (!(error instanceof Error)) throw new Fault("refused", messageOf(error));
    tell(`the counters cannot be kept in ${printable(path)}: ${error.message}`);
  }
}
