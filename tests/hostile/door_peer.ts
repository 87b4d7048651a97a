/**
 * Runs `door_peer.py` as another user: who stands at the daemon's door.
 * @module
 */

import { until } from "../fixtures/daemon_process.ts";

const PROGRAM = new URL("door_peer.py", import.meta.url);

/** A user that no rule admits, and some that a test's config admits; numbers without a name. */
export const STRANGER = 4242;
/** See {@linkcode STRANGER}. */
export const MEMBER = 4243;
/** See {@linkcode STRANGER}. */
export const OTHER = 4244;

/** What the daemon said: a frame's kind, its code and its text, or "closed", "reset". */
export type Answer = [kind: number | string, code?: number, text?: string];

/** A peer that runs. */
export class DoorPeer implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #output: Promise<void>;
  #text = "";
  #isOver = false;
  #taken = 0;

  private constructor(child: Deno.ChildProcess) {
    this.#child = child;
    this.#input = child.stdin.getWriter();
    const read = async (): Promise<void> => {
      for await (const part of child.stdout.pipeThrough(new TextDecoderStream())) this.#text += part;
      this.#isOver = true;
    };
    this.#output = read();
  }

  /** Starts one. */
  static start(uid: number, socket: string, scenario: string, argument = ""): DoorPeer {
    const program = Deno.readTextFileSync(PROGRAM);
    const who = [`--reuid=${uid}`, `--regid=${uid}`, "--clear-groups"];
    const child = new Deno.Command("setpriv", {
      args: [...who, "/usr/bin/python3", "-c", program, socket, scenario, argument],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    return new DoorPeer(child);
  }

  /** What it prints next. */
  async said<T>(): Promise<T> {
    const line = (): string | undefined => this.#text.split("\n").slice(0, -1)[this.#taken];
    await until("the peer's next line", () => line() !== undefined || this.#isOver);
    const next = line();
    if (next === undefined) throw new Error(`the peer ended after ${this.#taken} lines`);
    this.#taken++;
    return JSON.parse(next) as T;
  }

  /** Lets it go on. */
  async goOn(): Promise<void> {
    await this.#input.write(new TextEncoder().encode("\n"));
  }

  /** Lets it go, and waits until it has. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.#input.close();
    } catch (error) {
      // It ended first.
      if (!(error instanceof Deno.errors.BrokenPipe || error instanceof TypeError)) throw error;
    }
    const late = setTimeout(() => this.#child.kill("SIGKILL"), 120_000);
    await this.#child.status;
    clearTimeout(late);
    await this.#output;
  }
}

/** Runs one to its end. */
export async function runPeer<T>(uid: number, socket: string, scenario: string, argument = ""): Promise<T> {
  await using peer = DoorPeer.start(uid, socket, scenario, argument);
  return await peer.said<T>();
}
