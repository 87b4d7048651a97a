/**
 * An event as one line for a person: time, source, kind, endpoint name and description, in aligned columns.
 * @module
 */
import { KIND } from "../../event/kind.ts";
import { PRIO } from "../../event/priority.ts";
import type { ClientEvent } from "../client_event.ts";
import { eventWords } from "../event_words.ts";
import type { RosterView } from "../roster_view.ts";
import type { Output, Tone } from "./output.ts";
import { line } from "./table.ts";

const WIDTHS = [13, 7, 19, 12];
const TITLES = ["SECONDS", "SOURCE", "KIND", "ENDPOINT", "WHAT"];
/** Prints events. */
export class EventLine {
  readonly #out: Output;
  readonly #roster: RosterView;
  #hasHead = false;

  /**
   * Prints to `out`; nothing before the first event.
   *
   * @param roster gives names to the endpoints' numbers
   */
  constructor(out: Output, roster: RosterView) {
    this.#out = out;
    this.#roster = roster;
  }

  /** Prints one event, and before the first one the heading. */
  print(event: ClientEvent): void {
    if (!this.#hasHead) {
      this.#hasHead = true;
      this.#out.line(line(this.#out, TITLES.map((text) => ({ text, tone: "dim" })), WIDTHS));
    }
    const tone = toneOf(event);
    const row = [
      { text: (event.tsNs / 1e9).toFixed(6), tone: "dim" as Tone },
      event.sourceName,
      { text: event.kindName, tone },
      // An entry that is gone has already been removed from the roster.
      event.as("ROSTER")?.name ?? this.#roster.nameOf(event.endpoint),
      eventWords(event),
    ];
    this.#out.line(line(this.#out, row, WIDTHS));
  }
}

function toneOf(event: ClientEvent): Tone {
  if (event.kind === KIND.ERROR || event.kind === KIND.SEAM_DOWN || event.kind === KIND.OVERRUN) return "bad";
  if (event.kind === KIND.SEAM_UP) return "good";
  return event.prio === PRIO.URGENT ? "warn" : "bold";
}
