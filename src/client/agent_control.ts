/**
 * The guest agent of a VM: runs programs in the guest and returns their output and exit code, copies files in
 * both directions, and reports what the guest says about itself. Needs a QEMU guest agent running in the
 * guest.
 *
 * The first call that changes the guest acquires the AGENT lease, which is kept until the control is disposed
 * of.
 * @module
 */
import type { EndpointId } from "../base/ids.ts";
import { encode } from "cborg";
import { Fault } from "../base/fault.ts";
import { joinedBytes } from "../base/joined_bytes.ts";
import { writeU64 } from "../base/layout.ts";
import {
  AGENT_OP,
  AGENT_SHUTDOWN,
  type AgentOp,
  FIRST_CHANGING_OP,
  MAX_AGENT_PIECE,
} from "../event/agent_op.ts";
import { decodeBounded, EVENT_CBOR } from "../event/bounded_cbor.ts";
import { AGENT_REQUEST } from "../event/body_layout.ts";
import { KIND } from "../event/kind.ts";
import { BODY } from "../event/transfer_event.ts";
import type { ClientPort } from "./client_port.ts";
import type { Lease } from "./lease.ts";
import { pause } from "./pause.ts";
import type { EndpointRef } from "./roster_view.ts";
import type { CommandOptions } from "./session.ts";

/** Time limit of an answer from the agent, with some time for transport, ms. */
const SLACK_MS = 25_000;
/** Pieces of a file that are requested at the same time. */
const AHEAD = 4;
const FIRST_LOOK_MS = 5;
const LONGEST_LOOK_MS = 500;

/** Options of a program. */
export interface ExecOptions {
  /** Its environment, as "NAME=value"; by default the agent's own. */
  readonly env?: readonly string[];
  /** Its standard input, 32 KiB at most. */
  readonly input?: Uint8Array;
  /** Ends the wait, but not the program. */
  readonly signal?: AbortSignal;
  /** Time limit of the wait, ms; the program goes on. */
  readonly timeoutMs?: number;
}

/** The result of a program. */
export interface ExecResult {
  /** Its exit code; -1 when a signal ended it. */
  readonly code: number;
  /** The signal that ended it; 0 for none. */
  readonly signal: number;
  /** Its standard output. */
  readonly out: Uint8Array;
  /** Its standard error. */
  readonly err: Uint8Array;
  /** Whether output was lost, because it exceeded what the agent keeps (16 MiB per stream). */
  readonly truncated: boolean;
}

/** Called with the progress of a copy. */
export type Progress = (doneBytes: number) => void;

/** How to shut a guest down. */
export type GuestShutdown = Lowercase<keyof typeof AGENT_SHUTDOWN>;

interface Request {
  readonly mode?: number;
  readonly handle?: number;
  readonly count?: number;
  readonly outOffset?: number;
  readonly errOffset?: number;
  readonly limitMs?: number;
  readonly body?: Uint8Array;
}

/** The guest agent of one VM. */
export class AgentControl implements AsyncDisposable {
  /** The endpoint. */
  readonly endpoint: EndpointId;
  readonly #client: ClientPort;
  readonly #name: string;
  #lease: Promise<Lease> | undefined;

  private constructor(client: ClientPort, endpoint: EndpointId) {
    this.#client = client;
    this.endpoint = endpoint;
    this.#name = client.roster.nameOf(endpoint);
  }

  /**
   * Refers to the agent of an endpoint. Nothing is sent yet.
   *
   * @throws {Fault} `no-endpoint`
   */
  static async of(client: ClientPort, ref: EndpointRef): Promise<AgentControl> {
    return new AgentControl(client, await client.endpoint(ref));
  }

  /**
   * Resolves when the agent answers.
   *
   * @throws {Fault} `not-supported` for a VM without its channel, `seam-down` when no agent runs in the
   *   guest, `busy` when another program uses the channel, `timed-out`, `no-capability`
   */
  async ping(options: CommandOptions = {}): Promise<void> {
    await this.#ask(AGENT_OP.PING, "ask the agent of", {}, options);
  }

