/**
 * The trace of a test's machine. It is made unless the test says otherwise, in a folder that goes away again,
 * and becomes one of the artifacts when a step has failed. What it costs is bounded: few pictures per second,
 * a file that begins anew when it is large, and no look into the guest's memory while all goes well.
 * @module
 */
import { Fault, messageOf } from "../base/fault.ts";
import { printable } from "../base/printable.ts";
import { type TraceOptions, TraceRecorder } from "../client/record/trace_recorder.ts";
import type { MachineOptions } from "./machine_options.ts";

const WHEN = ["on-failure", "always", "off"] as const;
/** Bounds of a trace that only a failure keeps. */
const BOUNDS = { perSecond: 5, mostBytes: 64 * 2 ** 20, processes: "at-failure" } as const;
let count = 0;

/** How it is made. */
export interface MachineTraceOptions extends Omit<TraceOptions, "path"> {
  /** When it is kept; what VMSIG_TRACE says unless told. */
  readonly when: MachineOptions["trace"];
  /** The folder. */
  readonly folder: string;
  /** The machine's name. */
  readonly name: string;
}

/** A trace under way. */
export class MachineTrace implements AsyncDisposable {
  /** What takes the actions. */
  readonly recorder: TraceRecorder;
  /** Where it is once the machine is let go of. */
  readonly path: string;
  /** The folder that it is made in; undefined when it is made where it stays. */
  readonly #making: string | undefined;
  #isKept: boolean;

  private constructor(recorder: TraceRecorder, path: string, making: string | undefined) {
    this.recorder = recorder;
    this.path = path;
    this.#making = making;
    this.#isKept = making === undefined;
  }

  /**
   * Begins one.
   *
   * @returns undefined where none is wanted, or where nobody asked for one and it cannot be made: a test does
   *   not fail for its trace
   * @throws {Fault} `bad-argument` for another VMSIG_TRACE than its words; where one is asked for, `refused`
   *   when it cannot be written
   */
  static async start(options: MachineTraceOptions): Promise<MachineTrace | undefined> {
    const asked = options.when ?? fromEnvironment();
    if (asked === "off") return undefined;
    try {
      return asked === "always" ? await always(options) : await onFailure(options);
    } catch (error) {
      if (!(error instanceof Fault) || asked !== undefined) throw error;
      return undefined;
    }
  }

  /** Made by {@linkcode MachineTrace.start}. */
  static of(recorder: TraceRecorder, path: string, making?: string): MachineTrace {
    return new MachineTrace(recorder, path, making);
  }

  /** A step failed: it is kept. */
  fail(): void {
    this.#isKept = true;
  }

  /** The VM did not start: there is nothing to see. */
  forget(): void {
    this.#isKept = this.#making === undefined;
  }

  /** Ends it. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isKept) await this.recorder.discard();
    else await this.recorder[Symbol.asyncDispose]();
    if (this.#making === undefined) return;
    if (this.#isKept) await moveTo(this.recorder.path, this.path);
    await Deno.remove(this.#making, { recursive: true });
  }
}

async function always(options: MachineTraceOptions): Promise<MachineTrace> {
  const path = pathFor(options);
  await made(() => Deno.mkdir(options.folder, { recursive: true }));
  return MachineTrace.of(await TraceRecorder.start({ ...options, path }), path);
}

async function onFailure(options: MachineTraceOptions): Promise<MachineTrace> {
  const path = pathFor(options);
  const making = await made(() => Deno.makeTempDir({ prefix: "vmsig-trace-" }));
  try {
    const recorder = await TraceRecorder.start({ ...options, ...BOUNDS, path: `${making}/trace.vmsig` });
    return MachineTrace.of(recorder, path, making);
  } catch (error) {
    await Deno.remove(making, { recursive: true });
    throw error;
  }
}

function pathFor({ folder, name }: MachineTraceOptions): string {
  const plain = name.replace(/[^\w.-]/g, "_").slice(0, 64);
  return `${folder}/${plain}-${Deno.pid}-${++count}.vmsig`;
}

async function made<T>(make: () => Promise<T>): Promise<T> {
  try {
    return await make();
  } catch (error) {
    throw new Fault("refused", `Cannot make a trace: ${messageOf(error)}`, { cause: error });
  }
}

async function moveTo(from: string, to: string): Promise<void> {
  try {
    await Deno.mkdir(to.slice(0, to.lastIndexOf("/")), { recursive: true });
    try {
      await Deno.rename(from, to);
    } catch {
      // The folder for temporary files is on another file system.
      await Deno.copyFile(from, to);
    }
  } catch (error) {
    // The step's own failure counts, and it was told: this is told beside it.
    console.error(`vmsig: the trace cannot be kept in ${printable(to)}: ${printable(messageOf(error))}`);
  }
}

function fromEnvironment(): typeof WHEN[number] | undefined {
  const said = Deno.env.get("VMSIG_TRACE") ?? "";
  if (said === "") return undefined;
  const known = WHEN.find((word) => word === said);
  if (known !== undefined) return known;
  throw new Fault(
    "bad-argument",
    `Cannot trace: VMSIG_TRACE is ${printable(said)}, not one of ${WHEN.join(", ")}`,
  );
}
