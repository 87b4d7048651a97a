/**
 * The host's end of the guest agent (programs/init/agent.h says the protocol): runs programs in the guest,
 * reads its files, changes its power state. Survives the guest's reboots; requests that were open then fail.
 * @module
 */

import { DEFAULT_TIMEOUT_MS, GuestError, type GuestOutput, GuestProcess, within } from "./guest_process.ts";
import { joinedBytes } from "../../src/base/joined_bytes.ts";

interface Request {
  readonly what: string;
  ok: (payload: Uint8Array<ArrayBuffer>) => void;
  failed: (error: GuestError) => void;
  data: (payload: Uint8Array<ArrayBuffer>) => void;
  exit?: (status: string) => void;
}

/** A write into the guest is cut into pieces that its serial port's buffers hold. */
const WRITE_PIECE_BYTES = 1024;

/** The agent of one guest; made by startGuest. */
export class GuestAgent {
  /** How many times the guest's agent has said hello: 1 after the first boot, one more after each reboot. */
  boots = 0;
  /** The kernel's release, from the last hello. */
  release = "";
  readonly #connection: Deno.Conn;
  readonly #requests = new Map<number, Request>();
  readonly #hellos = new Set<() => void>();
  readonly #encoder = new TextEncoder();
  readonly #decoder = new TextDecoder();
  #nextId = 1;
  #closed = false;
  #writing: Promise<void> = Promise.resolve();
  #pending: Uint8Array<ArrayBuffer> = new Uint8Array(0);

  /** Over a connection to the guest's second serial port. */
  constructor(connection: Deno.Conn) {
    this.#connection = connection;
  }

  /** Reads the port until it closes; run by the harness. */
  async serve(): Promise<void> {
    const buffer = new Uint8Array(65536);
    try {
      for (;;) {
        const n = await this.#connection.read(buffer);
        if (n === null) break;
        this.#take(buffer.subarray(0, n));
      }
    } catch (error) {
      // The port goes with QEMU, or is closed by the harness: the requests below are told.
      if (!isConnectionEnd(error)) throw error;
    } finally {
      this.#closed = true;
      this.#failAll("the guest has gone");
    }
  }

