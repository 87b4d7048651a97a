/**
 * Checks and runs the examples in the documentation of the package's faces: every fenced block of TypeScript
 * in the header of the files that deno.json exports. Each is a program of its own, type-checked as strictly
 * as the sources. What needs a daemon finds one by VMSIG_SOCKET; a VM that an example calls `web` is a stub
 * endpoint there.
 *
 *   deno run -A scripts/build/examples.ts [FILE…]     all faces, or only these files
 *
 * (`deno test --doc` does not do: it imports a file's exports into each example by itself, and those that the
 * example does not use are an error under noUnusedLocals.)
 *
 * @module
 */
const ROOT = new URL("../../", import.meta.url);
/** What an example may take; only one that hangs does. */
const LIMIT_SECONDS = 600;

/** An example. */
export interface Example {
  /** Line of its fence in the file, from 1. */
  readonly line: number;
  /** Its text. */
  readonly code: string;
}

/** The TypeScript examples in the comments of a source file. */
export function examplesOf(text: string): Example[] {
  const found: Example[] = [];
  let block: { line: number; lines: string[] } | undefined;
  text.split("\n").forEach((line, i) => {
    const comment = /^\s*\* ?(.*)$/.exec(line)?.[1];
    if (block !== undefined && (comment === undefined || comment.startsWith("```"))) {
      found.push({ line: block.line, code: `${block.lines.join("\n")}\n` });
      block = undefined;
    } else if (block !== undefined) block.lines.push(comment ?? "");
    else if (comment?.startsWith("```ts")) block = { line: i + 1, lines: [] };
  });
  return found;
}

/**
 * An example's text as it is run: from any folder, so imports from the project's top become absolute; and its
 * VM `web` is the stub endpoint.
 */
function runnable(code: string): string {
  return code.replaceAll('"web"', '"stub0"').replace(
    /(from\s+")\.\/([^"]+")/g,
    (_all, from: string, path: string) => from + ROOT.href + path,
  );
}

function faces(): string[] {
  const config = JSON.parse(Deno.readTextFileSync(new URL("deno.json", ROOT))) as {
    exports: Record<string, string>;
  };
  return [...new Set(Object.values(config.exports).map((path) => path.replace(/^\.\//, "")))];
}

interface Daemon extends AsyncDisposable {
  readonly socket: string;
}

/** A daemon with one stub endpoint, in a folder of its own. */
async function startDaemon(folder: string): Promise<Daemon> {
  const socket = `${folder}/vmsig.sock`;
  const config = `${folder}/vmsigd.toml`;
  await Deno.writeTextFile(config, "[discovery]\nprobe = false\n");
  const args = ["run", "-q", "-A", "main.ts", "serve", "--config", config, "--socket", socket, "--stub", "1"];
  const child = new Deno.Command(Deno.execPath(), {
    args,
    cwd: ROOT.pathname,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    env: { NO_COLOR: "1", XDG_RUNTIME_DIR: folder },
  }).spawn();
  const log = new Response(child.stderr).text();
  const stop = async (): Promise<string> => {
    child.kill("SIGTERM");
    await child.status;
    return await log;
  };
  // The socket's file is there before anybody listens: the daemon says when somebody does.
  const said = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (!text.includes("ready ")) {
    const { value, done } = await said.read();
    if (done) throw new Error(`the daemon did not start: ${await log}`);
    text += value;
  }
  return {
    socket,
    [Symbol.asyncDispose]: async () => {
      await stop();
      await said.cancel();
    },
  };
}

/** An example in a file of its own. */
interface ExampleFile {
  /** "FILE:LINE" of where it stands in the sources. */
  readonly at: string;
  /** Where it was written. */
  readonly path: string;
}

/** Runs Deno with a limit; what it said when it failed. */
async function deno(
  args: readonly string[],
  folder: string,
  limitSeconds: number,
  socket: string,
): Promise<string | undefined> {
  const { success, stdout, stderr } = await new Deno.Command("timeout", {
    args: ["--kill-after=5", String(limitSeconds), Deno.execPath(), ...args],
    cwd: folder,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    env: { NO_COLOR: "1", VMSIG_SOCKET: socket },
  }).output();
  const decoder = new TextDecoder();
  return success ? undefined : `${decoder.decode(stdout)}${decoder.decode(stderr)}`.trimEnd();
}

/** The examples that do not hold, each told. All are type-checked at once: most import the same sources. */
async function failuresOf(files: readonly ExampleFile[], folder: string, socket: string): Promise<number> {
  const config = ["-q", "--config", new URL("deno.json", ROOT).pathname];
  const told = await deno(
    ["check", ...config, ...files.map(({ path }) => path)],
    folder,
    LIMIT_SECONDS * files.length,
    socket,
  );
  if (told !== undefined) {
    const inWhich = files.filter(({ path }) => told.includes(path)).map(({ at }) => at);
    console.error(`vmsig: examples: ${inWhich.join(", ")}: not valid TypeScript\n${told}`);
    return Math.max(1, inWhich.length);
  }
  let failed = 0;
  for (const { at, path } of files) {
    const why = await deno(["run", "-A", "--no-check", ...config, path], folder, LIMIT_SECONDS, socket);
    if (why === undefined) continue;
    failed++;
    console.error(`vmsig: examples: ${at}: does not run\n${why}`);
  }
  return failed;
}

if (import.meta.main) {
  const faceFiles = Deno.args.length > 0 ? Deno.args : faces();
  const folder = await Deno.makeTempDir({ prefix: "vmsig-examples-" });
  const files: ExampleFile[] = [];
  let failed = 0;
  try {
    for (const file of faceFiles) {
      const examples = examplesOf(await Deno.readTextFile(new URL(file, ROOT)));
      if (examples.length === 0) {
        console.error(`vmsig: examples: ${file}:1: a face of the package without an example that runs`);
        failed++;
      }
      for (const [i, example] of examples.entries()) {
        const path = `${folder}/${file.replaceAll(/[^a-z0-9]/g, "_")}_${i}.ts`;
        await Deno.writeTextFile(path, runnable(example.code));
        files.push({ at: `${file}:${example.line}`, path });
      }
    }
    await using daemon = await startDaemon(folder);
    failed += await failuresOf(files, folder, daemon.socket);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
  if (failed > 0) Deno.exit(1);
  console.log(`examples: ${files.length} of ${faceFiles.length} faces run`);
}
