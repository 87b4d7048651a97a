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

/** Runs it to its end, or to a limit's. */
export async function runWatched(
  program: string,
  options: Pick<Deno.CommandOptions, "args" | "cwd" | "env">,
  { silenceMs, endMs }: CommandLimits,
): Promise<WatchedOutcome> {
  // coreutils' timeout puts it into a process group of its own, and ends all of it when it is told to end.
  const child = new Deno.Command("timeout", {
    ...options,
    args: ["--kill-after=5", "0", program, ...options.args ?? []],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
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
  const timer = setInterval(() => {
    if (ended !== undefined) return;
    const nowMs = performance.now();
    if (nowMs >= endMs) ended = "late";
    else if (nowMs - heardMs >= silenceMs) ended = "silent";
    if (ended !== undefined) child.kill("SIGTERM");
  }, LOOK_MS);
  const [{ code }, out, errors] = await Promise.all([
    child.status,
    textOf(child.stdout),
    textOf(child.stderr),
  ]);
  clearInterval(timer);
  return { code, printed: out + errors, ...(ended !== undefined && { ended }) };
}
