/**
 * `vmsig wait`: waits until something appears on a VM's screen, runs in its guest, or is true of the VM.
 * @module
 */
import { Fault, messageOf } from "../../base/fault.ts";
import { MAX_HEADS } from "../../base/limits.ts";
import { printable } from "../../base/printable.ts";
import { VM_STATE_NAMES } from "../../event/body_number.ts";
import type { SourceName } from "../../event/source.ts";
import type { Rectangle } from "../../vgpu/picture.ts";
import { decodePng } from "../../vgpu/png.ts";
import type { Client } from "../client.ts";
import { JOIN_TIMEOUT_MS } from "../command_options.ts";
import { waitFor } from "../wait.ts";
import {
  describeCondition,
  MAX_EXPRESSION,
  MAX_WAIT_MS,
  type WaitCondition,
  type WaitResult,
} from "../wait_condition.ts";
import type { Call, CommandModule } from "./command.ts";
import { usage } from "./command_line.ts";
import { note } from "./note.ts";
import { visible } from "./table.ts";

/** Options of which exactly one is given. */
const CONDITIONS = ["text", "image", "still", "change", "process", "state", "ready"] as const;
/** Size limit of a PNG file to look for, bytes. */
const MAX_IMAGE_FILE = 64 * 1024 * 1024;

/** The command. */
export const wait: CommandModule = {
  args: { min: 1, max: 1 },
  options: {
    text: { takes: "text", value: "RE", help: "text on the screen that this expression matches" },
    ocr: {
      takes: "nothing",
      help: "with --text: recognise it in the picture, with tesseract on this machine",
    },
    language: { takes: "text", value: "L", help: "with --ocr: tesseract's data, eng (default) or deu+eng" },
    image: {
      takes: "text",
      value: "FILE.png",
      help: "this picture on the screen; its transparent parts match anything",
    },
    still: {
      takes: "number",
      value: "MS",
      min: 1,
      max: MAX_WAIT_MS,
      help: "a screen that has not changed for this long",
    },
    change: { takes: "nothing", help: "a change of the screen" },
    process: { takes: "text", value: "NAME", help: "a process of this name in the guest" },
    state: {
      takes: "text",
      value: "S",
      choices: VM_STATE_NAMES,
      help: `a state of the VM: ${VM_STATE_NAMES.join(", ")}`,
    },
    ready: {
      takes: "nothing",
      help: "the VM: its seams are up, and its system is found in memory if the daemon knows the system",
    },
    area: {
      takes: "text",
      value: "X,Y,W,H",
      help: "look only here, in pixels: with --image, --still, --change",
    },
    tolerance: {
      takes: "number",
      value: "N",
      fraction: true,
      max: 255,
      help: "with --image: mean difference of a colour, 0 (equal) to 255",
    },
    head: { takes: "number", value: "N", max: MAX_HEADS - 1, help: "which head of the VM (0)" },
    fresh: {
      takes: "nothing",
      help: "ignore what is on the screen now, until it has disappeared once",
    },
    timeout: {
      takes: "number",
      value: "MS",
      min: 1,
      max: MAX_WAIT_MS,
      help: "stop waiting after this time, with exit code 1",
    },
  },
  details:
    `Exits with 0 when the condition holds, and prints what was found, where and when; exits with 1 if --timeout passes
first. One of --text, --image, --still, --change, --process, --state and --ready says what to wait for. --ready also
waits for a daemon and a VM that do not exist yet, and while firmware runs or the system is starting, and says so;
it does not wait for memory that the daemon cannot read or a system that it does not know. --text matches the lines
of a text screen or console, which are read exactly; only --ocr, for graphical screens, recognises text in the
picture. Text from before a reset does not count; after \`vmsig vm NAME reset\` in another call use --fresh.`,
  examples: [
    "wait web --text 'login:' --timeout 60000",
    "wait web --image button.png --area 0,600,800,200 --tolerance 8",
    "wait web --text Welcome --ocr",
    "wait web --still 2000",
    "wait web --process nginx",
    "wait web --state running",
    "wait web --ready --timeout 30000 --json",
  ],
  async run(call) {
    const [ref = ""] = call.args;
    const condition = await conditionOf(call);
    const timeoutMs = call.number("timeout");
    const head = call.number("head");
    const language = call.text("language");
    if (call.flag("ocr") && !("text" in condition)) throw usage("wait", "--ocr is for --text");
    if (language !== undefined && !call.flag("ocr")) throw usage("wait", "--language is for --ocr");
    const startMs = performance.now();
    await using client = await joined(call, ref, condition, timeoutMs);
    if (call.flag("ocr") && "text" in condition) {
      const { waitForOcr } = await import("../ocr.ts");
      const found = await waitForOcr(client, ref, condition.text, {
        signal: call.signal,
        fresh: call.flag("fresh"),
        ...(language === undefined ? {} : { language }),
        ...(timeoutMs === undefined ? {} : { timeoutMs }),
        ...(head === undefined ? {} : { head }),
      });
      if (call.json) call.out.json(found);
      else call.out.line(told(found));
      return;
    }
    const result = await waitFor(client, ref, condition, {
      signal: call.signal,
      fresh: call.flag("fresh"),
      // With a time limit the error reports it, and is the only line.
      ...(timeoutMs === undefined
        ? {
          onAbsent: (text: string) => note(call, `${text}; waiting until it comes (--timeout MS gives up)`),
          onMisfit: (text: string) =>
            note(call, `so far ${text}; waiting until that changes (--timeout MS gives up)`),
        }
        : {}),
      // The time spent waiting for the daemon counts as well.
      ...(timeoutMs === undefined ? {} : { timeoutMs, sinceMs: startMs }),
      ...(head === undefined ? {} : { head }),
    });
    if (call.json) call.out.json(result);
    else call.out.line(told(result));
  },
};

