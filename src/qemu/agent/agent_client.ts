/**
 * The host's side of the QEMU guest agent's protocol (docs/interop/qemu-ga-ref): JSON lines without ids, one
 * command at a time, answers in order. A state machine: bytes in, bytes out; the time is a parameter.
 *
 * The agent may have been restarted, or may still answer a former client of the channel. So the conversation
 * begins, and begins again after an answer that did not arrive in time, with `guest-sync-delimited`: a byte
 * 0xff that ends whatever the agent was reading, and a number that the agent repeats after an 0xff.
 * Everything before that number is discarded.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { NEVER, SECOND } from "../../base/clock.ts";
import { messageOf } from "../../base/fault.ts";
import { shapeDefect } from "../protocol/line_shape.ts";
import { isObject } from "../protocol/qmp_message.ts";
import { AgentLines } from "./agent_lines.ts";

/** Time limit of synchronisation, ns. */
export const SYNC_NS: number = 5 * SECOND;
/** Maximum number of queued commands. */
export const MAX_AGENT_QUEUE = 256;
const DELIMITER = 0xff;
const MAX_SYNC = 2 ** 31;

/** The outcome of a command. */
export type AgentReply =
  | { readonly outcome: "done"; readonly value: unknown }
  /** The agent refused, with this message. Outside text. */
  | { readonly outcome: "error"; readonly text: string }
  /** No answer in time. It may have been carried out. */
  | { readonly outcome: "timed-out" }
  /** The answer exceeded the size limit. */
  | { readonly outcome: "too-long" }
  /** The channel ended; it is unknown whether the command was carried out. */
  | { readonly outcome: "closed" }
  /** Not sent: synchronisation failed, or the command was withdrawn. */
  | { readonly outcome: "unsent"; readonly why: string };

/** Called with the reply, exactly once. */
export type AgentHandler = (reply: AgentReply) => void;

/** A command. */
export interface AgentCommand {
  /** `guest-ping`, … */
  readonly name: string;
  /** A plain JSON value; omitted for none. */
  readonly args?: object;
  /** Time limit after it is sent, ns. */
  readonly limitNs: number;
  /** Called right before it is sent: false withdraws it. Omitted: it is sent. */
  readonly mayBeSent?: () => boolean;
  /** Called with the reply. */
  readonly handler: AgentHandler;
}

/** A command with its line, which is made while the agent is at work on another one. */
interface Waiting {
  readonly command: AgentCommand;
  readonly line: Uint8Array<ArrayBuffer>;
}

type Stage = "silent" | "syncing" | "ready" | "closed";

