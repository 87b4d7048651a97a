/**
 * What a client can do with a VM's screen: the part of `Client` that is about pictures.
 * @module
 */
import type { TransferEvent } from "../event/transfer_event.ts";
import type { ClientEvent } from "./client_event.ts";
import type { EventFilter } from "./event_filter.ts";
import type { EventStream } from "./event_stream.ts";
import type { Frame } from "./frame.ts";
import type { FrameRings } from "./frame_rings.ts";
import type { FrameWatches } from "./frame_watches.ts";
import type { EndpointRef, RosterView } from "./roster_view.ts";
import {
  type DisplayStatus,
  displayStatus,
  type FrameOptions,
  type FramesOptions,
  type ScreenHome,
  takeFrame,
  watchFrames,
} from "./screen_control.ts";
import type { CommandOptions } from "./session.ts";

/** What it keeps between calls. */
export interface ScreenState {
  /** The frames that were handed over. */
  readonly rings: FrameRings;
  /** What is watched. */
  readonly watches: FrameWatches;
}

/** Pictures of VMs. */
export abstract class ScreenMethods implements ScreenHome {
  /** See {@linkcode ScreenHome}. */
  readonly rings: FrameRings;
  /** See {@linkcode ScreenHome}. */
  readonly watches: FrameWatches;

  /** Made by `Client`. */
  constructor(state: ScreenState) {
    this.rings = state.rings;
    this.watches = state.watches;
  }

  /** The roster as far as it has arrived. */
  abstract get roster(): RosterView;
  /** An endpoint's number. */
  abstract endpoint(ref: EndpointRef): Promise<number>;
  /** Opens a stream. */
  abstract events(filter?: EventFilter): EventStream;
  /** Sends a command and awaits its answer. */
  abstract command(
    kind: number,
    endpoint: number,
    what: string,
    fill: (event: TransferEvent) => void,
    options?: CommandOptions,
  ): Promise<ClientEvent>;

  /**
   * One frame of the VM's screen as of now, whatever shows it. Needs the source FRAME in the subscription and
   * the capability FRAME.
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
   * Frames of the VM's screen as they come, the present one first. Pictures are made only while such a loop
   * runs.
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

  /** What shows the VM's screen, and why that. */
  async display(ref: EndpointRef, options: CommandOptions = {}): Promise<DisplayStatus> {
    const endpoint = await this.endpoint(ref);
    return await displayStatus(this, endpoint, this.roster.nameOf(endpoint), options);
  }
}
