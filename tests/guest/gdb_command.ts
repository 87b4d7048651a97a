/**
 * `vmsig gdb` as a process, and gdb itself.
 * @module
 */
import type { DaemonProcess } from "../fixtures/daemon_process.ts";
import { endChild } from "../fixtures/end_child.ts";

/** Without it gdb waits 2 s for an answer, and takes a later one for that of another question. */
export const PATIENT = "set remotetimeout 120";
const ROOT = new URL("../../", import.meta.url).pathname;

/** What gdb says to commands, after it has attached. */
export async function gdb(place: string, ...commands: readonly string[]): Promise<string> {
  const args = [
    "-nx",
    "-batch",
    "-ex",
    PATIENT,
    "-ex",
    `target remote ${place}`,
    ...commands.flatMap((line) => ["-ex", line]),
  ];
  const command = new Deno.Command("gdb", { args, stdin: "null", stdout: "piped", stderr: "piped" });
  const { stdout, stderr } = await command.output();
  const decoder = new TextDecoder();
  return `${decoder.decode(stdout)}${decoder.decode(stderr)}`;
}

/** What comes until it matches, or until the end: a pipe may give one message in several pieces. */
export async function readUntil(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  pattern: RegExp,
): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  while (!pattern.test(text)) {
    const { value, done } = await reader.read();
    if (done) break;
    text += decoder.decode(value, { stream: true });
  }
  return text;
}

/** `vmsig gdb` that listens on a socket of the daemon's folder. */
export class GdbCommand implements AsyncDisposable {
  /** What it said on standard error. */
  errors = "";
  /** Where it listens, as gdb takes it. */
  place = "";
  readonly #process: Deno.ChildProcess;
  readonly #output: ReadableStreamDefaultReader<Uint8Array>;
  readonly #reading: Promise<void>;

  private constructor(args: readonly string[]) {
    const process = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", "--config", `${ROOT}deno.json`, `${ROOT}main.ts`, ...args],
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#process = process;
    this.#output = process.stdout.getReader();
    this.#reading = (async () => {
      for await (const text of process.stderr.pipeThrough(new TextDecoderStream())) this.errors += text;
    })();
  }

  /** Starts it and waits until it listens. */
  static async start(daemon: DaemonProcess, ...words: readonly string[]): Promise<GdbCommand> {
    const listen = words.includes("--listen") ? [] : ["--listen", `unix:${daemon.folder}/gdb`];
    const command = new GdbCommand(["gdb", ...words, ...listen, "--socket", daemon.socket]);
    const text = await readUntil(command.#output, /gdb -ex 'target remote \S+'/);
    const place = /gdb -ex 'target remote (\S+)'/.exec(text)?.[1];
    if (place === undefined) {
      await command[Symbol.asyncDispose]();
      throw new Error(`vmsig gdb does not listen: ${text}${command.errors}`);
    }
    command.place = place;
    return command;
  }

  /** Ctrl-C, and the end. */
  async [Symbol.asyncDispose](): Promise<void> {
    await endChild(this.#process, "SIGINT");
    await this.#output.cancel();
    await this.#reading;
  }
}
