/**
 * Asks hosts for the outcomes of requests: of this program's sessions, also ended ones, and of other programs
 * of the same user. It repeats the question until there is an answer, because a question or its answer may be
 * lost like the command was.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { CODE, codeName } from "../../base/codes.ts";
import { Fault } from "../../base/fault.ts";
import { oneLine } from "../../base/printable.ts";
import { ACT_ACK } from "../../event/body_layout.ts";
import { KIND } from "../../event/kind.ts";
import { FRAME } from "../../protocol/frame.ts";
import { copied, FATE, OP, opened, sealed } from "../wire/envelope.ts";
import type { NatsLink } from "../wire/nats_link.ts";
import { type CommandId, commandIdText, type CommandOutcome } from "../wire/outcome.ts";
import { requestSubject, sessionInbox, token } from "../wire/subjects.ts";

const AGAIN_MS = 500;
/** Number of commands that are remembered. */
const MOST_SENT = 1024;

/** Asks for outcomes. */
export class OutcomeAsker {
  readonly #link: NatsLink;
  readonly #reader: string;
  readonly #sent = new Map<number, CommandId>();
  #forgotten = 0;
  readonly #asked = new Map<string, PromiseWithResolvers<CommandOutcome>>();

  /** Starts without questions. @param reader this program's id */
  constructor(link: NatsLink, reader: string) {
    this.#link = link;
    this.#reader = reader;
  }

  /** A command was sent. */
  note(corr: number, host: string, session: string, seq: number): void {
    assert(corr !== 0 && seq !== 0, "what is answered has numbers");
    this.#sent.set(corr, { host, session, seq });
    if (this.#sent.size <= MOST_SENT) return;
    for (const oldest of this.#sent.keys()) {
      this.#sent.delete(oldest);
      this.#forgotten = Math.max(this.#forgotten, oldest);
      break;
    }
  }

  /** Which request a command was; undefined: it was not sent, or that was too long ago. */
  idOf(corr: number): CommandId | undefined {
    return this.#sent.get(corr);
  }

  /** What is known here about a command without an id. */
  here(corr: number): CommandOutcome {
    return corr <= this.#forgotten ? { is: "unknown", why: "too many came after it" } : { is: "never" };
  }

  /**
   * Asks a host.
   *
   * @throws {Fault} `unreachable`, `timed-out`: it may be asked again
   */
  async ask(id: CommandId, timeoutMs: number): Promise<CommandOutcome> {
    const key = commandIdText(id);
    const asked = this.#asked.get(key) ?? Promise.withResolvers<CommandOutcome>();
    this.#asked.set(key, asked);
    const { user } = this.#link;
    const subject = requestSubject(id.host, user, id.session);
    const inbox = sessionInbox(token(user), this.#reader, id.session, id.host);
    const say = (): void => void this.#link.publish(subject, sealed(OP.ASK, { seq: id.seq }), inbox);
    const again = setInterval(say, AGAIN_MS);
    const timer = setTimeout(() => {
      const where = `host ${oneLine(id.host)} did not answer within ${timeoutMs} ms`;
      asked.reject(
        new Fault(
          "timed-out",
          `Cannot determine the outcome of ${key}: ${where}; ask again when the host is back`,
        ),
      );
    }, timeoutMs);
    try {
      say();
      return await asked.promise;
    } finally {
      clearInterval(again);
      clearTimeout(timer);
      if (this.#asked.get(key) === asked) this.#asked.delete(key);
    }
  }

  /** Handles a message to a session's inbox, which may be the answer. */
  receive(host: string, session: string, bytes: Uint8Array): void {
    if (this.#asked.size === 0) return;
    const envelope = opened(bytes);
    if (envelope === undefined) return;
    const { op, seq, body } = envelope;
    if (op !== OP.ANSWER && op !== OP.FATE) return;
    const asked = this.#asked.get(commandIdText({ host, session, seq }));
    asked?.resolve(op === OP.ANSWER ? outcomeOfAnswer(body) : outcomeOfFate(body[0]));
  }

  /** There will be no answers any more. */
  end(): void {
    const fault = new Fault("unreachable", "Cannot determine its outcome: the client was closed");
    for (const { reject } of this.#asked.values()) reject(fault);
  }
}

/** The outcome in a kept answer. */
function outcomeOfAnswer(answer: Uint8Array): CommandOutcome {
  // A command that is answered without a frame was carried out.
  if (answer.length < FRAME.body) return { is: "done" };
  const view = new DataView(copied(answer).buffer);
  const kind = view.getUint16(FRAME.kind, true);
  if (kind === KIND.LEASE_DENIED) return { is: "refused", code: "busy" };
  const code = kind === KIND.ACT_ACK ? view.getUint32(FRAME.inline + ACT_ACK.at.code, true) : CODE.ok;
  if (code === CODE.ok) return { is: "done" };
  if (code === CODE["timed-out"]) return { is: "unknown", why: "the VM did not confirm it in time" };
  const name = codeName(code);
  return { is: "refused", code: name in CODE ? name as keyof typeof CODE : "refused" };
}

function outcomeOfFate(fate: number | undefined): CommandOutcome {
  switch (fate) {
    case FATE.PENDING:
      return { is: "under way" };
    case FATE.NEVER:
      return { is: "never" };
    case FATE.NO_SESSION:
      return { is: "unknown", why: "the host no longer knows its session" };
    case FATE.LOST:
      return { is: "unknown", why: "its session ended while it was being carried out" };
    default:
      return { is: "unknown", why: "it was answered, but the answer is no longer kept" };
  }
}
