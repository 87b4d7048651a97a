/**
 * What a display source is to perception: one row. How it is opened for a head, and why it may not be tried.
 * @module
 */
import type { Code } from "../../../base/codes.ts";
import type { FrameSourceNumber } from "../../../event/body_number.ts";
import type { Canvas } from "../../../display/canvas.ts";
import type { DisplayKind, DisplayListener, DisplaySource } from "../../../display/display_source.ts";
import type { ViewFacts } from "../display/display_facts.ts";
import type { Answer, DisplayCommand } from "../event_sink.ts";

/** Where a source is opened. */
export interface SourceContext {
  /** The head. */
  readonly head: number;
  /** What is known of the endpoint's displays. */
  readonly facts: ViewFacts;
  /** What it paints on. */
  readonly canvas: Canvas;
  /** Told by it. */
  readonly listener: DisplayListener;
  /** Asks the display adapter for what only the monitor can do. */
  readonly ask: (command: Omit<DisplayCommand, "head">, then: (answer: Answer) => void) => void;
  /** Its pictures come from something else than its row's name says, from now on. */
  readonly paintsAs: (source: FrameSourceNumber) => void;
  /** To be called when something outside of `step` has changed when the source wants to be stepped. */
  readonly onChanged: () => void;
}

/** What opening came to. */
export type Opened =
  | { readonly ok: true; readonly source: DisplaySource }
  | {
    readonly ok: false;
    /** One of the protocol's codes; `busy`: it may be had in a while, and is tried again then. */
    readonly code: Code;
    /** In words, escaped. */
    readonly why: string;
  };

/** One display source. */
export interface SourceRow {
  /** What the config and FRAME_INFO call it. */
  readonly kind: Exclude<DisplayKind, "vgpu">;
  /** FRAME_INFO.source. */
  readonly number: FrameSourceNumber;
  /**
   * Whether being connected costs the VM something even when nothing is asked: it is closed a while after the
   * last picture was wanted.
   */
  readonly costsIdle: boolean;
  /** Whether `auto` may choose it; false for what could be taken away from somebody else. */
  readonly isAutomatic: boolean;
  /** Why it is not tried on this head; "" when it is. */
  unfit(facts: ViewFacts, head: number): string;
  /**
   * Opens it.
   *
   * @param opened told once, maybe before this returns
   */
  open(context: SourceContext, opened: (result: Opened) => void): void;
}
