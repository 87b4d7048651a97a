/**
 * A process that belongs to a test: it ends with it, however the test ends, and what it said is at hand when
 * it ends too early.
 * @module
 */
import { Fault, messageOf } from "../base/fault.ts";
import { oneLine } from "../base/printable.ts";

/** Characters of its output that are kept, the newest. */
const MAX_OUTPUT = 16_384;
/** How long it may take to end by itself. */
const END_MS = 5000;

/** A running process. */
export class Child implements AsyncDisposable {
  /** Its process id. */
  readonly pid: number;
  readonly #process: Deno.ChildProcess;
  readonly #ended: Promise<Deno.CommandStatus>;
  readonly #reading: Promise<unknown>;
  #output = "";
  #hasEnded = false;
  #changed = Promise.withResolvers<void>();

  private constructor(process: Deno.ChildProcess) {
    this.#process = process;
    this.pid = process.pid;
    this.#reading = Promise.all([this.#read(process.stdout), this.#read(process.stderr)]);
    this.#ended = process.status.then((status) => {
      this.#hasEnded = true;
      this.#wake();
      return status;
    });
  }

  /**
   * Starts a program. The kernel ends it when this process ends, where setpriv (util-linux) is installed.
   *
   * @throws {Fault} `missing` when there is no such program
   */
  static start(program: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): Child {
    const path = pathOf(program);
    const options = { stdin: "null", stdout: "piped", stderr: "piped", env: { ...env } } as const;
    const setpriv = onPath("setpriv");
    const words = setpriv === undefined ? [...args] : ["--pdeathsig", "KILL", "--", path, ...args];
    try {
      return new Child(new Deno.Command(setpriv ?? path, { ...options, args: words }).spawn());
    } catch (error) {
      throw startFault(program, messageOf(error));
    }
  }

  /** What it said last, in one line. */
  get words(): string {
    return oneLine(this.#output.slice(-2000).trim());
  }

  /** Whether it has ended. */
  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /**
   * Resolves when it has said a text.
   *
   * @throws {Fault} `refused` with its words when it ends first
   */
  async says(text: string, what: string): Promise<void> {
    while (!this.#output.includes(text)) {
      if (this.#hasEnded) throw new Fault("refused", `Cannot ${what}: ${this.words}`);
      await this.#changed.promise;
    }
  }

  /** What it said last when it ends within so many ms; undefined when it goes on. */
  async wordsAtEnd(withinMs: number): Promise<string | undefined> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, withinMs);
    await Promise.race([this.#ended, promise]);
    clearTimeout(timer);
    if (!this.#hasEnded) return undefined;
    await this.#reading;
    return this.words;
  }

  /** Ends it, and awaits that. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#signal("SIGTERM");
    const timer = setTimeout(() => this.#signal("SIGKILL"), END_MS);
    await this.#ended;
    clearTimeout(timer);
    await this.#reading;
  }

  #signal(signal: Deno.Signal): void {
    if (this.#hasEnded) return;
    try {
      this.#process.kill(signal);
    } catch (error) {
      // It ended a moment ago.
      if (!(error instanceof TypeError) && !(error instanceof Deno.errors.NotFound)) throw error;
    }
  }

  async #read(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    for await (const bytes of stream) {
      this.#output = (this.#output + decoder.decode(bytes, { stream: true })).slice(-MAX_OUTPUT);
      this.#wake();
    }
  }

  #wake(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }
}

/** The program's path. */
function pathOf(program: string): string {
  const path = program.includes("/") ? (isFile(program) ? program : undefined) : onPath(program);
  if (path === undefined) throw startFault(program, "there is no such program");
  return path;
}

function onPath(program: string): string | undefined {
  const folders = (Deno.env.get("PATH") ?? "/usr/bin:/bin").split(":");
  return folders.map((folder) => `${folder}/${program}`).find(isFile);
}

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    // Not there, or not for this user: it cannot be started either way.
    return false;
  }
}

function startFault(program: string, why: string): Fault {
  return new Fault("missing", `Cannot start ${oneLine(program)}: ${why}; install it, or name another`);
}
