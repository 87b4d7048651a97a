/**
 * Questions from a program to a person, and their answers, as small files in a folder that only this user can
 * access. `vmsig mcp` asks; `vmsig ask` and the page of `vmsig web` show the questions and answer them. All
 * three run as the same user; the daemon is not involved. A question is removed when the process that asked
 * it ends.
 * @module
 */
import { assert } from "../base/assert.ts";
import { Fault, messageOf } from "../base/fault.ts";
import { pause } from "./pause.ts";

/** Size limit of a question, characters. */
export const MOST_QUESTION = 2000;
/** Size limit of an answer, characters. */
export const MOST_ANSWER = 4000;
/** Maximum number of choices of a question. */
export const MOST_CHOICES = 8;
/** Maximum number of open questions. */
const MOST_ASKS = 64;
/** Bytes of a file here. */
const MOST_BYTES = 65_536;
/**
 * Interval at which an answer is looked for even if the folder reports no change, ms, because inotify may be
 * exhausted.
 */
const LOOK_MS = 500;
const OTHERS = 0o077;
const ID = /^[0-9a-f]{12}$/;

/** A question. */
export interface Ask {
  /** Its id: twelve hexadecimal digits. */
  readonly id: string;
  /** The VM concerned; "" for none. */
  readonly vm: string;
  /** The question. */
  readonly question: string;
  /** The possible answers; empty: any text. */
  readonly choices: readonly string[];
  /** When it was asked, ms since 1970. */
  readonly atMs: number;
  /** The program that asks. */
  readonly pid: number;
}

/** An answer. */
export interface Answer {
  /** The text. */
  readonly text: string;
  /** The user interface that gave it. */
  readonly by: string;
}

/** The questions of one user. */
export class Asks {
  /** Their folder. */
  readonly folder: string;

  /** Questions in a folder, which is made with the first question. */
  constructor(folder: string) {
    this.folder = folder;
  }

  /**
   * The questions of this user: in the folder of the daemon's socket if that belongs to this user, otherwise
   * in XDG_RUNTIME_DIR.
   *
   * @throws {Fault} `bad-argument` if there is no such folder
   */
  static async of(socketPath: string): Promise<Asks> {
    const at = socketPath.lastIndexOf("/");
    const beside = at < 0 ? "." : socketPath.slice(0, at) || "/";
    const there = await Deno.stat(beside).catch(() => undefined);
    if (there?.uid === Deno.uid() && ((there?.mode ?? 0o777) & 0o022) === 0) {
      return new Asks(`${beside}/asks`);
    }
    const own = Deno.env.get("XDG_RUNTIME_DIR") ?? "";
    if (own !== "") return new Asks(`${own}/vmsig-asks`);
    throw new Fault(
      "bad-argument",
      "Cannot ask a person: XDG_RUNTIME_DIR is not set, and the folder of the daemon's socket is not this user's",
    );
  }

  /** The same, or undefined if there is no such folder; then nobody can ask. */
  static async here(socketPath: string): Promise<Asks | undefined> {
    try {
      return await Asks.of(socketPath);
    } catch (error) {
      if (error instanceof Fault && error.code === "bad-argument") return undefined;
      throw error;
    }
  }

  /**
   * Asks, and waits for the answer.
   *
   * @throws {Fault} `busy` when too many are open, `timed-out`, `interrupted`, `refused`
   */
  async ask(
    { vm, question, choices = [], timeoutMs, signal }: {
      readonly vm: string;
      readonly question: string;
      readonly choices?: readonly string[] | undefined;
      readonly timeoutMs: number;
      readonly signal: AbortSignal;
    },
  ): Promise<Answer> {
    assert(question.length <= MOST_QUESTION && choices.length <= MOST_CHOICES, "a question is bounded");
    await this.#open();
    if ((await this.list()).length >= MOST_ASKS) {
      throw new Fault("busy", `Cannot ask a person: ${MOST_ASKS} questions are open already`);
    }
    const bytes = crypto.getRandomValues(new Uint8Array(6));
    const id = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
    const ask: Ask = { id, vm, question, choices, atMs: Date.now(), pid: Deno.pid };
    await this.#put(`${id}.json`, ask);
    try {
      const endMs = performance.now() + timeoutMs;
      for (;;) {
        const answer = await this.#answerOf(id);
        if (answer !== undefined) return answer;
        if (signal.aborted) throw new Fault("interrupted", "Cannot await an answer: interrupted");
        const leftMs = endMs - performance.now();
        if (leftMs <= 0) throw new Fault("timed-out", "Cannot await an answer any longer: nobody gave one");
        await pause(Math.min(leftMs, LOOK_MS), signal);
      }
    } finally {
      await this.#forget(id);
    }
  }

