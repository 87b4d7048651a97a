/**
 * A command's standard output: single lines, JSON objects one per line, tables. Colour only on a terminal,
 * and not if NO_COLOR is set.
 *
 * If the reader has closed the pipe (`vmsig watch | head`), that is not an error: {@linkcode OutputClosed} is
 * thrown, and the command ends quietly.
 * @module
 */
import { Fault, messageOf } from "../../base/fault.ts";

/** Thrown when the output's reader is gone. */
export class OutputClosed extends Error {
  /** The error's name. */
  override name = "OutputClosed";
}

/** The meaning of a text, shown by a colour on a terminal. */
export type Tone = "plain" | "good" | "warn" | "bad" | "dim" | "bold";

const SEQUENCES: Readonly<Record<Tone, string>> = {
  plain: "",
  good: "\x1b[32m",
  warn: "\x1b[33m",
  bad: "\x1b[31m",
  dim: "\x1b[2m",
  bold: "\x1b[1m",
};
const RESET = "\x1b[0m";

/** Writes all bytes, or throws {@linkcode OutputClosed}. */
export type Writer = (bytes: Uint8Array) => void;

/** The standard output of a command. */
export class Output {
  readonly #write: Writer;
  readonly #encoder = new TextEncoder();
  /** Whether colour is wanted. */
  readonly colour: boolean;

  /**
   * Prints to `write`.
   *
   * @param write takes the bytes
   * @param colour whether colour is wanted
   */
  constructor(write: Writer, colour: boolean) {
    this.#write = write;
    this.colour = colour;
  }

  /** One line. */
  line(text = ""): void {
    this.#write(this.#encoder.encode(text + "\n"));
  }

  /** Bytes as they are. */
  bytes(bytes: Uint8Array): void {
    this.#write(bytes);
  }

  /** One JSON object, on one line. */
  json(value: unknown): void {
    this.line(JSON.stringify(value));
  }

  /** Text with a tone; unchanged if colour is not wanted. */
  paint(tone: Tone, text: string): string {
    return this.colour && tone !== "plain" ? SEQUENCES[tone] + text + RESET : text;
  }
}

/** The process's standard output. */
export function standardOutput(): Output {
  const colour = Deno.stdout.isTerminal() && (Deno.env.get("NO_COLOR") ?? "") === "";
  return new Output(writeStdout, colour);
}

function writeStdout(bytes: Uint8Array): void {
  try {
    for (let done = 0; done < bytes.length;) done += Deno.stdout.writeSync(bytes.subarray(done));
  } catch (error) {
    if (error instanceof Deno.errors.BrokenPipe) throw new OutputClosed();
    // A full disk, or a file size limit: not a defect of vmsig.
    throw new Fault("refused", `Cannot print: ${messageOf(error)}`, { cause: error });
  }
}