/** One conversation. */
export class AgentClient {
  readonly #send: (bytes: Uint8Array<ArrayBuffer>) => void;
  readonly #lines = new AgentLines({
    onLine: (bytes, isLast) => this.#onLine(bytes, isLast),
    onLongLine: () => this.#onLongLine(),
  });
  readonly #encoder = new TextEncoder();
  readonly #decoder = new TextDecoder();
  readonly #queue: Waiting[] = [];
  #current: AgentCommand | null = null;
  #stage: Stage = "silent";
  #sync = 0;
  #deadlineNs = NEVER;
  /** When the bytes came that are being taken. */
  #nowNs = 0;

  /**
   * Starts without sending; synchronises before the first command.
   *
   * @param send sends bytes to the agent; it may keep them
   */
  constructor(send: (bytes: Uint8Array<ArrayBuffer>) => void) {
    this.#send = send;
  }

  /** When {@linkcode tick} is due; NEVER when no command is open. */
  get deadlineNs(): number {
    return this.#deadlineNs;
  }
  /** Whether no command is open or queued. */
  get isIdle(): boolean {
    return this.#current === null && this.#queue.length === 0;
  }

  /** Queues a command. */
  execute(command: AgentCommand, nowNs: number): void {
    if (this.#stage === "closed") return command.handler({ outcome: "closed" });
    if (this.#queue.length >= MAX_AGENT_QUEUE) {
      return command.handler({ outcome: "unsent", why: "too many commands wait for the agent" });
    }
    const { name, args } = command;
    const message = args === undefined ? { execute: name } : { execute: name, arguments: args };
    this.#queue.push({ command, line: this.#encoder.encode(`${JSON.stringify(message)}\n`) });
    if (this.#stage === "silent") this.#beginSync(nowNs);
    else this.#next(nowNs);
  }

  /** Processes bytes from the agent. */
  receive(bytes: Uint8Array, nowNs: number): void {
    if (this.#stage === "closed") return;
    this.#nowNs = nowNs;
    this.#lines.push(bytes);
    this.#next(nowNs);
  }

  /** Called at {@linkcode deadlineNs}. */
  tick(nowNs: number): void {
    if (nowNs < this.#deadlineNs || this.#stage === "closed") return;
    if (this.#stage === "syncing") {
      this.#stage = "silent";
      this.#deadlineNs = NEVER;
      for (const { command } of this.#queue.splice(0)) {
        command.handler({ outcome: "unsent", why: "no agent answers in the guest" });
      }
      return;
    }
    const late = this.#current;
    assert(late !== null, "what is due was sent");
    this.#current = null;
    // Its answer may still arrive, and must not be taken for the next command's: so the next one synchronises
    // first.
    this.#stage = "silent";
    this.#deadlineNs = NEVER;
    if (this.#queue.length > 0) this.#beginSync(nowNs);
    late.handler({ outcome: "timed-out" });
  }

  /** Withdraws queued commands that are no longer wanted. */
  sweep(): void {
    for (let i = this.#queue.length - 1; i >= 0; i--) {
      if (this.#queue[i]?.command.mayBeSent?.() !== false) continue;
      this.#queue.splice(i, 1)[0]?.command.handler({ outcome: "unsent", why: "" });
    }
  }

  /** The channel has ended: all commands are told. */
  close(): void {
    if (this.#stage === "closed") return;
    this.#stage = "closed";
    this.#deadlineNs = NEVER;
    const current = this.#current;
    this.#current = null;
    current?.handler({ outcome: "closed" });
    for (const { command } of this.#queue.splice(0)) command.handler({ outcome: "closed" });
  }

  #beginSync(nowNs: number): void {
    this.#stage = "syncing";
    this.#lines.reset();
    this.#sync = 1 + Math.floor(Math.random() * (MAX_SYNC - 1));
    this.#deadlineNs = nowNs + SYNC_NS;
    const text = `{"execute":"guest-sync-delimited","arguments":{"id":${this.#sync}}}\n`;
    const bytes = new Uint8Array(text.length + 1);
    bytes[0] = DELIMITER;
    this.#encoder.encodeInto(text, bytes.subarray(1));
    this.#send(bytes);
  }

  #next(nowNs: number): void {
    while (this.#stage === "ready" && this.#current === null) {
      const next = this.#queue.shift();
      if (next === undefined) {
        this.#deadlineNs = NEVER;
        return;
      }
      const { command, line } = next;
      if (command.mayBeSent?.() === false) {
        command.handler({ outcome: "unsent", why: "" });
        continue;
      }
      this.#current = command;
      this.#deadlineNs = nowNs + command.limitNs;
      this.#send(line);
    }
  }

  #onLine(bytes: Uint8Array, isLast: boolean): void {
    if (this.#stage === "syncing") return this.#onSyncLine(bytes);
    const current = this.#current;
    // An unexpected line: the rest of an answer that was given up.
    if (current === null) return;
    this.#current = null;
    // The agent goes on while this answer is read. What came behind it would be taken for the next answer.
    if (isLast && this.#queue[0]?.command.mayBeSent?.() !== false) this.#next(this.#nowNs);
    const message = this.#parse(bytes, 0);
    if (message === undefined) {
      return current.handler({ outcome: "error", text: "its answer is not JSON" });
    }
    const { error } = message;
    if (error !== undefined) {
      const text = isObject(error) ? (error as Record<string, unknown>)["desc"] : undefined;
      return current.handler({
        outcome: "error",
        text: typeof text === "string" ? text.slice(0, 512) : "an error",
      });
    }
    current.handler({ outcome: "done", value: message["return"] });
  }

  #onSyncLine(bytes: Uint8Array): void {
    const at = bytes.lastIndexOf(DELIMITER);
    if (at < 0) return;
    if (this.#parse(bytes, at + 1)?.["return"] !== this.#sync) return;
    this.#stage = "ready";
    this.#deadlineNs = NEVER;
  }

  #onLongLine(): void {
    if (this.#stage !== "ready") return;
    const current = this.#current;
    this.#current = null;
    current?.handler({ outcome: "too-long" });
  }

  #parse(bytes: Uint8Array, from: number): Record<string, unknown> | undefined {
    if (shapeDefect(bytes, from, bytes.length) !== "") return undefined;
    try {
      const value: unknown = JSON.parse(this.#decoder.decode(bytes.subarray(from)));
      return isObject(value) ? value as Record<string, unknown> : undefined;
    } catch (error) {
      if (error instanceof SyntaxError) return undefined;
      throw new Error(`an agent's line: ${messageOf(error)}`, { cause: error });
    }
  }
}
