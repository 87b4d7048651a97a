/**
 * Receives the requests of remote users to this host, and passes them to their sessions. The user is named in
 * the subject, and the server ensures that nobody publishes under another's name (config/nats/). An answer
 * goes to that user's inbox only, whatever the message says.
 *
 * Where the time of one command goes (us; best tenth and median of 14,000, on two cores that also served ten
 * other programs; 114 and 200 in total):
 *
 *   the reader's program until it writes                7   11
 *   through the server to this program's callback      31   45
 *   here until the daemon's socket is written to        4    6
 *   the daemon: the write, its turn, its answer        20   29
 *   here until the answer is written                    7   10
 *   through the server to the reader's callback        31   49
 *   the reader's program until the caller has it        9   14
 *
 * (Measured with a plain socket under the library; its own transport takes a tenth longer in each direction
 * through the server.) What remains is the transport through the server in both directions, which a bare
 * request needs as well, and the daemon's turn in its own process. Nothing on the way waits for another turn
 * of the event loop.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { Fault } from "../../base/fault.ts";
import type { EndpointId } from "../../base/ids.ts";
import { printable } from "../../base/printable.ts";
import { BridgeSession, type MemoryDesk } from "./bridge_session.ts";
import type { JoinCounts } from "./counts.ts";
import type { LocalPlace } from "./host_view.ts";
import type { LocalBus } from "./local_bus.ts";
import type { Known } from "./kept_answers.ts";
import { MemoryTurns } from "./memory_turns.ts";
import { RetiredSessions } from "./retired_sessions.ts";
import { ENVELOPE_VERSION, FATE, OP, opened, sealed } from "../wire/envelope.ts";
import { countField, readJson, textField, writeJson } from "../wire/json_body.ts";
import { isMemoryWait } from "../wire/memory_question.ts";
import type { NatsLink, NatsMessage } from "../wire/nats_link.ts";
import { messageHead } from "../wire/publish_batch.ts";
import { inboxPrefix, type Requester, requesterOf, requestsTo } from "../wire/subjects.ts";

const MOST_SESSIONS = 128;
const MOST_OF_A_USER = 16;
const MOST_OPEN_BYTES = 2048;
const MOST_REPLY = 300;
const LEAST_TTL_MS = 2000;
const MOST_TTL_MS = 60_000;

/** The options of a desk. */
export interface SessionDeskOptions {
  /** The host's name. */
  readonly host: string;
  /** The server. */
  readonly link: NatsLink;
  /** The daemon. */
  readonly bus: LocalBus;
  /** The current endpoint with a number. */
  readonly place: (endpoint: EndpointId) => LocalPlace | undefined;
  /** Queries about memory. */
  readonly memory: MemoryDesk | undefined;
  /** The counters. */
  readonly counts: JoinCounts;
  /** Prints a line for the operator. */
  readonly tell: (line: string) => void;
}

/** Dispatches requests to sessions. */
export class SessionDesk implements AsyncDisposable {
  readonly #options: SessionDeskOptions;
  readonly #turns = new MemoryTurns();
  /** Sessions by the subject of their requests, so that a subject is parsed only once. */
  readonly #sessions = new Map<string, BridgeSession>();
  readonly #retired = new RetiredSessions();
  readonly #nowMs = (): number => performance.now();
  #isEnded = false;

