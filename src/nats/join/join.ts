/**
 * `vmsig join`: connects this host to a NATS server. It is a control like any other: it has the grant of the
 * user that it runs as, and the daemon does not know about NATS.
 * @module
 */
import { Fault } from "../../base/fault.ts";
import { oneLine } from "../../base/printable.ts";
import type { Client } from "../../client/client.ts";
import { auditSubject, isName, nameOfToken, NOWHERE, token, wantsTo } from "../wire/subjects.ts";
import { NatsLink, type NatsOptions, serversOf } from "../wire/nats_link.ts";
import { readWant } from "../wire/want.ts";

import { AuditWriter } from "./audit_writer.ts";
import type { MemoryDesk } from "./bridge_session.ts";
import { JoinCounts } from "./counts.ts";
import { EventFeed } from "./event_feed.ts";
import { EventNumbers } from "./event_numbers.ts";
import { HostView } from "./host_view.ts";
import { LocalBus } from "./local_bus.ts";
import { OutQueue } from "./out_queue.ts";
import { RosterWriter } from "./roster_writer.ts";
import { Wants } from "./wants.ts";
import { isInboxOf, SessionDesk } from "./session_desk.ts";

const TICK_MS = 1000;

/** The options of `vmsig join`. */
export interface JoinOptions {
  /** The server, and our credentials. */
  readonly nats: NatsOptions;
  /** The name of this host. */
  readonly host: string;
  /** The daemon's socket. */
  readonly socketPath: string;
  /** Sources whose events may be sent, bit 1 << source. */
  readonly events: number;
  /** Sources whose events are always sent. */
  readonly always: number;
  /** Whether remote users are served. */
  readonly serves: boolean;
  /** Whether remote users are served even if the server does not authenticate them. */
  readonly trustsNetwork: boolean;
  /** Answers queries about memory. */
  readonly memory?: MemoryDesk | undefined;
  /** Prints a line for the operator. */
  readonly tell: (line: string) => void;
  /** Aborted to leave. */
  readonly signal: AbortSignal;
  /** Called when the host has joined. */
  readonly onReady?: (host: JoinedHost) => void;
}

/** A host that has joined. */
export interface JoinedHost {
  /** Its counters. */
  readonly counts: JoinCounts;
  /** The counters and the current state, in Prometheus's text format. */
  metrics(): string;
}

/**
 * Joins, and stays until the signal aborts.
 *
 * @throws {Fault} why it cannot join or stay
 */
export async function join(options: JoinOptions): Promise<void> {
  const { nats, host, socketPath, tell, signal } = options;
  if (!isName(host)) {
    throw new Fault("usage", "Cannot join: the host's name is empty or longer than 128 bytes");
  }
  serversOf(nats.url);
  await using stack = new AsyncDisposableStack();
  const counts = new JoinCounts();
  const over = Promise.withResolvers<Fault | undefined>();
  signal.addEventListener("abort", () => over.resolve(undefined), { once: true });
  const bus = new LocalBus(socketPath);
  const parts: { view?: HostView; writer?: RosterWriter; feed?: EventFeed } = {};
  const onAway = (fault: Fault): void => {
    tell(`the daemon is away: ${fault.message}`);
    parts.view?.setAway();
  };
  // The daemon first: without one there is nothing to report.
  const client = await bus.client("vmsig join", { sources: ["CORE", "VMHOST"] }, { onAway });
  stack.defer(() => closed(client));
  const link = stack.use(await NatsLink.open(nats, `vmsig join ${host}`));
  checkServer(link, options);
  const run = crypto.randomUUID().replaceAll("-", "");
  const audit = new AuditWriter({ link, subject: auditSubject(host), run, counts, tell });
  const view = parts.view = new HostView(client, { host, run, machine: await machineHash(), pid: Deno.pid }, {
    onEntry: () => {
      parts.feed?.forgetNames();
      parts.writer?.change();
    },
    onAudit: (frame) => audit.push(frame),
  });
  stack.defer(async () => {
    // The view follows the client until that is closed.
    await closed(client);
    await view[Symbol.asyncDispose]();
  });
  await client.completeRoster();
  const numbers = new EventNumbers(host);
  const overruns = numbers.outlet(NOWHERE, "CORE", "OVERRUN");
  const queue = new OutQueue(link, overruns, counts, () => parts.feed?.wake());
  const feed = parts.feed = stack.use(
    new EventFeed({
      ...{ numbers, bus, view, queue, allowed: options.events | options.always },
      onOverrun: (lost) => {
        if (counts.overrun === 0) {
          tell(
            `the daemon has dropped ${lost} events that this host's queue had no room for, and readers are notified; ` +
              "queue_events = 16384 in the [[admission]] of this user makes the queue longer",
          );
        }
        counts.overrun += lost;
      },
    }),
  );
  parts.writer = stack.use(
    await RosterWriter.open({
      link,
      entry: () => view.entry,
      tell,
      onFault: (fault) => over.resolve(fault),
    }),
  );
  const wants = serveWants(link, host, feed, options.always);
  const desk = !options.serves ? undefined : stack.use(
    new SessionDesk({
      host,
      link,
      bus,
      place: (at) => view.place(at),
      memory: options.memory,
      counts,
      tell,
    }),
  );
  const ticking = setInterval(() => {
    if (desk !== undefined && desk.size > 0) desk.expire();
    if (wants.readers > 0) wants.expire();
  }, TICK_MS);
  stack.defer(() => clearInterval(ticking));
  link.listen({
    onDown: () => {
      counts.serverDowns++;
      tell("disconnected from the NATS server; events are queued up to a limit");
    },
    onUp: () => tell(`reconnected to the NATS server; ${counts.dropped} events were dropped so far`),
    onRefusal: (text) =>
      tell(`the NATS server refused an operation: ${text}; config/nats/ has what a host needs`),
  });
  // A server that no longer admits us closes the connection for good.
  void link.nc.closed().then((error) => {
    if (error !== undefined && error !== null) {
      over.resolve(
        new Fault(
          "unreachable",
          `Cannot continue: the server closed the connection (${oneLine(String(error))})`,
        ),
      );
    }
  });
  tell(`joined ${nats.url} as ${oneLine(host)}, user ${oneLine(link.user)}`);
  options.onReady?.({
    counts,
    metrics: () =>
      counts.lines({
        endpoints: view.entry.endpoints.length,
        server_up: link.isUp ? 1 : 0,
        daemon_up: view.entry.isUp ? 1 : 0,
        events_waiting: queue.waiting,
        audit_waiting: audit.waiting,
        open_sessions: desk?.size ?? 0,
        readers: wants.readers,
        events_flowing: feed.isFlowing ? 1 : 0,
      }),
  });
  const fault = await over.promise;
  await audit.end();
  if (fault !== undefined) throw fault;
}

