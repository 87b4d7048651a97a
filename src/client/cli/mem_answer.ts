/**
 * Answers queries from another host about the memory of a VM here: by `vmsig mem` itself, with a client that
 * has the asking user's rights. Only lines of output leave this host.
 * @module
 */
import { Fault } from "../../base/fault.ts";
import { base64Of } from "../../mcp/base64.ts";
import type { JsonObject } from "../../nats/wire/json_body.ts";
import type { Client } from "../client.ts";
import type { SubscribeOptions } from "../handshake.ts";
import { mem } from "./mem.ts";
import { REMOTE_ACTIONS } from "./mem_remote.ts";
import { isMemoryWait, WAIT_PROCESS_MS } from "../../nats/wire/memory_question.ts";
import { waitFor } from "../wait.ts";
import { Output } from "./output.ts";

/** Size limit of the lines, below a NATS server's limit of one message, bytes. */
const MOST_BYTES = 700_000;
const MOST_WORD = 512;
const TIMEOUT_MS = 30_000;

/** Joins the daemon for the asking user. */
export type Connect = (sub: SubscribeOptions) => Promise<Client>;

/** Answers a question here. @throws {Fault} */
export async function askMemoryHere(
  { connect, endpoint, body }: {
    /** A client with the user's rights. */
    readonly connect: Connect;
    /** The VM's name on this host. */
    readonly endpoint: string;
    /** The query. */
    readonly body: JsonObject;
  },
): Promise<object> {
  const words = body["words"];
  const options = body["options"];
  if (
    !Array.isArray(words) || words.length < 1 || words.length > 5 || typeof options !== "object" ||
    options === null
  ) {
    throw new Fault("protocol-error", "the question is not understood");
  }
  const isText = words.every((word) => typeof word === "string" && word.length <= MOST_WORD);
  if (isText && isMemoryWait(body)) return await waitHere(connect, endpoint, words[1] as string);
  if (!isText || !REMOTE_ACTIONS.has(words[0])) {
    throw new Fault("not-supported", "this is not asked from afar");
  }
  const parts: Uint8Array[] = [];
  let bytes = 0;
  const out = new Output((part) => {
    bytes += part.length;
    if (bytes > MOST_BYTES) {
      throw new Fault("too-large", `the answer is larger than ${MOST_BYTES} bytes; ask for less`);
    }
    parts.push(part.slice());
  }, false);
  const given = options as Readonly<Record<string, unknown>>;
  const { last, follow } = given;
  await mem.run({
    args: [endpoint, ...words as string[]],
    rest: undefined,
    json: body["json"] === true,
    out,
    err: () => {},
    signal: AbortSignal.timeout(TIMEOUT_MS),
    socket: undefined,
    nats: undefined,
    text: () => undefined,
    number: (name) => name === "last" && typeof last === "number" && last >= 1 ? last : undefined,
    list: (name) =>
      name === "follow" && Array.isArray(follow) && follow.length <= 16 &&
        follow.every((f) => typeof f === "string")
        ? follow as string[]
        : undefined,
    steps: [],
    flag: (name) => (name === "long" || name === "raw") && given[name] === true,
    connect: (sub = {}) => connect(sub),
  });
  const whole = new Uint8Array(bytes);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return { bytes: base64Of(whole) };
}

/** Waits for a process, for a limited time. */
async function waitHere(
  connect: Connect,
  endpoint: string,
  process = "",
): Promise<object> {
  await using client = await connect({ sources: ["CORE", "VMHOST", "MEMCTX"] });
  try {
    const found = await waitFor(client, endpoint, { process }, { timeoutMs: WAIT_PROCESS_MS });
    return found.what === "process" ? { pid: found.pid, epoch: found.epoch } : {};
  } catch (error) {
    if (!(error instanceof Fault && error.code === "timed-out")) throw error;
    return {};
  }
}
