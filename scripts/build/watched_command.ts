/**
 * Runs a command of the gate, and ends it with all that it started when it hangs: when it has printed nothing
 * for long. How long it takes as a whole says nothing, since a busy machine takes many times as long; but
 * each test prints its name as it begins, and how it went. Deno's notes of a test that still runs are nothing
 * new.
 * @module
 */

/** What Deno's test runner prints of a test that has run for 1, 2, 4 … minutes. */
const STILL_RUNNING = /has been running for over/;
/** Between two looks at how long it has been silent, ms. */
const LOOK_MS = 250;

/** When a command is ended. */
export interface CommandLimits {
  /** For so long it may print nothing. */
  readonly silenceMs: number;
  /** By `performance.now()`, it ends at the latest then; `Infinity` for never. */
  readonly endMs: number;
}

/** How a command ended. */
export interface WatchedOutcome {
  /** Its exit code; 128 and more when a signal ended it. */
  readonly code: number;
  /** What it printed: its standard output, then its standard error. */
  readonly printed: string;
  /** Which limit ended it. */
  readonly ended?: "silent" | "late";
}

/** Those that run now. */
const running = new Set<Deno.ChildProcess>();

/** Ends all commands that run. */
export async function endAllWatched(): Promise<void> {
  await end(running);
}

/**
 * Ends commands, each a process group of its own, which a terminal's or timeout's signal misses. Asks again
 * until their outputs are closed, which takes them off the set: timeout (coreutils 9.1) that is ended right
 * after its fork leaves its child running.
 */
async function end(commands: ReadonlySet<Deno.ChildProcess>): Promise<void> {
  for (let attempt = 0; commands.size > 0; attempt++) {
    for (const { pid } of commands) {
      const wasSent = signalProcess(-pid, attempt < 20 ? "SIGTERM" : "SIGKILL");
      // At first a command may have no group yet. Later its number may be another's.
      if (!wasSent && attempt === 0) signalProcess(pid, "SIGTERM");
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

/** Signals a process, or with a negative number a group; false when there is none. */
function signalProcess(pid: number, signal: Deno.Signal): boolean {
  try {
    Deno.kill(pid, signal);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** Runs it to its end, or to a limit's. */
export async function runWatched(
  program: string,
  options: Pick<Deno.CommandOptions, "args" | "cwd" | "env">,
  { silenceMs, endMs }: CommandLimits,
): Promise<WatchedOutcome> {
  // coreutils' timeout, here without a time, puts it into a process group of its own.
  const child = new Deno.Command("timeout", {
    ...options,
    args: ["0", program, ...options.args ?? []],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const own = new Set([child]);
  running.add(child);
  let heardMs = performance.now();
  const textOf = async (stream: ReadableStream<Uint8Array>): Promise<string> => {
    const decoder = new TextDecoder();
    let text = "";
    for await (const bytes of stream) {
      const part = decoder.decode(bytes, { stream: true });
      text += part;
      if (!STILL_RUNNING.test(part)) heardMs = performance.now();
    }
    return text;
  };
  let ended: "silent" | "late" | undefined;
  let ending: Promise<void> | undefined;
  const timer = setInterval(() => {
    const nowMs = performance.now();
    if (nowMs >= endMs) ended = "late";
    else if (nowMs - heardMs >= silenceMs) ended = "silent";
    if (ended === undefined) return;
    clearInterval(timer);
    ending = end(own);
  }, LOOK_MS);
  const outputs = Promise.all([child.status, textOf(child.stdout), textOf(child.stderr)]);
  const [{ code }, out, errors] = await outputs;
  clearInterval(timer);
  running.delete(child);
  own.delete(child);
  await ending;
  return { code, printed: out + errors, ...(ended !== undefined && { ended }) };
}
