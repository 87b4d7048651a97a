/**
 * The port of a display source: whatever knows the picture of one head of a VM and paints it on a canvas. A
 * state machine without promises, on a thread that waits in epoll: it is told the time and when its
 * descriptor is ready, and says when it wants to be told again.
 *
 * It works only on demand: with a rate of 0 it asks nothing of the VM and costs nothing. What comes from the
 * other side is hostile: it ends the source (`onLost`), never the thread.
 * @module
 */
import type { Code } from "../base/codes.ts";
import type { FrameSourceName } from "../event/body_number.ts";
import type { ScreenText } from "./text/screen_text.ts";

/** What a display is read by; the values of `display` in an endpoint's config, without "auto" and "none". */
export type DisplayKind = FrameSourceName;

/** What a source tells beside its picture. */
export interface DisplayListener {
  /**
   * It cannot go on: the other side ended, or broke its protocol. Told once; the source is disposed of by
   * whoever owns it.
   *
   * @param code why, one of the protocol's codes
   * @param why for the log, in words; parts from outside are escaped already
   */
  onLost(code: Code, why: string): void;
  /**
   * The one picture that was asked for by {@linkcode DisplaySource.once} is on the canvas, committed, or is
   * known to be what the canvas shows already.
   */
  onPicture(): void;
}

/** One head's source. */
export interface DisplaySource extends Disposable {
  /** What it is. */
  readonly kind: DisplayKind;
  /** A descriptor to wait on, -1 for none; borrowed. It may change after each call. */
  readonly fd: number;
  /** epoll's bits that it waits for on {@linkcode fd}. */
  readonly events: number;
  /** When it wants {@linkcode step}, CLOCK_MONOTONIC; NEVER when only its descriptor moves it. */
  readonly nextNs: number;
  /** Its descriptor is ready, or its time has come: goes on as far as it can without waiting. */
  step(nowNs: number): void;
  /**
   * How many pictures a second are wanted at most: 0 = none. Takes effect at once.
   *
   * @param perSecond 0 to 240
   */
  demand(perSecond: number): void;
  /**
   * The text on the screen, where the source knows it without a picture: a VGA in text mode. Undefined where
   * it does not. Absent: it never does.
   */
  readText?(): ScreenText | undefined;
  /** One picture as of now, or later, is wanted whatever the rate: answered by `onPicture` once. */
  once(): void;
}
