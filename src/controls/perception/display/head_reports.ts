/**
 * What is told to the display adapter about one head: where its pictures come from, and which requests are
 * served.
 * @module
 */
import type { EndpointId } from "../../../base/ids.ts";
import { CODE, type Code } from "../../../base/codes.ts";
import { DISPLAY_OP } from "../../../event/body_number.ts";
import { encodeScreenText, type ScreenText } from "../../../display/text/screen_text.ts";
import type { EventSink } from "../event_sink.ts";
import { failureOf } from "../sources/source_failure.ts";
import type { HeadDemand } from "./head_demand.ts";

/** CMD_DISPLAY served: it is the text that was asked for, and not a picture. */
const OF_TEXT = 1;

/** Tells about one head. */
export class HeadReports {
  readonly #sink: EventSink;
  readonly #endpoint: EndpointId;
  readonly #head: number;
  readonly #demand: HeadDemand;

  /**
   * Nothing is told yet.
   *
   * @param demand the requests that are ended by being told of
   */
  constructor(sink: EventSink, endpoint: EndpointId, head: number, demand: HeadDemand) {
    this.#sink = sink;
    this.#endpoint = endpoint;
    this.#head = head;
    this.#demand = demand;
  }

  /** Its pictures come from there; 0: from nowhere, for this reason. */
  source(source: number, code: Code, words: string): void {
    this.#ask({ op: DISPLAY_OP.SOURCE, source, code, words });
  }

  /** The pictures that were asked for are there. @param frameId the newest one's */
  picture(frameId: number): void {
    const serial = this.#demand.picture.end();
    this.#ask({ op: DISPLAY_OP.SERVED, serial, frameId: frameId >>> 0 });
  }

  /** The pictures that were asked for cannot be had. */
  noPicture(code: Code, words: string): void {
    this.#ask({ op: DISPLAY_OP.SERVED, serial: this.#demand.picture.end(), code, words });
  }

  /** The text that was asked for: it is published, and those who wait are told. */
  text(text: ScreenText): void {
    try {
      this.#sink.publishText(this.#endpoint, this.#head, encodeScreenText(text));
    } catch (error) {
      const { code, why } = failureOf(error);
      return this.noText(why, code);
    }
    this.#ask({ op: DISPLAY_OP.SERVED, serial: this.#demand.text.end(), source: OF_TEXT });
  }

  /** The text that was asked for cannot be had. */
  noText(words: string, code: Code = CODE["not-supported"]): void {
    this.#ask({ op: DISPLAY_OP.SERVED, serial: this.#demand.text.end(), code, words, source: OF_TEXT });
  }

  #ask(
    command: {
      op: number;
      serial?: number;
      code?: Code;
      frameId?: number;
      source?: number;
      words?: string;
    },
  ) {
    this.#sink.ask(this.#endpoint, { ...command, head: this.#head }, ignore);
  }
}

function ignore(): void {}
