/**
 * What a failing test leaves: the screen as it was, as a picture and as text, and an error that shows the
 * text. Where there is no screen, or none any more, the error stands alone.
 * @module
 */
import type { EndpointId } from "../base/ids.ts";
import { Fault, messageOf } from "../base/fault.ts";
import { printable } from "../base/printable.ts";
import type { Client } from "../client/client.ts";
import { encodePng } from "../vgpu/png.ts";

/** Lines of the screen that an error shows. */
const SHOWN_LINES = 50;
/** How long the screen may take to be seen once more. */
const LOOK_MS = 5000;

/** A step of a test that failed, with what was on the screen. */
export class MachineFault extends Fault {
  /** The lines on the screen; undefined when it showed no text, or could not be read. */
  readonly screenLines: readonly string[] | undefined;
  /** The picture's file; undefined when there was none. */
  readonly pictureFile: string | undefined;
  /** The trace's file, which is whole when the machine is let go of; undefined without one. */
  readonly traceFile: string | undefined;

  /** Made where a step fails. */
  constructor(
    cause: Fault,
    lines: readonly string[] | undefined,
    pictureFile: string | undefined,
    traceFile?: string,
    state?: string,
  ) {
    super(cause.code, messageWith(cause, lines, pictureFile, traceFile, state), { cause });
    this.name = "MachineFault";
    this.traceFile = traceFile;
    this.screenLines = lines;
    this.pictureFile = pictureFile;
  }
}

/** Which screen, and where what it shows is kept. */
export interface EvidenceTarget {
  /** The machine's connection. */
  readonly client: Client;
  /** The endpoint's number. */
  readonly endpoint: EndpointId;
  /** The head. */
  readonly head: number;
  /** The folder. */
  readonly folder: string;
  /** The file of the trace that goes along; undefined without one. */
  readonly trace?: string | undefined;
}

let count = 0;
/** Errors of others' that tell already where the screen is. */
const told = new WeakSet<Error>();

/**
 * Saves what the screen shows, and makes the error that tells it. One that is not vmsig's, such as a failed
 * assertion, stays itself, and tells where the screen is.
 */
export async function withEvidence(target: EvidenceTarget, error: unknown): Promise<unknown> {
  if (!(error instanceof Error) || error instanceof MachineFault || told.has(error)) return error;
  const { client, endpoint, head } = target;
  if (client.fault !== undefined) return error;
  const look = { head, timeoutMs: LOOK_MS };
  const [frame, text, vm] = await Promise.allSettled([
    client.frame(endpoint, look),
    client.screenText(endpoint, look),
    client.vmState(endpoint, { timeoutMs: LOOK_MS }),
  ]);
  // A VM that crashed or stands still shows nothing new, however long a step waits.
  const state = vm.status === "fulfilled" && vm.value.state !== "running" ? vm.value.state : undefined;
  const lines = text.status === "fulfilled" ? text.value.lines : undefined;
  const picture = frame.status === "fulfilled" ? frame.value.picture() : undefined;
  if (lines === undefined && picture === undefined) {
    return error instanceof Fault ? new MachineFault(error, lines, undefined, target.trace, state) : error;
  }
  try {
    const base = await newBase(target);
    if (lines !== undefined) {
      await Deno.writeTextFile(
        `${base}.txt`,
        `${lines.map((line) => printable(line)).join("\n")}\n`,
      );
    }
    if (picture !== undefined) await Deno.writeFile(`${base}.png`, encodePng(picture));
    const file = picture === undefined ? undefined : `${base}.png`;
    if (error instanceof Fault) return new MachineFault(error, lines, file, target.trace, state);
    error.message = messageWith(error, lines, file, target.trace, state);
    told.add(error);
    return error;
  } catch (failure) {
    if (!(error instanceof Fault)) return error;
    // The step's own failure counts; that its picture could not be kept is told beside it.
    const note = new Fault(error.code, `${error.message} (nothing was saved: ${messageOf(failure)})`, {
      cause: error,
    });
    return new MachineFault(note, lines, undefined, target.trace, state);
  }
}

/** A file name without its ending, in the folder, that no other test of this or another process has. */
async function newBase({ client, endpoint, folder }: EvidenceTarget): Promise<string> {
  await Deno.mkdir(folder, { recursive: true });
  // A VM's name may hold anything.
  const name = client.roster.nameOf(endpoint).replace(/[^\w.-]/g, "_").slice(0, 64);
  count++;
  return `${folder}/${name}-${Deno.pid}-${count}`;
}

function messageWith(
  { message }: Error,
  lines: readonly string[] | undefined,
  file: string | undefined,
  trace: string | undefined,
  state: string | undefined,
): string {
  const parts = [message];
  if (state !== undefined) parts.push(`the VM is ${state}`);
  if (file !== undefined) parts.push(`the screen is in ${printable(file)}`);
  if (trace !== undefined) parts.push(`its trace is in ${printable(trace)} (vmsig trace)`);
  const shown = lines?.map((line) => printable(line)) ?? [];
  while (shown.at(-1) === "") shown.pop();
  if (shown.length === 0) return parts.join("; ");
  const rule = "-".repeat(72);
  return `${parts.join("; ")}; it showed:\n${rule}\n${shown.slice(-SHOWN_LINES).join("\n")}\n${rule}`;
}