/** Joins the daemon; one that is waited for with --ready may come, as its VM may. */
async function joined(call: Call, ref: string, condition: WaitCondition, timeoutMs: number | undefined) {
  const join = async (): Promise<Client> => {
    // A daemon that hangs is told as that, and within the time that was given.
    const limitMs = Math.min(timeoutMs ?? Infinity, JOIN_TIMEOUT_MS);
    try {
      return await call.connect({ sources: sourcesOf(condition) }, false, { timeoutMs: limitMs });
    } catch (error) {
      if (!(error instanceof Fault) || error.code !== "timed-out" || timeoutMs !== limitMs) throw error;
      const what = `Cannot wait for ${describeCondition(condition, printable(ref))}`;
      throw new Fault("timed-out", `${what}: not within ${timeoutMs} ms, in which the daemon did not answer`);
    }
  };
  if (!("ready" in condition) || call.nats !== undefined) return await join();
  const { whenItListens } = await import("./wait_daemon.ts");
  const onAbsent = (why: string) => {
    // With a time limit the error reports it, and is the only line.
    if (timeoutMs === undefined) note(call, `${why}; waiting until it comes (--timeout MS gives up)`);
  };
  return await whenItListens({ join, signal: call.signal, timeoutMs, onAbsent });
}

async function conditionOf(call: Call): Promise<WaitCondition> {
  const given = CONDITIONS.filter((name) => isGiven(call, name));
  const [what] = given;
  if (what === undefined || given.length > 1) {
    throw usage("wait", `say what for, by one of ${CONDITIONS.map((name) => `--${name}`).join(", ")}`);
  }
  const area = areaOf(call, what);
  const part = area === undefined ? {} : { area };
  const tolerance = call.number("tolerance");
  if (tolerance !== undefined && what !== "image") throw usage("wait", "--tolerance is for --image");
  switch (what) {
    case "text":
      return { text: expressionOf(call.text("text") ?? "") };
    case "image": {
      const path = call.text("image") ?? "";
      return {
        image: decodePng(await readImage(path), path),
        ...part,
        ...(tolerance === undefined ? {} : { tolerance }),
      };
    }
    case "still":
      return { stillMs: call.number("still") ?? 0, ...part };
    case "change":
      return { change: true, ...part };
    case "process":
      return { process: call.text("process") ?? "" };
    case "state": {
      const state = call.text("state") ?? "";
      if (VM_STATE_NAMES.includes(state)) return { state };
      throw usage("wait", `there is no state ${visible(state)}; there are: ${VM_STATE_NAMES.join(", ")}`);
    }
    case "ready":
      return { ready: true };
  }
}

