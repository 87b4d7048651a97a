/**
 * A control of another user: its socket is held by a small C program (packet_relay.c) that setpriv starts
 * with that user's numbers; what it says is made here, from the protocol's frames.
 * @module
 */
import { decode, encode } from "cborg";
import { bytesOfHex, hexOfBytes } from "../../../src/base/hex.ts";
import { FRAME } from "../../../src/protocol/frame.ts";
import { KIND } from "../../../src/event/kind.ts";

const SOURCE_FILE = new URL("./packet_relay.c", import.meta.url).pathname;
const MAGIC = 0x31475356;
/** Reached by a hang alone. */
const LIMIT_MS = 120_000;

/** Who a control is. */
export interface Identity {
  readonly uid: number;
  readonly gid: number;
  /** Supplementary groups. */
  readonly groups?: readonly number[];
}

/** Why tests with other users cannot run here; "" when they can. */
export function whyNotOthers(): string {
  if (Deno.uid() !== 0) return "only root can become other users";
  try {
    new Deno.Command("setpriv", { args: ["--version"], stdout: "null", stderr: "null" }).outputSync();
    new Deno.Command("cc", { args: ["--version"], stdout: "null", stderr: "null" }).outputSync();
    return "";
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "setpriv or cc is not installed";
    throw error;
  }
}

/** The words that make a program run as somebody. */
export function asUser({ uid, gid, groups = [] }: Identity): string[] {
  const also = groups.length === 0 ? "--clear-groups" : `--groups=${groups.join(",")}`;
  return ["setpriv", `--reuid=${uid}`, `--regid=${gid}`, also];
}

/** Compiles the relay into a folder; its path. */
export function buildRelay(folder: string): string {
  const path = `${folder}/packet_relay`;
  const args = ["-O1", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-o", path, SOURCE_FILE];
  const { code, stderr } = new Deno.Command("cc", { args }).outputSync();
  if (code !== 0) throw new Error(new TextDecoder().decode(stderr));
  return path;
}

/** A frame that came. */
export interface ForeignFrame {
  readonly kind: number;
  readonly endpoint: number;
  readonly corr: number;
  readonly view: DataView;
  /** The first words of the inline zone. */
  readonly words: readonly number[];
  readonly body: Uint8Array;
}

/** One control. */
export class ForeignControl implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #lines: string[] = [];
  readonly #reading: Promise<void>;
  #wake: () => void = () => {};
  #corr = 0;
  #left = false;

  /** Starts the relay as somebody, which connects. */
  constructor(relay: string, socket: string, who: Identity) {
    const [program = "", ...args] = [...asUser(who), relay, socket];
    this.#child = new Deno.Command(program, { args, stdin: "piped", stdout: "piped", stderr: "null" })
      .spawn();
    this.#writer = this.#child.stdin.getWriter();
    this.#reading = this.#read();
  }

  /** Says HELLO: the decoded WELCOME or REFUSED, or the error of connect. */
  async hello(): Promise<{ readonly kind: number; readonly answer: Record<string, unknown> | string }> {
    const first = await this.#line();
    if (first !== "connected") return { kind: 0, answer: first };
    const sub = { sources: 0xff, prio_min: 0, endpoints: 0xffff_ffff_ffff_ffffn };
    try {
      await this.#send(KIND.HELLO, 0, [], encode({ proto: 1, name: "foreign", sub }));
    } catch (error) {
      // Refused when it connected: what it was told is read all the same, and the relay has ended.
      if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
    }
    const frame = await this.frame();
    return { kind: frame.kind, answer: decode(frame.body) };
  }

  /** Sends a command. */
  async tell(kind: number, endpoint: number, words: readonly number[]): Promise<number> {
    return await this.#send(kind, endpoint, words, new Uint8Array(0));
  }

  /** Sends a command, and waits for the frame with its corr. */
  async ask(kind: number, endpoint: number, words: readonly number[]): Promise<ForeignFrame> {
    const corr = await this.tell(kind, endpoint, words);
    return await this.matching((frame) => frame.corr === corr);
  }

  /** Waits for a frame that fits; what comes before it is left. */
  async matching(fits: (frame: ForeignFrame) => boolean): Promise<ForeignFrame> {
    for (;;) {
      const frame = await this.frame();
      if (fits(frame)) return frame;
    }
  }

  /** The next frame. */
  async frame(): Promise<ForeignFrame> {
    const line = await this.#line();
    const bytes = /^[0-9a-f]+$/.test(line) ? bytesOfHex(line) : undefined;
    if (bytes === undefined) throw new Error(`no frame but "${line}"`);
    const view = new DataView(bytes.buffer);
    return {
      kind: view.getUint16(FRAME.kind, true),
      endpoint: view.getUint32(FRAME.endpoint, true),
      corr: view.getUint32(FRAME.corr, true),
      view,
      words: Array.from({ length: 12 }, (_, i) => view.getUint32(FRAME.inline + 4 * i, true)),
      body: bytes.subarray(FRAME.body),
    };
  }

  async #send(kind: number, endpoint: number, words: readonly number[], body: Uint8Array): Promise<number> {
    const bytes = new Uint8Array(FRAME.body + body.length);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, MAGIC, true);
    view.setUint16(FRAME.kind, kind, true);
    view.setUint8(FRAME.dir, 1);
    view.setUint8(FRAME.prio, 1);
    view.setUint32(FRAME.endpoint, endpoint, true);
    const corr = kind === KIND.HELLO ? 0 : ++this.#corr;
    view.setUint32(FRAME.corr, corr, true);
    view.setUint32(24, body.length, true);
    if (body.length > 0) view.setUint8(9, 2);
    words.forEach((word, i) => view.setUint32(FRAME.inline + 4 * i, word, true));
    bytes.set(body, FRAME.body);
    await this.#writer.write(new TextEncoder().encode(`${hexOfBytes(bytes)}\n`));
    return corr;
  }

  async #line(): Promise<string> {
    const deadline = performance.now() + LIMIT_MS;
    for (;;) {
      const line = this.#lines.shift();
      if (line !== undefined) return line;
      const left = deadline - performance.now();
      if (left <= 0) throw new Error(`nothing came within ${LIMIT_MS} ms`);
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      const timer = setTimeout(resolve, left);
      await promise;
      clearTimeout(timer);
    }
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder();
    let rest = "";
    for await (const bytes of this.#child.stdout) {
      const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      this.#lines.push(...lines);
      this.#wake();
    }
    this.#lines.push("ended");
    this.#wake();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#left) return;
    this.#left = true;
    try {
      await this.#writer.close();
    } catch (error) {
      // It has ended by itself; a writer that has learnt of it already says so in another way.
      if (!(error instanceof Deno.errors.BrokenPipe || error instanceof TypeError)) throw error;
    }
    await this.#child.status;
    await this.#reading;
  }
}