  /** The open questions, oldest first; those whose process has ended are removed. */
  async list(): Promise<Ask[]> {
    const asks: Ask[] = [];
    if (!await this.#isThere()) return asks;
    for await (const { name } of Deno.readDir(this.folder)) {
      const id = name.endsWith(".json") ? name.slice(0, -".json".length) : "";
      if (!ID.test(id) || asks.length >= 2 * MOST_ASKS) continue;
      const ask = askOf(await this.#read(name), id);
      if (ask === undefined) continue;
      if (!await isAlive(ask.pid)) await this.#forget(id);
      else if (await this.#answerOf(id) === undefined) asks.push(ask);
    }
    return asks.sort((a, b) => a.atMs - b.atMs);
  }

  /**
   * Answers a question. The first answer counts.
   *
   * @throws {Fault} `bad-argument` when there is no such question, it was already answered, or the answer is
   *   not one of its choices
   */
  async answer(id: string, { text, by }: Answer): Promise<void> {
    const ask = (await this.list()).find((each) => each.id === id);
    if (ask === undefined) {
      throw new Fault(
        "bad-argument",
        "Cannot answer: this question is not open; vmsig ask lists those that are",
      );
    }
    if (text === "" || text.length > MOST_ANSWER) {
      throw new Fault("bad-argument", `Cannot answer: an answer has 1 to ${MOST_ANSWER} characters`);
    }
    if (ask.choices.length > 0 && !ask.choices.includes(text)) {
      throw new Fault("bad-argument", `Cannot answer that: the choices are ${ask.choices.join(" | ")}`);
    }
    await this.#put(`${id}.answer`, { text, by });
  }

  async #open(): Promise<void> {
    try {
      await Deno.mkdir(this.folder, { mode: 0o700 });
    } catch (error) {
      if (!(error instanceof Deno.errors.AlreadyExists)) {
        throw new Fault("refused", `Cannot ask a person: ${this.folder}: ${messageOf(error)}`, {
          cause: error,
        });
      }
    }
    await this.#isThere();
  }

  /** Whether the folder exists; one that belongs to another user is refused. */
  async #isThere(): Promise<boolean> {
    const there = await Deno.lstat(this.folder).catch(() => undefined);
    if (there === undefined) return false;
    if (!there.isDirectory || there.uid !== Deno.uid() || ((there.mode ?? OTHERS) & OTHERS) !== 0) {
      throw new Fault("refused", `Cannot use ${this.folder}: it is not a folder of this user's alone`);
    }
    return true;
  }

  /** Written completely or not at all, and never over an existing file. */
  async #put(name: string, value: object): Promise<void> {
    const staging = `${this.folder}/.${crypto.randomUUID()}`;
    try {
      await Deno.writeTextFile(staging, JSON.stringify(value), { createNew: true, mode: 0o600 });
      await Deno.link(staging, `${this.folder}/${name}`);
    } catch (error) {
      if (error instanceof Deno.errors.AlreadyExists) {
        throw new Fault("bad-argument", "Cannot answer: somebody has answered already", { cause: error });
      }
      throw new Fault("refused", `Cannot write in ${this.folder}: ${messageOf(error)}`, { cause: error });
    } finally {
      await Deno.remove(staging).catch(() => {});
    }
  }

  async #read(name: string): Promise<unknown> {
    try {
      const path = `${this.folder}/${name}`;
      const { isFile, size } = await Deno.lstat(path);
      if (!isFile || size > MOST_BYTES) return undefined;
      return JSON.parse(await Deno.readTextFile(path));
    } catch (error) {
      // It was removed meanwhile, or is not ours.
      if (error instanceof Deno.errors.NotFound || error instanceof SyntaxError) return undefined;
      throw new Fault("refused", `Cannot read in ${this.folder}: ${messageOf(error)}`, { cause: error });
    }
  }

  async #answerOf(id: string): Promise<Answer | undefined> {
    const value = await this.#read(`${id}.answer`);
    if (typeof value !== "object" || value === null) return undefined;
    const { text, by } = value as Record<string, unknown>;
    return typeof text === "string" && typeof by === "string" ? { text, by } : undefined;
  }

  async #forget(id: string): Promise<void> {
    for (const suffix of ["json", "answer"]) {
      await Deno.remove(`${this.folder}/${id}.${suffix}`).catch((error) => {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      });
    }
  }
}

function askOf(value: unknown, id: string): Ask | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { vm, question, choices, atMs, pid } = value as Record<string, unknown>;
  const isSound = typeof vm === "string" && typeof question === "string" && typeof atMs === "number" &&
    Number.isSafeInteger(pid) && Array.isArray(choices) && choices.length <= MOST_CHOICES &&
    choices.every((choice) => typeof choice === "string");
  return isSound ? { id, vm, question, choices, atMs, pid: pid as number } : undefined;
}

async function isAlive(pid: number): Promise<boolean> {
  return await Deno.stat(`/proc/${pid}`).then(() => true, () => false);
}
