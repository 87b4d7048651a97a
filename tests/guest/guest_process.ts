/**
 * A program that runs in a test guest: its output as it comes, its input, its end. Made by guest_agent.ts.
 * @module
 */

/** What a program in the guest left behind. */
export interface GuestOutput {
  /** Its exit code; -1 when a signal ended it. */
  readonly code: number;
  /** "code N" or "signal N". */
  readonly status: string;
  /** Standard output and standard error together. */
  readonly text: string;
}

/** A request that the guest refused, or that it can no longer answer. */
export class GuestError extends Error {
  /** The class's name, as the stack shows it. */
  override name = "GuestError";
}

/** How long anything in a guest may take unless the caller says otherwise. */
export const DEFAULT_TIMEOUT_MS = 180_000;

/** Rejects with `what` when the promise takes longer than `timeoutMs`. */
export async function within<T>(promise: Promise<T>, timeoutMs: number, what: () => string): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new GuestError(`${what()} took longer than ${timeoutMs} ms`)), timeoutMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** A program that runs in the guest. */
export class GuestProcess {
  /** Its pid in the guest. */
  readonly pid: number;
  /** Everything it has written so far. */
  text = "";
  /** How it ended, once it has. */
  status: string | undefined;
  readonly #request: (words: readonly string[]) => Promise<unknown>;
  readonly #id: number;
  readonly #changed = new Set<() => void>();
  #taken = 0;

  /** Made by GuestAgent.start; `request` asks the agent. */
  constructor(request: (words: readonly string[]) => Promise<unknown>, id: number, pid: number) {
    this.#request = request;
    this.#id = id;
    this.pid = pid;
  }

  /** For the agent: more output (undefined) or the end. */
  notice(text: string, status?: string): void {
    this.text += text;
    if (status !== undefined) this.status = status;
    for (const wake of this.#changed) wake();
  }

  /** The next whole line of output, without its end; undefined when the program has ended. */
  async line(timeoutMs = DEFAULT_TIMEOUT_MS): Promise<string | undefined> {
    const complete = await this.#until(
      () => this.text.indexOf("\n", this.#taken) >= 0 || this.status !== undefined,
      timeoutMs,
      "a line of",
    );
    if (!complete) return undefined;
    const end = this.text.indexOf("\n", this.#taken);
    if (end < 0) return undefined;
    const line = this.text.slice(this.#taken, end);
    this.#taken = end + 1;
    return line;
  }

  /** Takes lines until one matches, and returns the match. Fails when the program ends first. */
  async lineMatching(pattern: RegExp, timeoutMs = DEFAULT_TIMEOUT_MS): Promise<RegExpMatchArray> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const line = await this.line(Math.max(1, deadline - performance.now()));
      if (line === undefined) {
        throw new GuestError(`no line ${pattern} before the end (${this.status}): ${this.text}`);
      }
      const match = line.match(pattern);
      if (match !== null) return match;
    }
  }

  /** Waits for the end. */
  async wait(timeoutMs = DEFAULT_TIMEOUT_MS): Promise<GuestOutput> {
    await this.#until(() => this.status !== undefined, timeoutMs, "the end of");
    const status = this.status ?? "";
    const code = status.startsWith("code ") ? Number(status.slice(5)) : -1;
    return { code, status, text: this.text };
  }

  /** Writes to its standard input, at most a few KiB at once. */
  async write(text: string): Promise<void> {
    await this.#request(["stdin", String(this.#id), text]);
  }

  /** Closes its standard input. */
  async closeInput(): Promise<void> {
    await this.#request(["eof", String(this.#id)]);
  }

  /** Sends it a signal; 15 unless said otherwise. */
  async kill(signal = 15): Promise<void> {
    await this.#request(["kill", String(this.#id), String(signal)]);
  }

  async #until(done: () => boolean, timeoutMs: number, what: string): Promise<boolean> {
    if (done()) return true;
    const { promise, resolve } = Promise.withResolvers<void>();
    const wake = () => {
      if (done()) resolve();
    };
    this.#changed.add(wake);
    try {
      await within(
        promise,
        timeoutMs,
        () => `${what} guest program ${this.pid} (so far: ${this.text.slice(-500)})`,
      );
      return true;
    } finally {
      this.#changed.delete(wake);
    }
  }
}