  /** The agent's version and commands, as it reports them. */
  async info(options: CommandOptions = {}): Promise<unknown> {
    return await this.#ask(AGENT_OP.INFO, "ask the agent of", {}, options);
  }

  /** The guest's network interfaces, as its agent reports them (guest-network-get-interfaces). */
  async network(options: CommandOptions = {}): Promise<unknown> {
    return await this.#ask(AGENT_OP.NETWORK, "ask for the addresses of", {}, options);
  }

  /** The users logged in (guest-get-users). */
  async users(options: CommandOptions = {}): Promise<unknown> {
    return await this.#ask(AGENT_OP.USERS, "ask who is logged in on", {}, options);
  }

  /** The guest's operating system (guest-get-osinfo). */
  async os(options: CommandOptions = {}): Promise<unknown> {
    return await this.#ask(AGENT_OP.OS, "ask for the system of", {}, options);
  }

  /** The guest's file systems (guest-get-fsinfo). */
  async fileSystems(options: CommandOptions = {}): Promise<unknown> {
    return await this.#ask(AGENT_OP.FILE_SYSTEMS, "ask for the file systems of", {}, options);
  }

  /**
   * Runs a program in the guest and waits for its end.
   *
   * @param path the program's path in the guest; no shell is involved
   * @throws {Fault} `refused` with the agent's message when it cannot be started; `timed-out`, `interrupted`:
   *   the program goes on; `too-large` when it produced more than a megabyte at once
   */
  async exec(path: string, args: readonly string[] = [], options: ExecOptions = {}): Promise<ExecResult> {
    const { env = [], input, signal, timeoutMs = Infinity } = options;
    const what = `run ${path} on`;
    const program = { path, arg: [...args], env: [...env], ...(input === undefined ? {} : { input }) };
    const interrupt = signal === undefined ? {} : { signal };
    const started = await this.#ask(AGENT_OP.EXEC, what, { body: encode(program) }, interrupt);
    const pid = numberOf(started, "pid", what);
    const endMs = performance.now() + timeoutMs;
    for (let waitMs = FIRST_LOOK_MS;; waitMs = Math.min(waitMs * 1.5, LONGEST_LOOK_MS)) {
      if (signal?.aborted === true) throw goesOn(path, this.#name, pid);
      const result = await this.#status(pid, what, interrupt).catch((error) => {
        const isInterrupted = error instanceof Fault && error.code === "interrupted";
        throw isInterrupted ? goesOn(path, this.#name, pid) : error;
      });
      if (result !== undefined) return result;
      if (performance.now() >= endMs) {
        throw new Fault(
          "timed-out",
          `Cannot ${what} ${this.#name} within ${timeoutMs} ms; it goes on in the guest as process ${pid}`,
        );
      }
      await pause(waitMs, signal);
    }
  }

