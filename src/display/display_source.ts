/**
 * The port of a display source, which obtains the picture of one head of a VM and draws it on a canvas. A
 * state machine without promises, on a thread that waits in epoll: it is called when its descriptor is ready
 * or its time has come, and says when it wants to be called next.
 *
 * It works only on demand: with a rate of 0 it requests nothing from the VM and costs nothing. Data from the
 * other side is hostile: it may end the source (`onLost`), never the thread.
 * @module
 */
import type { Code } from "../base/codes.ts";
import type { FrameSourceName } from "../event/body_number.ts";
import type { ScreenText } from "./text/screen_text.ts";

/** The ways to read a display; the values of `display` in an endpoint's config, without "auto" and "none". */
export type DisplayKind = FrameSourceName;

/** The listener of a source. */
export interface DisplayListener {
  /**
   * It cannot continue: the other side has ended, or violated its protocol. Called once; the owner disposes
   * of the source.
   *
   * @param code why, one of the protocol's codes
   * @param why the reason for the log; text from outside is already escaped
   */
  onLost(code: Code, why: string): void;
  /**
   * The picture requested by {@linkcode DisplaySource.once} is on the canvas and committed, or is known to
   * equal what the canvas shows already.
   */
  onPicture(): void;
}

/** The source of one head. */
export interface DisplaySource extends Disposable {
  /** Its kind. */
  readonly kind: DisplayKind;
  /** A descriptor to wait on, -1 for none; borrowed. It may change after each call. */
  readonly fd: number;
  /** epoll's bits that it waits for on {@linkcode fd}. */
  readonly events: number;
  /** When {@linkcode step} is to be called, CLOCK_MONOTONIC; NEVER if only its descriptor matters. */
  readonly nextNs: number;
  /** Its descriptor is ready, or its time has come: continues as far as possible without waiting. */
  step(nowNs: number): void;
  /**
   * Sets the maximum number of pictures per second: 0 = none. Takes effect at once.
   *
   * @param perSecond 0 to 240
   */
  demand(perSecond: number): void;
  /**
   * The text on the screen, if the source knows it without a picture: a VGA in text mode. Undefined if not.
   * Omitted: it never does.
   */
  readText?(): ScreenText | undefined;
  /** Requests one current picture whatever the rate: answered by one `onPicture`. */
  once(): void;
}
