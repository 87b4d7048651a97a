/**
 * Recognises text in a picture of a graphical screen with the program tesseract, if this machine has it (it
 * is not part of vmsig). Words are recognised well, hexadecimal and punctuation poorly; the text of a text
 * screen is read exactly, without this.
 * @module
 */
import { assert } from "../base/assert.ts";
import { Fault, messageOf } from "../base/fault.ts";
import { printable } from "../base/printable.ts";
import type { Picture } from "../vgpu/picture.ts";
import { encodePng } from "../vgpu/png.ts";
import { scalePicture } from "../vgpu/scale.ts";
import type { Client } from "./client.ts";
import type { EndpointRef } from "./roster_view.ts";
import type { WaitResult } from "./wait_condition.ts";

/** Languages: names of tesseract's data files, joined by "+". */
const OCR_LANGUAGE: RegExp = /^[A-Za-z_]{2,32}(?:\+[A-Za-z_]{2,32}){0,7}$/;
/** Size limit of its output, bytes. */
const MOST_BYTES = 1 << 20;
/** Smaller pictures are enlarged, because it recognises letters of a screen's size badly. */
const LEAST_WIDTH = 1800;
const MOST_FACTOR = 3;

/** Options of recognition. */
export interface OcrOptions {
  /** Languages, by default "eng"; "deu+eng" for two. */
  readonly language?: string | undefined;
  /** Gives up. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Recognises the text of a picture.
 *
 * @returns its lines from the top, not escaped
 * @throws {Fault} `missing` when the program or its language is not installed, with what to install;
 *   `bad-argument`, `interrupted`, `refused`
 */
export async function recognise(
  picture: Picture,
  { language = "eng", signal }: OcrOptions = {},
): Promise<string[]> {
  if (!OCR_LANGUAGE.test(language)) {
    throw new Fault("bad-argument", `Cannot read text in ${printable(language)}: say eng, or deu+eng`);
  }
  const factor = Math.min(MOST_FACTOR, Math.max(1, LEAST_WIDTH / picture.width));
  const png = encodePng(factor === 1 ? picture : scalePicture(picture, factor));
  let child: Deno.ChildProcess;
  try {
    child = new Deno.Command("tesseract", {
      args: ["-", "-", "-l", language, "--psm", "6"],
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
      // On a machine with few processors its threads only slow each other down.
      env: { OMP_THREAD_LIMIT: "1" },
      ...(signal === undefined ? {} : { signal }),
    }).spawn();
  } catch (error) {
    if (signal?.aborted) throw interrupted();
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new Fault(
      "missing",
      `Cannot read text off a picture: there is no tesseract here; ${install(language)}`,
      {
        cause: error,
      },
    );
  }
  const writer = child.stdin.getWriter();
  const written = writer.write(png).then(() => writer.close()).catch((error) => messageOf(error));
  const { success, stdout, stderr } = await child.output();
  await written;
  if (signal?.aborted) throw interrupted();
  const words = new TextDecoder().decode(stderr.subarray(0, MOST_BYTES));
  // tesseract silently ignores languages that are not installed.
  if (/Failed loading language|Error opening data file/.test(words)) {
    throw new Fault(
      "missing",
      `Cannot read text in ${language}: its data is not installed; ${install(language)}`,
    );
  }
  if (!success) {
    throw new Fault("refused", `Cannot read text off a picture: tesseract says: ${printable(words.trim())}`);
  }
  const text = new TextDecoder().decode(stdout.subarray(0, MOST_BYTES));
  return text.replaceAll("\f", "").split("\n").map((line) => line.trimEnd()).filter((line) => line !== "");
}

/**
 * Waits until a text can be recognised in a picture of the screen.
 *
 * @throws {Fault} as {@linkcode recognise}; `timed-out` with the lines that were last recognised
 */
export async function waitForOcr(
  client: Client,
  ref: EndpointRef,
  expression: RegExp,
  { timeoutMs, head = 0, fresh = false, language, signal }: OcrOptions & {
    readonly timeoutMs?: number;
    readonly head?: number;
    readonly fresh?: boolean;
  } = {},
): Promise<WaitResult> {
  const endpoint = await client.endpoint(ref);
  const name = client.roster.nameOf(endpoint);
  const startMs = performance.now();
  const limits = [signal, timeoutMs === undefined ? undefined : AbortSignal.timeout(timeoutMs)];
  const either = AbortSignal.any(limits.filter((each) => each !== undefined));
  let last: string[] = [];
  let hasToGo = fresh;
  try {
    // While a picture is being processed the screen changes; only the newest picture is processed next.
    for await (const frame of client.frames(endpoint, { head, perSecond: 2, signal: either })) {
      last = await recognise(frame.picture(), { language, signal: either });
      const found = find(last, expression);
      if (found === undefined) hasToGo = false;
      else if (!hasToGo) {
        const afterMs = Math.round(performance.now() - startMs);
        return { what: "text", ...found, frameId: frame.frameId, endpoint, name, afterMs };
      }
    }
  } catch (error) {
    if (!either.aborted) throw error;
  }
  if (signal?.aborted) throw interrupted();
  assert(either.aborted || client.fault !== undefined, "pictures end with the wait, or with the connection");
  if (!either.aborted) throw client.fault;
  const read = last.length === 0
    ? "nothing"
    : JSON.stringify(last.map((line) => printable(line, 80)).slice(0, 20));
  throw new Fault(
    "timed-out",
    `Cannot wait for the text ${expression} of ${
      printable(name)
    }: not within ${timeoutMs} ms; OCR read ${read}`,
  );
}

function find(
  lines: readonly string[],
  expression: RegExp,
): { text: string; row: number; column: number } | undefined {
  const whole = lines.join("\n");
  const match = new RegExp(expression.source, expression.flags.replace(/[gy]/g, "")).exec(whole);
  if (match === null) return undefined;
  const before = whole.slice(0, match.index);
  const row = before.split("\n").length - 1;
  return { text: match[0], row, column: before.length - (before.lastIndexOf("\n") + 1) };
}

function install(language: string): string {
  const data = language.split("+").map((each) => `tesseract-ocr-${each.replaceAll("_", "-").toLowerCase()}`);
  return `install it: apt-get install tesseract-ocr ${data.join(" ")}`;
}

function interrupted(): Fault {
  return new Fault("interrupted", "Cannot go on reading text off a picture: interrupted");
}