  /**
   * Reads a file of the guest, in pieces.
   *
   * @throws {Fault} `refused` with the agent's message
   */
  async *readFile(path: string, options: CommandOptions = {}): AsyncGenerator<Uint8Array, void, void> {
    const what = `read ${path} of`;
    const opened = await this.#ask(AGENT_OP.OPEN_READ, what, { body: pathOf(path) }, options);
    const handle = numberOf(opened, "handle", what);
    // Several pieces are requested at once, so that the agent reads the next ones while one is being
    // transferred.
    const asked: Promise<unknown>[] = [];
    try {
      for (let ahead = 1;; ahead = AHEAD) {
        while (asked.length < ahead) {
          asked.push(
            watched(this.#ask(AGENT_OP.FILE_READ, what, { handle, count: MAX_AGENT_PIECE }, options)),
          );
        }
        const { bytes, eof } = await asked.shift() as { readonly bytes?: unknown; readonly eof?: unknown };
        if (!(bytes instanceof Uint8Array)) throw otherAnswer(what);
        if (bytes.length > 0) yield bytes;
        if (eof === true) return;
      }
    } finally {
      await Promise.allSettled(asked);
      await this.#leave(handle, what);
    }
  }

  /**
   * Writes a file of the guest, replacing an existing one.
   *
   * @param source its contents, in pieces of any size
   * @param progress called after each piece
   * @throws {Fault} `refused` with the agent's message; the file is then incomplete
   */
  async writeFile(
    path: string,
    source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
    { progress, ...options }: CommandOptions & { readonly progress?: Progress } = {},
  ): Promise<void> {
    const what = `write ${path} of`;
    const opened = await this.#ask(AGENT_OP.OPEN_WRITE, what, { body: pathOf(path) }, options);
    const handle = numberOf(opened, "handle", what);
    let done = 0;
    let isClosed = false;
    const asked: { readonly bytes: number; readonly answer: Promise<unknown> }[] = [];
    const settle = async (most: number): Promise<void> => {
      for (let first = asked[0]; first !== undefined && asked.length > most; first = asked[0]) {
        const count = numberOf(await first.answer, "count", what);
        asked.shift();
        // Later pieces have already been sent, and would be written at the wrong offset.
        if (count !== first.bytes) throw shortWrite(what, this.#name);
        done += count;
        progress?.(done);
      }
    };
    try {
      for await (const chunk of source) {
        for (let at = 0; at < chunk.length; at += MAX_AGENT_PIECE) {
          await settle(AHEAD - 1);
          // A copy, because the source may reuse its buffer before this piece is sent.
          const body = chunk.slice(at, at + MAX_AGENT_PIECE);
          const answer = watched(this.#ask(AGENT_OP.FILE_WRITE, what, { handle, body }, options));
          asked.push({ bytes: body.length, answer });
        }
      }
      await settle(0);
      // Closing confirms that the file is complete: a full disk may be reported only then.
      isClosed = true;
      await this.#ask(AGENT_OP.FILE_CLOSE, what, { handle }, options);
    } finally {
      await Promise.allSettled(asked.map(({ answer }) => answer));
      if (!isClosed) await this.#leave(handle, what);
    }
  }

  /** Whether file systems are frozen, by whomever (guest-fsfreeze-status): "thawed" or "frozen". */
  async freezeStatus(options: CommandOptions = {}): Promise<string> {
    const status = await this.#ask(AGENT_OP.FREEZE_STATUS, "ask for the frozen file systems of", {}, options);
    if (typeof status !== "string") throw otherAnswer("ask for the frozen file systems of");
    return status;
  }

  /**
   * Freezes the guest's file systems, until {@linkcode thaw} or until the lease ends: also when this process
   * dies. While they are frozen the agent answers little else.
   *
   * @returns how many; 0 when there is none that can be frozen
   */
  async freeze(options: CommandOptions = {}): Promise<number> {
    return await this.#counted(AGENT_OP.FREEZE, "freeze", options);
  }

  /** Thaws the guest's file systems, whoever froze them. @returns how many */
  async thaw(options: CommandOptions = {}): Promise<number> {
    return await this.#counted(AGENT_OP.THAW, "thaw", options);
  }

  /** Asks the guest to shut down; resolves unless its agent refuses. */
  async shutdown(how: GuestShutdown = "powerdown", options: CommandOptions = {}): Promise<void> {
    const mode = AGENT_SHUTDOWN[how.toUpperCase() as keyof typeof AGENT_SHUTDOWN];
    const verb = how === "powerdown" ? "power down" : how;
    await this.#ask(AGENT_OP.SHUTDOWN, `${verb} the guest of`, { mode }, options);
  }

  /** Asks the guest to suspend to RAM; resolves unless its agent refuses. */
  async suspend(options: CommandOptions = {}): Promise<void> {
    await this.#ask(AGENT_OP.SUSPEND, "suspend the guest of", {}, options);
  }

  /**
   * The AGENT lease: the one that this control has, or one that it takes now.
   *
   * @throws {Fault} `busy` when another owns it, `no-capability`
   */
  async lease(options: CommandOptions = {}): Promise<Lease> {
    this.#lease ??= this.#client.acquire(this.endpoint, "agent", options);
    try {
      return await this.#lease;
    } catch (error) {
      this.#lease = undefined;
      throw error;
    }
  }

  /** Releases the lease if it was acquired; frozen file systems are thawed first. */
  async [Symbol.asyncDispose](): Promise<void> {
    const lease = this.#lease;
    this.#lease = undefined;
    if (lease !== undefined) await (await lease.catch(() => undefined))?.release();
  }

  async #counted(op: AgentOp, verb: string, options: CommandOptions): Promise<number> {
    const patient = { timeoutMs: 90_000, ...options };
    const count = await this.#ask(op, `${verb} the file systems of`, {}, patient);
    return typeof count === "number" ? count : 0;
  }

  async #status(pid: number, what: string, options: CommandOptions): Promise<ExecResult | undefined> {
    const outs: Uint8Array[] = [];
    const errs: Uint8Array[] = [];
    for (let outOffset = 0, errOffset = 0;;) {
      const request = { handle: pid, outOffset, errOffset };
      const piece = await this.#ask(AGENT_OP.EXEC_STATUS, what, request, options) as
        | Record<string, unknown>
        | null;
      if (piece?.["exited"] !== true) return undefined;
      const { out, err, truncated } = piece;
      if (!(out instanceof Uint8Array) || !(err instanceof Uint8Array)) throw otherAnswer(what);
      outs.push(out);
      errs.push(err);
      outOffset += out.length;
      errOffset += err.length;
      const isWhole = outOffset >= numberOf(piece, "outTotal", what) &&
        errOffset >= numberOf(piece, "errTotal", what);
      if (isWhole) {
        return {
          code: numberOf(piece, "code", what),
          signal: numberOf(piece, "signal", what),
          out: joinedBytes(outs),
          err: joinedBytes(errs),
          truncated: truncated === true,
        };
      }
      if (out.length + err.length === 0) throw otherAnswer(what);
    }
  }

  /** Closes a file after a failure or an interruption, which has been reported already. */
  async #leave(handle: number, what: string): Promise<void> {
    try {
      await this.#ask(AGENT_OP.FILE_CLOSE, what, { handle }, {});
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
    }
  }

