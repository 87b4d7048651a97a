/**
 * The methods of `Client` for a VM's screen.
 * @module
 */
import type { Kind } from "../event/kind.ts";
import type { EndpointId } from "../base/ids.ts";
import type { TransferEvent } from "../event/transfer_event.ts";
import type { ClientEvent } from "./client_event.ts";
import type { EventFilter } from "./event_filter.ts";
import type { EventStream } from "./event_stream.ts";
import type { Frame } from "./frame.ts";
import type { ScreenText } from "../display/text/screen_text.ts";
import type { ScreenBook } from "./screen_book.ts";
import type { EndpointRef, RosterView } from "./roster_view.ts";
import {
  type DisplayStatus,
  displayStatus,
  type FrameOptions,
  type FramesOptions,
  readScreenText,
  type ScreenHome,
  takeFrame,
  watchFrames,
} from "./screen_control.ts";
import type { CommandOptions } from "./session.ts";

/** Pictures of VMs. */
export abstract class ScreenMethods implements ScreenHome {
  /** See {@linkcode ScreenHome}. */
  readonly screens: ScreenBook;

  /** Made by `Client`. */
  constructor(screens: ScreenBook) {
    this.screens = screens;
  }

  /** The roster as far as it has arrived. */
  abstract get roster(): RosterView;
  /** An endpoint's number. */
  abstract endpoint(ref: EndpointRef): Promise<EndpointId>;
  /** Opens a stream. */
  abstract events(filter?: EventFilter): EventStream;
  /** Sends a command and awaits its answer. */
  abstract command(
    kind: Kind,
    endpoint: EndpointId,
    what: string,
    fill: (event: TransferEvent) => void,
    options?: CommandOptions,
  ): Promise<ClientEvent>;

  /**
   * One current frame of the VM's screen, from whatever source. Needs the source FRAME in the subscription
   * and the capability FRAME.
   *
   * @example
   * ```ts
   * const frame = await client.frame("web");
   * await Deno.writeFile("web.png", encodePng(frame.picture()));
   * ```
   *
   * @throws {Fault} `not-supported` for a VM without display, `bad-argument` for a head that it does not
   *   have, `seam-down`, `no-capability`, `timed-out`
   */
  async frame(ref: EndpointRef, options: FrameOptions = {}): Promise<Frame> {
    const endpoint = await this.endpoint(ref);
    return await takeFrame(this, endpoint, this.roster.nameOf(endpoint), options);
  }

  /**
   * Frames of the VM's screen as they are made, the current one first. Pictures are made only while such a
   * loop runs.
   *
   * @example
   * ```ts
   * for await (const frame of client.frames("web", { perSecond: 5 })) console.log(frame.frameId);
   * ```
   *
   * @throws {Fault} as {@linkcode Client.frame}
   */
  async *frames(ref: EndpointRef, options: FramesOptions = {}): AsyncGenerator<Frame, void, void> {
    const endpoint = await this.endpoint(ref);
    yield* watchFrames(this, endpoint, this.roster.nameOf(endpoint), options);
  }

  /**
   * The current text on the VM's screen, exactly: of a text mode from video memory, of a console in a picture
   * glyph by glyph, of a Linux guest's console from its RAM.
   *
   * @example
   * ```ts
   * const { lines } = await client.screenText("web");
   * console.log(lines.join("\n"));
   * ```
   *
   * @throws {Fault} as {@linkcode Client.frame}; `not-supported` also when there is no text on the screen
   */
  async screenText(ref: EndpointRef, options: FrameOptions = {}): Promise<ScreenText> {
    const endpoint = await this.endpoint(ref);
    return await readScreenText(this, endpoint, this.roster.nameOf(endpoint), options);
  }

  /** What shows the VM's screen, and why. */
  async display(ref: EndpointRef, options: CommandOptions = {}): Promise<DisplayStatus> {
    const endpoint = await this.endpoint(ref);
    return await displayStatus(this, endpoint, this.roster.nameOf(endpoint), options);
  }
}