  /** Waits until the agent has said hello `boots` times in all. */
  async ready(boots = 1, timeoutMs = DEFAULT_TIMEOUT_MS): Promise<void> {
    if (this.boots >= boots) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const wake = () => {
      if (this.boots >= boots) resolve();
      else if (this.#closed) reject(new GuestError("the guest has gone before its agent was ready"));
    };
    this.#hellos.add(wake);
    wake();
    try {
      await within(promise, timeoutMs, () => `the guest's agent, boot ${boots},`);
    } finally {
      this.#hellos.delete(wake);
    }
  }

  /** For a guest that goes on from a saved state: its agent said hello before that, and answers. */
  async resume(timeoutMs = DEFAULT_TIMEOUT_MS): Promise<void> {
    const release = await this.read("/proc/sys/kernel/osrelease", timeoutMs);
    this.release = this.#decoder.decode(release).trim();
    this.boots = 1;
  }

  /** Starts a program; words like KEY=VALUE before it are its environment. */
  async start(...words: string[]): Promise<GuestProcess> {
    const { promise, resolve, reject } = Promise.withResolvers<GuestProcess>();
    const decoder = new TextDecoder();
    const id = this.#nextId++;
    let process: GuestProcess | undefined;
    this.#requests.set(id, {
      what: words.join(" "),
      ok: (payload) => {
        process = new GuestProcess((words) => this.request(words), id, Number(this.#decoder.decode(payload)));
        resolve(process);
      },
      failed: (error) => {
        reject(error);
        process?.notice("", "lost");
      },
      data: (payload) => process?.notice(decoder.decode(payload, { stream: true })),
      exit: (status) => process?.notice(decoder.decode(), status),
    });
    await this.#send(id, ["exec", ...words]);
    return await within(promise, DEFAULT_TIMEOUT_MS, () => `starting ${words[0]}`);
  }

  /** Runs a program to its end. */
  async run(...words: string[]): Promise<GuestOutput> {
    const process = await this.start(...words);
    return await process.wait();
  }

  /** A file's text, as it is in one read from start to end (/proc works). */
  async cat(path: string): Promise<string> {
    return this.#decoder.decode(await this.read(path));
  }

  /** A file's bytes. */
  async read(path: string, timeoutMs = DEFAULT_TIMEOUT_MS): Promise<Uint8Array<ArrayBuffer>> {
    return await this.request(["cat", path], timeoutMs);
  }

  /** The names in a folder. */
  async list(path: string): Promise<string[]> {
    return this.#decoder.decode(await this.request(["ls", path])).split("\n").filter((name) => name !== "");
  }

  /** Writes a file (also one of /proc or /sys, when it is short). */
  async write(path: string, content: string | Uint8Array<ArrayBuffer>): Promise<void> {
    const bytes = typeof content === "string" ? this.#encoder.encode(content) : content;
    let command = "write";
    for (let at = 0; at === 0 || at < bytes.length; at += WRITE_PIECE_BYTES) {
      await this.request([command, path, bytes.subarray(at, at + WRITE_PIECE_BYTES)]);
      command = "append";
    }
  }

  /** Loads a module that the image carries. */
  async insmod(name: string): Promise<void> {
    await this.request(["insmod", `/lib/modules/${name}.ko`]);
  }

  /** Asks for a change of power: the guest's kernel does it just after the answer. */
  async power(what: "poweroff" | "reboot" | "panic"): Promise<void> {
    await this.request([what]);
  }

  /** Suspends the guest to RAM; resolves when it has been woken. */
  async suspend(timeoutMs = DEFAULT_TIMEOUT_MS): Promise<void> {
    await this.request(["suspend"], timeoutMs);
  }

  /** Any request: its words, and the answer with all data before it. */
  async request(
    words: readonly (string | Uint8Array<ArrayBuffer>)[],
    timeoutMs = DEFAULT_TIMEOUT_MS,
  ): Promise<Uint8Array<ArrayBuffer>> {
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array<ArrayBuffer>>();
    const parts: Uint8Array<ArrayBuffer>[] = [];
    const id = this.#nextId++;
    this.#requests.set(id, {
      what: String(words[0]),
      ok: (payload) => resolve(joinedBytes([...parts, payload])),
      failed: reject,
      data: (payload) => parts.push(payload),
    });
    await this.#send(id, words);
    return await within(promise, timeoutMs, () => `the guest's answer to ${words[0]}`);
  }

  async #send(id: number, words: readonly (string | Uint8Array<ArrayBuffer>)[]): Promise<void> {
    if (this.#closed) {
      this.#requests.delete(id);
      throw new GuestError("the guest has gone");
    }
    const line = this.#encoder.encode(`${id} ${words.map((word) => this.#encoded(word)).join(" ")}\n`);
    const turn = this.#writing.then(async () => {
      for (let at = 0; at < line.length;) at += await this.#connection.write(line.subarray(at));
    });
    this.#writing = turn.catch(() => {});
    try {
      await turn;
    } catch (error) {
      this.#requests.delete(id);
      throw new GuestError(`the guest has gone: ${error}`);
    }
  }

  /** Percent-encodes what the protocol or the tty could take amiss. */
  #encoded(word: string | Uint8Array<ArrayBuffer>): string {
    const bytes = typeof word === "string" ? this.#encoder.encode(word) : word;
    let text = "";
    for (const byte of bytes) {
      const plain = byte > 0x20 && byte < 0x7f && byte !== 0x25;
      text += plain ? String.fromCharCode(byte) : `%${byte.toString(16).padStart(2, "0")}`;
    }
    return text;
  }

  #take(bytes: Uint8Array<ArrayBuffer>): void {
    this.#pending = joinedBytes([this.#pending, bytes]);
    let at = 0;
    for (;;) {
      const end = this.#pending.indexOf(0x0a, at);
      if (end < 0) break;
      const head = this.#decoder.decode(this.#pending.subarray(at, end));
      const match = head.match(/^(?:.*[^a-z])?(hello|ok|err|data|exit) (\d+) (\d+)$/s);
      // What the firmware or a dying boot left on the port is not a frame.
      if (match === null) {
        at = end + 1;
        continue;
      }
      const stop = end + 1 + Number(match[3]);
      if (stop > this.#pending.length) break;
      this.#frame(match[1] ?? "", Number(match[2]), this.#pending.slice(end + 1, stop));
      at = stop;
    }
    this.#pending = this.#pending.slice(at);
  }

  #frame(kind: string, id: number, payload: Uint8Array<ArrayBuffer>): void {
    if (kind === "hello") {
      this.#failAll("the guest has rebooted");
      this.boots++;
      this.release = this.#decoder.decode(payload);
      for (const wake of this.#hellos) wake();
      return;
    }
    const request = this.#requests.get(id);
    if (request === undefined) return;
    if (kind === "data") return request.data(payload);
    // A program's request stays until its exit.
    if (kind !== "ok" || request.exit === undefined) this.#requests.delete(id);
    if (kind === "ok") request.ok(payload);
    else if (kind === "exit") request.exit?.(this.#decoder.decode(payload));
    else request.failed(new GuestError(`${request.what}: ${this.#decoder.decode(payload)}`));
  }

  #failAll(why: string): void {
    const requests = [...this.#requests.values()];
    this.#requests.clear();
    for (const request of requests) request.failed(new GuestError(`${request.what}: ${why}`));
    for (const wake of this.#hellos) wake();
  }
}

/** Whether an error of a connection only says that it has ended. */
export function isConnectionEnd(error: unknown): boolean {
  return error instanceof Deno.errors.BadResource || error instanceof Deno.errors.ConnectionReset ||
    error instanceof Deno.errors.Interrupted || error instanceof Deno.errors.BrokenPipe ||
    error instanceof Deno.errors.NotConnected;
}