  async #ask(op: AgentOp, doing: string, request: Request, options: CommandOptions): Promise<unknown> {
    const what = `${doing} ${this.#name}`;
    const token = op >= FIRST_CHANGING_OP ? (await this.lease(options)).token : 0;
    const { at } = AGENT_REQUEST;
    const { mode = 0, handle = 0, count = 0, outOffset = 0, errOffset = 0, limitMs = 0, body } = request;
    const answer = await this.#client.command(KIND.CMD_AGENT, this.endpoint, what, (event) => {
      event.words[at.op / 4] = op;
      event.words[at.mode / 4] = mode;
      writeU64(event.view, at.handle, handle);
      event.words[at.count / 4] = count;
      event.words[at.outOffset / 4] = outOffset;
      event.words[at.errOffset / 4] = errOffset;
      event.words[at.limitMs / 4] = limitMs;
      if (body !== undefined) event.setBody(BODY.RAW, body);
    }, { timeoutMs: SLACK_MS, ...options, token });
    return answer.kind === KIND.AGENT_REPLY ? decodeBounded(answer.body, EVENT_CBOR) : null;
  }
}

/** The agent cannot end a program, so one whose wait was given up goes on. */
function goesOn(path: string, vm: string, pid: number): Fault {
  return new Fault(
    "interrupted",
    `Cannot await ${path} on ${vm}: interrupted; it goes on in the guest as process ${pid}`,
  );
}

/** The answer is awaited later; until then its rejection must not count as unhandled. */
function watched(answer: Promise<unknown>): Promise<unknown> {
  answer.catch(() => {});
  return answer;
}

function shortWrite(what: string, vm: string): Fault {
  return new Fault("refused", `Cannot ${what} ${vm}: its agent wrote only a part; look for room on its disk`);
}

function pathOf(path: string): Uint8Array {
  if (path === "") throw new Fault("bad-argument", "Cannot open a file of a guest: its path is empty");
  return new TextEncoder().encode(path);
}

function numberOf(value: unknown, key: string, what: string): number {
  const number = (value as Record<string, unknown> | null)?.[key];
  if (typeof number === "number" && Number.isSafeInteger(number)) return number;
  throw otherAnswer(what);
}

function otherAnswer(what: string): Fault {
  return new Fault("protocol-error", `Cannot ${what} the guest: the answer is not the one expected`);
}
