/**
 * The calls of a model as actions of a trace: which tool, with which arguments, for whom, and what it
 * answered. Long arguments and answers are shortened; a trace keeps what was typed, as it keeps the screen.
 * @module
 */
import { assert } from "../base/assert.ts";
import { NO_ENDPOINT } from "../base/ids.ts";
import { oneLine } from "../base/printable.ts";
import type { TraceRecorder } from "../client/record/trace_recorder.ts";
import type { RosterView } from "../client/roster_view.ts";

/** Characters of one argument, and of all that is told of a call or an answer. */
const MOST_VALUE = 120;
const MOST_TOLD = 600;

/** What a tool answered, as far as a trace tells it. */
export interface CallAnswer {
  /** Whether it failed. */
  readonly isError?: boolean;
  /** What the model was told: texts, and what has another type. */
  readonly content: readonly ({ readonly text: string } | { readonly mimeType: string })[];
}

/** What the calls of one session are noted in. */
export class CallTrace {
  readonly #recorder: TraceRecorder;
  readonly #who: string;

  /**
   * Notes nothing yet.
   *
   * @param who the principal of the session; "" for the server's own user
   */
  constructor(recorder: TraceRecorder, who: string) {
    this.#recorder = recorder;
    this.#who = who;
  }

  /** The same trace, for the session of somebody else. */
  of(who: string): CallTrace {
    return new CallTrace(this.#recorder, who);
  }

  /**
   * A call begins.
   *
   * @param given its arguments, which nobody has checked yet
   * @returns the action's number, for {@linkcode CallTrace.end}
   */
  begin(roster: RosterView, name: string, given: unknown): number {
    const args = typeof given === "object" && given !== null ? given as Record<string, unknown> : {};
    const told = Object.entries(args).filter(([key]) => key !== "vm").map(([key, value]) =>
      ` ${key}=${shortened(value)}`
    );
    const vm = args["vm"];
    const endpoint = typeof vm === "string" ? roster.find(vm) : undefined;
    const who = this.#who === "" ? "" : `${this.#who}: `;
    return this.#recorder.begin(cut(oneLine(`${who}${name}${told.join("")}`)), endpoint ?? NO_ENDPOINT);
  }

  /** It has ended. */
  end(action: number, { content, isError }: CallAnswer): void {
    const parts = content.map((part) => "text" in part ? part.text : `(${part.mimeType})`);
    const said = cut(oneLine(parts.join(" ").replaceAll(/\s+/g, " ")));
    assert(said.length <= MOST_TOLD + 1, "an answer is shortened");
    if (isError === true) this.#recorder.end(action, said === "" ? "failed" : said);
    else this.#recorder.end(action, "", said);
  }
}

/** One argument. */
function shortened(value: unknown): string {
  const text = JSON.stringify(value) ?? "";
  return text.length <= MOST_VALUE ? text : `${text.slice(0, MOST_VALUE)}… (${text.length} characters)`;
}

function cut(text: string): string {
  return text.length <= MOST_TOLD ? text : `${text.slice(0, MOST_TOLD)}…`;
}
