/**
 * What the parts of the server know of each other, and who is told of viewers.
 * @module
 */
import type { EncoderGroups } from "./encoder_group.ts";
import type { CursorPicture } from "./server_messages.ts";
import type { SharedPicture } from "./shared_picture.ts";

/** One viewer, as others see it. */
export interface Viewer {
  /** Who it is, for messages: as the transport's owner called it. */
  readonly label: string;
  /** What its title shows behind the screen's name; "" for nothing. Viewers that know no titles show none. */
  note: string;
  /** Rings its bell. */
  bell(): void;
  /** Sends it away. @param why for the log, in words */
  end(why: string): void;
}

/** Keyboard and mouse, as viewers use them. Everything may come from a hostile viewer, at any rate. */
export interface ViewerSeat {
  /** A viewer is in. */
  onEnter(viewer: Viewer): void;
  /**
   * A key.
   *
   * @param keysym X11's number of what it means
   * @param scanCode XT's number of the key, with 0x80 for those behind 0xe0; undefined when it is not told
   */
  onKey(viewer: Viewer, down: boolean, keysym: number, scanCode: number | undefined): void;
  /**
   * The pointer.
   *
   * @param buttons bit 0 left, 1 middle, 2 right, 3 and 4 the wheel up and down, 5 and 6 left and right, 7
   *   back
   * @param x a pixel of the picture, within it
   * @param y see `x`
   */
  onPointer(viewer: Viewer, buttons: number, x: number, y: number): void;
  /** A viewer that was in has gone. */
  onLeave(viewer: Viewer): void;
}

/** The server, as a viewer sees it. */
export interface ViewerHome {
  /** What is shown. */
  readonly picture: SharedPicture;
  /** What writes it. */
  readonly encoders: EncoderGroups;
  /** Whom keys go to. */
  readonly seat: ViewerSeat;
  /** The screen's name. */
  readonly name: string;
  /** What has to be known to get in; undefined: nothing. */
  readonly password: string | undefined;
  /** The cursor's shape, where it is known. */
  readonly cursor: CursorPicture | undefined;
  /** The keyboard's lights, where they are known. */
  readonly leds: number | undefined;
  /** Whether the pointer is absolute. */
  readonly isAbsolute: boolean;
  /** Whether a password may be tried now. */
  mayTry(): boolean;
  /** A viewer was let in. */
  onEntered(): void;
  /** A viewer has ended. @param why in words */
  onEnded(viewer: Viewer, why: string): void;
}
