/**
 * One head of a VM as an RFB server for viewers: the bus's frames to them ({@linkcode ScreenFeed}), their
 * keys to the bus under the input lease ({@linkcode InputSeat}). It works while there are viewers.
 *
 * ```ts ignore
 * await using screen = new VncScreen({ client, ref: "web", takeBy: "key" });
 * const viewer = screen.server.accept(transport, "somebody"); // see src/rfb/server/rfb_server.ts
 * ```
 * @module
 */
import { RfbServer, type RfbServerOptions, type Viewer } from "../../rfb/server/rfb_server.ts";
import type { Client } from "../client.ts";
import type { EndpointRef } from "../roster_view.ts";
import { InputSeat, type TakeBy } from "./input_seat.ts";
import { ScreenFeed } from "./screen_feed.ts";

/** How it is made. */
export interface VncScreenOptions extends Pick<RfbServerOptions, "password" | "mostViewers" | "onEnded"> {
  /**
   * The control that it is on the bus: with the sources CORE and FRAME in its subscription. With one that
   * reconnects it survives a restart of the daemon.
   */
  readonly client: Client;
  /** The VM. */
  readonly ref: EndpointRef;
  /** What viewers show as their title: the VM's name unless told. */
  readonly name?: string;
  /** The head; 0 unless told. */
  readonly head?: number;
  /** Frames per second at most; {@linkcode FRAMES_PER_SECOND} unless told. */
  readonly perSecond?: number;
  /** What makes a viewer take keyboard and mouse; "key" unless told. */
  readonly takeBy?: TakeBy;
  /** After how long they are given back, ms; {@linkcode IDLE_MS} unless told. */
  readonly idleMs?: number;
  /** Told who has keyboard and mouse now, and why no longer. */
  readonly onSeat?: (owner: Viewer | undefined, why: string) => void;
  /** Told why there are no frames; "" when there are again. */
  readonly onTrouble?: (why: string) => void;
}

/** As QEMU's VNC server. */
export const FRAMES_PER_SECOND = 30;
/** A person who has done nothing for a minute counts as absent. */
export const IDLE_MS = 60_000;

/** A screen. */
export class VncScreen implements AsyncDisposable {
  /** Takes viewers in. */
  readonly server: RfbServer;
  /** Who has keyboard and mouse. */
  readonly seat: InputSeat;
  readonly #feed: ScreenFeed;

  /** One without viewers. */
  constructor(options: VncScreenOptions) {
    const { client, ref, head = 0, perSecond = FRAMES_PER_SECOND, takeBy = "key", idleMs = IDLE_MS } =
      options;
    const { name = String(ref), password, mostViewers, onEnded, onSeat, onTrouble } = options;
    this.seat = new InputSeat({
      client,
      ref,
      takeBy,
      idleMs,
      size: () => this.server.picture,
      ...(onSeat === undefined ? {} : { onChange: onSeat }),
    });
    this.server = new RfbServer({
      name,
      seat: this.seat,
      onDemand: (isWanted) => this.#feed.want(isWanted),
      ...(password === undefined ? {} : { password }),
      ...(mostViewers === undefined ? {} : { mostViewers }),
      ...(onEnded === undefined ? {} : { onEnded }),
    });
    this.#feed = new ScreenFeed({
      client,
      ref,
      head,
      perSecond,
      onPointer: (news) => this.server.pointer(news),
      taker: { onFrame: (frame, part) => this.server.frame(frame, part) },
      onTrouble: (why) => onTrouble?.(why),
    });
  }

  /** Sends all viewers away, and gives back what was taken. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.server[Symbol.dispose]();
    await this.seat[Symbol.asyncDispose]();
    await this.#feed.close();
  }
}
