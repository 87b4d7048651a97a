/**
 * CMD_AGENT to the agent's own words, and its answers back. What a control says is checked here; so is what
 * the agent says, which is a guest's word: numbers are numbers, bytes are bytes, lists are bounded.
 *
 * The agent's commands: docs/interop/qemu-ga-ref of QEMU.
 * @module
 */
import { Buffer } from "node:buffer";
import { MS, SECOND } from "../../base/clock.ts";
import { Fault } from "../../base/fault.ts";
import { readU64 } from "../../base/layout.ts";
import { AGENT_OP, AGENT_SHUTDOWN, MAX_AGENT_PIECE } from "../../event/agent_op.ts";
import { AGENT_REQUEST } from "../../event/body_layout.ts";
import { decodeBounded, EVENT_CBOR } from "../../event/bounded_cbor.ts";
import type { TransferEvent } from "../../event/transfer_event.ts";
import { isObject } from "../../qemu/protocol/qmp_message.ts";

/** How long an answer may take, unless the command says otherwise. */
const ANSWER_NS = 10 * SECOND;
/** Freezing waits until the guest's disks have everything. */
const FREEZE_NS = 60 * SECOND;
/** A guest that goes down or to sleep gives no answer; an error would come at once. */
const NO_ANSWER_NS = SECOND;
const MAX_LIMIT_MS = 600_000;
const MAX_PATH_BYTES = 4096;
const MAX_WORDS = 1024;
/** Parts of a list that the agent tells: addresses, users, file systems. */
const MAX_PARTS = 1024;
const MAX_TEXT = 1024;
const MAX_DEPTH = 8;

/** A command for the agent. */
export interface AgentAsk {
  /** The agent's name of it. */
  readonly name: string;
  /** Its arguments. */
  readonly args?: object;
  /** How long it may take. */
  readonly limitNs: number;
  /** Silence is success: the guest is going down. */
  readonly isUnanswered?: boolean;
}

const SIMPLE: ReadonlyMap<number, AgentAsk> = new Map<number, AgentAsk>([
  [AGENT_OP.PING, { name: "guest-ping", limitNs: ANSWER_NS }],
  [AGENT_OP.INFO, { name: "guest-info", limitNs: ANSWER_NS }],
  [AGENT_OP.NETWORK, { name: "guest-network-get-interfaces", limitNs: ANSWER_NS }],
  [AGENT_OP.USERS, { name: "guest-get-users", limitNs: ANSWER_NS }],
  [AGENT_OP.OS, { name: "guest-get-osinfo", limitNs: ANSWER_NS }],
  [AGENT_OP.FILE_SYSTEMS, { name: "guest-get-fsinfo", limitNs: ANSWER_NS }],
  [AGENT_OP.FREEZE_STATUS, { name: "guest-fsfreeze-status", limitNs: ANSWER_NS }],
  [AGENT_OP.FREEZE, { name: "guest-fsfreeze-freeze", limitNs: FREEZE_NS }],
  [AGENT_OP.THAW, { name: "guest-fsfreeze-thaw", limitNs: FREEZE_NS }],
  [AGENT_OP.SUSPEND, { name: "guest-suspend-ram", limitNs: NO_ANSWER_NS, isUnanswered: true }],
]);
const SHUTDOWN_MODES: readonly string[] = Object.keys(AGENT_SHUTDOWN).map((name) => name.toLowerCase());

/**
 * What a CMD_AGENT asks.
 *
 * @throws {Fault} `bad-argument` with what is wrong
 */
export function readAgentRequest(event: TransferEvent): AgentAsk {
  const { at } = AGENT_REQUEST;
  const op = event.words[at.op / 4] as number;
  const mode = event.words[at.mode / 4] as number;
  const count = event.words[at.count / 4] as number;
  const limitMs = event.words[at.limitMs / 4] as number;
  const handle = readU64(event.view, at.handle);
  if (limitMs > MAX_LIMIT_MS) throw bad(`a limit must be at most ${MAX_LIMIT_MS} ms`);
  const limitNs = limitMs === 0 ? ANSWER_NS : limitMs * MS;
  const simple = SIMPLE.get(op);
  if (simple !== undefined) return limitMs === 0 || simple.isUnanswered ? simple : { ...simple, limitNs };
  switch (op) {
    case AGENT_OP.EXEC:
      return { name: "guest-exec", args: readProgram(event.bodyView()), limitNs };
    case AGENT_OP.EXEC_STATUS:
      return { name: "guest-exec-status", args: { pid: handle }, limitNs };
    case AGENT_OP.OPEN_READ:
    case AGENT_OP.OPEN_WRITE: {
      const word = op === AGENT_OP.OPEN_READ ? "r" : mode === 1 ? "a" : "w";
      return { name: "guest-file-open", args: { path: readPath(event.bodyView()), mode: word }, limitNs };
    }
    case AGENT_OP.FILE_READ:
      if (count < 1 || count > MAX_AGENT_PIECE) throw bad(`a read takes 1 to ${MAX_AGENT_PIECE} bytes`);
      return { name: "guest-file-read", args: { handle, count }, limitNs };
    case AGENT_OP.FILE_WRITE: {
      const bytes = event.bodyView();
      if (bytes.length < 1 || bytes.length > MAX_AGENT_PIECE) {
        throw bad(`a write takes 1 to ${MAX_AGENT_PIECE} bytes`);
      }
      return { name: "guest-file-write", args: { handle, "buf-b64": base64Of(bytes) }, limitNs };
    }
    case AGENT_OP.FILE_CLOSE:
      return { name: "guest-file-close", args: { handle }, limitNs };
    case AGENT_OP.SHUTDOWN: {
      const word = SHUTDOWN_MODES[mode];
      if (word === undefined) throw bad(`unknown shutdown mode ${mode}`);
      return { name: "guest-shutdown", args: { mode: word }, limitNs: NO_ANSWER_NS, isUnanswered: true };
    }
    default:
      throw bad(`unknown operation ${op}`);
  }
}

