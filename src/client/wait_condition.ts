/**
 * The conditions that can be waited for, and their results.
 * @module
 */
import type { EndpointId } from "../base/ids.ts";
import { Fault } from "../base/fault.ts";
import { VM_STATE_NAMES } from "../event/body_number.ts";
import type { Picture, Rectangle } from "../vgpu/picture.ts";

/** A condition: one of these. */
export type WaitCondition =
  /** Text on the screen that matches an expression, in one line or over several (lines end with "\n"). */
  | { readonly text: RegExp }
  /** A picture somewhere on the screen; transparent pixels match anything. */
  | { readonly image: Picture; readonly area?: Rectangle; readonly tolerance?: number }
  /** The screen, or a part of it, has not changed for this many ms. */
  | { readonly stillMs: number; readonly area?: Rectangle }
  /** The screen, or a part of it, changes. */
  | { readonly change: true; readonly area?: Rectangle }
  /** A process of this name runs in the guest. */
  | { readonly process: string }
  /** The VM is in a state, or enters it: "running", "paused", "shutdown", "reset", … */
  | { readonly state: string }
  /**
   * The VM is ready: its seams are up, and its system was found in its memory, or the daemon has said why not
   * (an unknown system, memory that is not shared). While firmware runs or a system is starting, it is not
   * ready.
   */
  | { readonly ready: true };

/** The result: what was found, where, and when. */
export type WaitMatch =
  | {
    readonly what: "text";
    /** The matched text. */
    readonly text: string;
    /** Its line, from 0 at the top. */
    readonly row: number;
    /** Its first column, from 0. */
    readonly column: number;
    readonly frameId: number;
  }
  | {
    readonly what: "image";
    readonly x: number;
    readonly y: number;
    readonly width: number;
    readonly height: number;
    /** 1 = equal in every pixel. */
    readonly score: number;
    readonly frameId: number;
  }
  | { readonly what: "still"; readonly stillMs: number; readonly frameId: number }
  | ({ readonly what: "change"; readonly frameId: number } & Rectangle)
  | { readonly what: "process"; readonly process: string; readonly pid: number; readonly epoch: number }
  | { readonly what: "state"; readonly state: string; readonly detail: string }
  | {
    readonly what: "ready";
    readonly seams: readonly string[];
    /** Whether there is a context of the guest's memory. */
    readonly hasContext: boolean;
  };

/** The result of a wait. */
export type WaitResult = WaitMatch & {
  /** The endpoint's number. */
  readonly endpoint: EndpointId;
  /** Its name. */
  readonly name: string;
  /** How long it took, ms. */
  readonly afterMs: number;
};

/** The longest time of a wait, ms, which is that of a timer. */
export const MAX_WAIT_MS = 2_147_483_647;
/** Size limit of an expression, characters. */
export const MAX_EXPRESSION = 4096;

/** A condition in words: "the text /login:/ of web", "web to be ready". */
export function describeCondition(condition: WaitCondition, name: string): string {
  if ("ready" in condition) return `${name} to be ready`;
  return `${subjectOf(condition)} of ${name}`;
}

function subjectOf(condition: Exclude<WaitCondition, { readonly ready: true }>): string {
  if ("text" in condition) return `the text ${condition.text}`;
  if ("image" in condition) return "the picture";
  if ("stillMs" in condition) return `a screen that does not change for ${condition.stillMs} ms`;
  if ("change" in condition) return "a change of the screen";
  if ("process" in condition) return `the process ${condition.process}`;
  return `the state ${condition.state}`;
}

/**
 * Checks a condition before anything is sent to the daemon.
 *
 * @throws {Fault} `bad-argument`, with the valid values
 */
export function checkCondition(condition: WaitCondition): void {
  const bad = (why: string): Fault => new Fault("bad-argument", `Cannot wait: ${why}`);
  if ("text" in condition && condition.text.source.length > MAX_EXPRESSION) {
    throw bad(`the expression has more than ${MAX_EXPRESSION} characters`);
  }
  if ("stillMs" in condition && !(condition.stillMs >= 1 && condition.stillMs <= MAX_WAIT_MS)) {
    throw bad(`${condition.stillMs} ms are not 1 to ${MAX_WAIT_MS}`);
  }
  if ("state" in condition && !VM_STATE_NAMES.includes(condition.state)) {
    throw bad(`there is no state ${condition.state}; there are: ${VM_STATE_NAMES.join(", ")}`);
  }
  if ("process" in condition && condition.process === "") throw bad("a process has a name");
  const { tolerance = 0, area } = condition as { readonly tolerance?: number; readonly area?: Rectangle };
  if (!(tolerance >= 0 && tolerance <= 255)) throw bad(`the tolerance ${tolerance} is not 0 to 255`);
  if (area === undefined) return;
  const { x, y, width, height } = area;
  const isArea = [x, y, width, height].every((n) => Number.isInteger(n) && n >= 0) && width > 0 && height > 0;
  if (!isArea) throw bad("an area is X,Y,WIDTH,HEIGHT in pixels, with at least one of them");
}