function isGiven(call: Call, name: (typeof CONDITIONS)[number]): boolean {
  if (name === "change" || name === "ready") return call.flag(name);
  return (name === "still" ? call.number(name) : call.text(name)) !== undefined;
}

function areaOf(call: Call, what: string): Rectangle | undefined {
  const text = call.text("area");
  if (text === undefined) return undefined;
  if (what !== "image" && what !== "still" && what !== "change") {
    throw usage("wait", "--area is for --image, --still and --change");
  }
  const numbers = /^\d{1,5},\d{1,5},\d{1,5},\d{1,5}$/.test(text) ? text.split(",").map(Number) : [];
  const [x = -1, y = -1, width = 0, height = 0] = numbers;
  if (width > 0 && height > 0) return { x, y, width, height };
  throw usage("wait", `${visible(text)} is not an area: X,Y,WIDTH,HEIGHT in pixels, such as 0,0,640,480`);
}

function expressionOf(text: string): RegExp {
  if (text.length > MAX_EXPRESSION) {
    throw usage("wait", `the expression has more than ${MAX_EXPRESSION} characters`);
  }
  try {
    return new RegExp(text, "mu");
  } catch (error) {
    throw usage("wait", `${visible(text)} is not a regular expression: ${messageOf(error)}`);
  }
}

async function readImage(path: string): Promise<Uint8Array> {
  try {
    const { size, isFile } = await Deno.stat(path);
    // Opening a FIFO would wait for a writer, and no signal would end that.
    if (!isFile) throw new Fault("bad-argument", "it is not a plain file");
    if (size <= MAX_IMAGE_FILE) return await Deno.readFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw error;
    throw new Fault("bad-argument", `Cannot read ${path}: ${messageOf(error)}`, { cause: error });
  }
  throw new Fault("too-large", `Cannot look for ${path}: it has more than ${MAX_IMAGE_FILE} bytes`);
}

function sourcesOf(condition: WaitCondition): SourceName[] {
  if ("state" in condition) return ["CORE", "VMHOST"];
  if ("process" in condition || "ready" in condition) return ["CORE", "VMHOST", "MEMCTX"];
  return ["CORE", "VMHOST", "FRAME"];
}

function told(result: WaitResult): string {
  const after = `after ${Math.round(result.afterMs)} ms`;
  const name = visible(result.name);
  switch (result.what) {
    case "text":
      // A person counts from 1, a program (--json) from 0.
      return `${name}: ${visible(result.text)} at line ${result.row + 1}, column ${
        result.column + 1
      }, ${after}`;
    case "image":
      return `${name}: the picture at ${result.x},${result.y}, score ${result.score.toFixed(4)}, ${after}`;
    case "still":
      return `${name}: still for ${result.stillMs} ms, ${after}`;
    case "change":
      return `${name}: changed at ${result.x},${result.y} by ${result.width}x${result.height}, ${after}`;
    case "process":
      return `${name}: process ${visible(result.process)} is ${result.pid}, ${after}`;
    case "state":
      return `${name}: ${visible(result.state)}${
        result.detail === "none" ? "" : ` (${visible(result.detail)})`
      }, ${after}`;
    case "ready":
      return `${name}: ready (${result.seams.join(", ")}${
        result.hasContext ? "; system found" : ""
      }), ${after}`;
  }
}