/** What a program has said, whole. */
export interface ProgramResult {
  /** Whether it has ended. */
  readonly exited: boolean;
  /** Its exit code; -1 when a signal ended it. */
  readonly code: number;
  /** The signal that ended it; 0 for none. */
  readonly signal: number;
  /** Its standard output. */
  readonly out: Uint8Array;
  /** Its standard error. */
  readonly err: Uint8Array;
  /** The agent had more than it keeps. */
  readonly truncated: boolean;
}

/** Answers by operation, as a body has them; undefined for an answer that is not one. */
export function readAgentAnswer(op: number, value: unknown): unknown {
  switch (op) {
    case AGENT_OP.EXEC: {
      const pid = numberIn(value, "pid");
      return pid === undefined ? undefined : { pid };
    }
    case AGENT_OP.OPEN_READ:
    case AGENT_OP.OPEN_WRITE:
      return Number.isSafeInteger(value) ? { handle: value } : undefined;
    case AGENT_OP.FILE_READ: {
      const bytes = bytesIn(value, "buf-b64");
      return bytes === undefined || bytes.length > MAX_AGENT_PIECE
        ? undefined
        : { bytes, eof: flagIn(value, "eof") };
    }
    case AGENT_OP.FILE_WRITE: {
      const count = numberIn(value, "count");
      return count === undefined ? undefined : { count };
    }
    default:
      return bounded(value, { left: MAX_PARTS }, 0);
  }
}

/** The answer to guest-exec-status; undefined for one that is not. */
export function readProgramResult(value: unknown): ProgramResult | undefined {
  if (!isObject(value)) return undefined;
  const out = bytesIn(value, "out-data") ?? new Uint8Array(0);
  const err = bytesIn(value, "err-data") ?? new Uint8Array(0);
  return {
    exited: flagIn(value, "exited"),
    code: numberIn(value, "exitcode") ?? -1,
    signal: numberIn(value, "signal") ?? 0,
    out,
    err,
    truncated: flagIn(value, "out-truncated") || flagIn(value, "err-truncated"),
  };
}

function readProgram(body: Uint8Array): object {
  const value = decodeBounded(body, EVENT_CBOR) as Record<string, unknown> | null;
  if (typeof value !== "object" || value === null) throw bad("a program must be a map with a path");
  const { path, arg = [], env = [], input } = value;
  if (typeof path !== "string" || path === "" || path.includes("\0")) throw bad("a program needs a path");
  const program: Record<string, unknown> = { path, "capture-output": true };
  for (const [key, words] of [["arg", arg], ["env", env]] as const) {
    if (!Array.isArray(words) || words.length > MAX_WORDS || !words.every(isWord)) {
      throw bad(`${key} must be a list of at most ${MAX_WORDS} strings`);
    }
    if (words.length > 0) program[key] = words;
  }
  if (input !== undefined) {
    if (!(input instanceof Uint8Array)) throw bad("input must be bytes");
    program["input-data"] = base64Of(input);
  }
  return program;
}

function isWord(word: unknown): boolean {
  return typeof word === "string" && !word.includes("\0");
}

function readPath(body: Uint8Array): string {
  const path = new TextDecoder().decode(body);
  if (path === "" || body.length > MAX_PATH_BYTES || path.includes("\0")) {
    throw bad(`a path must have 1 to ${MAX_PATH_BYTES} bytes`);
  }
  return path;
}

function base64Of(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
}

function bytesIn(value: unknown, key: string): Uint8Array | undefined {
  const text = isObject(value) ? (value as Record<string, unknown>)[key] : undefined;
  return typeof text === "string" ? new Uint8Array(Buffer.from(text, "base64")) : undefined;
}

function numberIn(value: unknown, key: string): number | undefined {
  const number = isObject(value) ? (value as Record<string, unknown>)[key] : undefined;
  return typeof number === "number" && Number.isSafeInteger(number) ? number : undefined;
}

function flagIn(value: unknown, key: string): boolean {
  return isObject(value) && (value as Record<string, unknown>)[key] === true;
}

/** A copy with bounds: so many parts, so deep, texts so long; undefined for what has no place in it. */
function bounded(value: unknown, parts: { left: number }, depth: number): unknown {
  if (parts.left-- <= 0 || depth > MAX_DEPTH) return undefined;
  if (typeof value === "string") return value.slice(0, MAX_TEXT);
  if (typeof value === "boolean" || value === null) return value;
  if (typeof value === "number") return Number.isFinite(value) ? value : undefined;
  if (Array.isArray(value)) {
    return value.map((each) => bounded(each, parts, depth + 1)).filter((each) => each !== undefined);
  }
  if (!isObject(value)) return undefined;
  const copy: Record<string, unknown> = {};
  for (const [key, each] of Object.entries(value)) {
    const kept = bounded(each, parts, depth + 1);
    if (kept !== undefined) copy[key.slice(0, 64)] = kept;
  }
  return copy;
}

function bad(why: string): Fault {
  return new Fault("bad-argument", why);
}