  /** Starts listening. */
  constructor(options: SessionDeskOptions) {
    this.#options = options;
    options.link.on(requestsTo(options.host), (message) => this.#receive(message));
  }

  /** Number of open sessions. */
  get size(): number {
    return this.#sessions.size;
  }

  /** Ends the sessions whose readers are not heard from. */
  expire(): void {
    const now = this.#nowMs();
    this.#retired.expire(now);
    for (const session of [...this.#sessions.values()]) {
      if (!session.isSilent(now)) continue;
      this.#options.counts.silent++;
      void session.end(new Fault("timed-out", "the session expired: no message came within its ttl"));
    }
  }

  /** Ends all sessions. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isEnded = true;
    const why = new Fault("shutting-down", "this host is leaving; connect again when it is back");
    await Promise.all([...this.#sessions.values()].map((session) => session.end(why)));
    assert(this.#sessions.size === 0, "a session that has ended is not kept");
  }

  #receive({ subject, data, reply }: NatsMessage): void {
    if (this.#isEnded) return;
    const { counts } = this.#options;
    counts.requests++;
    const session = this.#sessions.get(subject);
    const envelope = opened(data);
    // A session answers the inbox that it was opened from, whatever a later message says.
    if (session !== undefined && envelope !== undefined && envelope.op !== OP.ASK) {
      return session.receive(envelope);
    }
    const who = requesterOf(subject);
    // An answer to another subject would let the requester publish, in this host's name, where it may not.
    if (who === undefined || !isInboxOf(reply, who.userToken)) return void counts.notUnderstood++;
    if (envelope === undefined) {
      counts.notUnderstood++;
      return this.#refuse(
        reply,
        0,
        new Fault(
          "protocol-error",
          `it does not use version ${ENVELOPE_VERSION} of the requests; use the same version of vmsig on both sides`,
        ),
      );
    }
    const { op, seq, body } = envelope;
    // A query from any program of the session's user.
    if (session !== undefined) return this.#tellFate(reply, seq, session.ask(seq));
    const retired = this.#retired.find(who.userToken, who.session);
    if (op === OP.ASK) {
      return this.#tellFate(reply, seq, retired?.look(seq) ?? { is: "fate", fate: FATE.NO_SESSION });
    }
    if (op === OP.OPEN && retired === undefined) return this.#open(subject, who, reply, body);
    if (op === OP.CLOSE || op === OP.SHOWN) return;
    this.#end(
      reply,
      new Fault("unreachable", "the session has ended: it expired, or the host was restarted"),
    );
  }

  /**
   * A request that has not arrived will not be carried out, since its outcome has been asked for or its
   * session has ended.
   */
  #tellFate(reply: string, seq: number, known: Known): void {
    const head = { seq, atMs: this.#nowMs() };
    const fate = Uint8Array.of(known.is === "fate" ? known.fate : FATE.NEVER);
    const isAnswered = known.is === "answered";
    const said = isAnswered ? sealed(OP.ANSWER, head, known.answer) : sealed(OP.FATE, head, fate);
    this.#options.link.publish(reply, said);
  }

  #open(
    subject: string,
    { user, userToken, session: number }: Requester,
    reply: string,
    body: Uint8Array,
  ): void {
    const { link, bus, place, memory, counts, tell } = this.#options;
    const map = readJson(body, MOST_OPEN_BYTES);
    const name = map === undefined ? undefined : textField(map, "name", 128);
    if (map === undefined || name === undefined) {
      counts.notUnderstood++;
      return this.#refuse(reply, 0, new Fault("protocol-error", "the opening message cannot be decoded"));
    }
    const of = [...this.#sessions.values()].filter((each) => each.user === user).length;
    if (this.#sessions.size >= MOST_SESSIONS || of >= MOST_OF_A_USER) {
      counts.refused++;
      return this.#refuse(
        reply,
        0,
        new Fault("busy", `it has ${this.#sessions.size} sessions already, ${of} of this user`),
      );
    }
    const ttlMs = Math.max(LEAST_TTL_MS, countField(map, "ttlMs", MOST_TTL_MS) ?? MOST_TTL_MS);
    const head = messageHead(reply);
    const session = new BridgeSession({
      ...{ user, ttlMs, bus, place, counts },
      memory: memory && ((question) => {
        const isWait = isMemoryWait(question.body);
        return this.#turns.take(user, isWait, () => memory(question));
      }),
      name: `nats ${printable(user)}: ${printable(name)}`.slice(0, 120),
      nowMs: this.#nowMs,
      say: (envelope, body) => void link.post(head, body, 0, body.length, envelope),
      onEnd: () => {
        this.#sessions.delete(subject);
        // A session that was not admitted has done nothing, and may be admitted later.
        if (session.isOpen) this.#retired.add(userToken, number, session.kept, this.#nowMs());
      },
    });
    this.#sessions.set(subject, session);
    session.open().then(() => void counts.sessions++, (error) => {
      if (!(error instanceof Fault)) throw error;
      counts.refused++;
      tell(`${printable(user)} was refused: ${error.message}`);
      this.#refuse(reply, 0, error);
      void session.end();
    });
  }

  #refuse(reply: string, seq: number, { code, message }: Fault): void {
    const head = { seq, atMs: this.#nowMs() };
    this.#options.link.publish(reply, sealed(OP.REFUSED, head, writeJson({ code, text: message })));
  }

  #end(reply: string, { code, message }: Fault): void {
    const head = { atMs: this.#nowMs() };
    this.#options.link.publish(reply, sealed(OP.ENDED, head, writeJson({ code, text: message })));
  }
}

/** Whether a subject is in a user's inbox: plain tokens below it. */
export function isInboxOf(reply: string | undefined, userToken: string): reply is string {
  if (reply === undefined || reply.length > MOST_REPLY) return false;
  const prefix = `${inboxPrefix(userToken)}.`;
  return reply.startsWith(prefix) &&
    /^[A-Za-z0-9_=-]+(\.[A-Za-z0-9_=-]+){0,7}$/.test(reply.slice(prefix.length));
}
