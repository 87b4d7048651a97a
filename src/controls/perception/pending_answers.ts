/**
 * What perception has asked of display adapters and was not answered yet. A refusal's words come as ERRORs in
 * front of it, which name the command in their detail.
 * @module
 */
import { CODE, type Code } from "../../base/codes.ts";
import type { EndpointId } from "../../base/ids.ts";
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { assert } from "../../base/assert.ts";
import { printable } from "../../base/printable.ts";
import { ACT_ACK, ERROR } from "../../event/body_layout.ts";
import { readText } from "../../event/inline_text.ts";
import { KIND } from "../../event/kind.ts";
import type { TransferEvent } from "../../event/transfer_event.ts";
import type { Answer } from "./event_sink.ts";

interface Pending {
  readonly endpoint: EndpointId;
  readonly then: (answer: Answer) => void;
  words: string;
}

const NOTHING = new Uint8Array(0);
const ERROR_TEXT_BYTES = 40;

/** Questions that wait for their answers. */
export class PendingAnswers {
  readonly #pending = new Map<number, Pending>();
  #lastCorr = 0;

  /** Notes a question; its number on the wire. */
  add(endpoint: EndpointId, then: (answer: Answer) => void): number {
    do this.#lastCorr = (this.#lastCorr + 1) >>> 0 || 1; while (this.#pending.has(this.#lastCorr));
    this.#pending.set(this.#lastCorr, { endpoint, then, words: "" });
    return this.#lastCorr;
  }

  /**
   * Takes an ACT_ACK or a DISPLAY.
   *
   * @param fds its descriptors; owned from now on
   */
  take(event: TransferEvent, fds: readonly OwnedFd[]): void {
    const pending = this.#pending.get(event.corr);
    if (pending === undefined || pending.endpoint !== event.endpoint) {
      for (const fd of fds) fd.close();
      return;
    }
    this.#pending.delete(event.corr);
    assert(event.kind === KIND.ACT_ACK || event.kind === KIND.DISPLAY, "an answer is one of two kinds");
    const code = event.kind === KIND.ACT_ACK ? event.view.getUint32(ACT_ACK.at.code, true) as Code : CODE.ok;
    pending.then({ code, words: pending.words, body: event.bodyBytes > 0 ? event.bodyView() : NOTHING, fds });
  }

  /** Takes an ERROR that may be the words of a refusal. */
  takeWords(event: TransferEvent): void {
    const pending = this.#pending.get(event.view.getUint32(ERROR.at.detail, true));
    if (pending === undefined || pending.endpoint !== event.endpoint) return;
    pending.words = printable(pending.words + readText(event.inline, ERROR.at.text, ERROR_TEXT_BYTES));
  }

  /** Forgets all: nobody answers any more. */
  clear(): void {
    this.#pending.clear();
  }

  /** Forgets an endpoint's. */
  forget(endpoint: EndpointId): void {
    for (const [corr, pending] of this.#pending) {
      if (pending.endpoint === endpoint) this.#pending.delete(corr);
    }
  }
}