/** Receives what readers want, and adjusts the feed. */
function serveWants(
  link: NatsLink,
  host: string,
  feed: EventFeed,
  always: number,
): { readonly readers: number; expire(): void } {
  const wants = new Wants();
  const follow = async (): Promise<void> => await feed.want(wants.sources | always);
  for (const subject of wantsTo(host)) {
    link.on(subject, ({ subject, data, reply }) => {
      const userToken = subject.split(".").at(-1) ?? "";
      const user = nameOfToken(userToken);
      const want = readWant(data);
      if (user === undefined || want === undefined) return;
      wants.take(user, want, performance.now());
      void follow().then(() => {
        if (!isInboxOf(reply, userToken)) return;
        link.publish(`${reply}.${token(host)}`, new Uint8Array(0));
      });
    });
  }
  void follow();
  return {
    get readers() {
      return wants.readers;
    },
    expire: () => {
      const before = wants.sources;
      wants.expire(performance.now());
      if (wants.sources !== before) void follow();
    },
  };
}

/** The requester's name comes from the server, so the server must have authenticated it. */
function checkServer(link: NatsLink, { serves, trustsNetwork }: JoinOptions): void {
  const { auth_required: asks, headers } = link.nc.info ?? {};
  if (headers !== true) {
    throw new Fault("not-supported", "Cannot join: this server is older than 2.9; update it");
  }
  if (!serves || trustsNetwork || asks === true) return;
  throw new Fault(
    "refused",
    "Cannot serve remote users: this server does not authenticate its clients, so that anyone could act as any user; give it accounts (config/nats/), or pass --no-requests, or --trust-network where everyone may do everything",
  );
}

async function closed(client: Client): Promise<void> {
  try {
    await client.close();
  } catch (error) {
    // The daemon is gone already.
    if (!(error instanceof Fault)) throw error;
  }
}

/** An id of this machine, as a hash that reveals nothing about it. */
async function machineHash(): Promise<string> {
  let text = "";
  for (const path of ["/etc/machine-id", "/proc/sys/kernel/random/boot_id"]) {
    try {
      text += Deno.readTextFileSync(path);
    } catch (error) {
      // Without it, two hosts with the same name are distinguished by their runs.
      if (!(error instanceof Error)) throw error;
    }
  }
  if (text === "") return "";
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(`vmsig join ${text}`));
  return [...new Uint8Array(digest).subarray(0, 8)].map((byte) => byte.toString(16).padStart(2, "0")).join(
    "",
  );
}
