/**
 * One VM's screen for everybody who views it: one feed and one encoder, and a seat per viewer, which
 * determines what that viewer's tab may do.
 * @module
 */
import { assert } from "../base/assert.ts";
import type { Client } from "../client/client.ts";
import { ScreenFeed } from "../client/vnc/screen_feed.ts";
import { FRAMES_PER_SECOND } from "../client/vnc/vnc_screen.ts";
import { RfbServer, type Viewer, type ViewerInput, type ViewerSeat } from "../rfb/server/rfb_server.ts";
import type { ViewerTransport } from "../rfb/server/rfb_server.ts";

/** A screen. */
export class SharedScreen implements AsyncDisposable {
  readonly #server: RfbServer;
  readonly #feed: ScreenFeed;
  readonly #seats = new Map<string, ViewerSeat>();
  #trouble = "";

  /**
   * Idle until somebody views it.
   *
   * @param client receives CORE and FRAME, and reconnects
   * @param vm the VM's name
   * @param onTrouble called with the reason why there are no frames; "" when there are some again
   */
  constructor(client: Client, vm: string, onTrouble: (why: string) => void) {
    const seatOf = (viewer: Viewer) => this.#seats.get(viewer.label);
    this.#server = new RfbServer({
      name: vm,
      seat: {
        onEnter: (viewer) => seatOf(viewer)?.onEnter(viewer),
        onKey: (viewer, ...key) => seatOf(viewer)?.onKey(viewer, ...key),
        onPointer: (viewer, ...pointer) => seatOf(viewer)?.onPointer(viewer, ...pointer),
        onLeave: (viewer) => seatOf(viewer)?.onLeave(viewer),
      },
      onDemand: (isWanted) => this.#feed.want(isWanted),
      onEnded: (viewer) => this.#seats.delete(viewer.label),
    });
    this.#feed = new ScreenFeed({
      client,
      ref: vm,
      head: 0,
      perSecond: FRAMES_PER_SECOND,
      onPointer: (news) => this.#server.pointer(news),
      taker: { onFrame: (frame, part) => this.#server.frame(frame, part) },
      onTrouble: (why) => {
        this.#trouble = why;
        onTrouble(why);
      },
    });
  }

  /** Whether there is no room for another viewer. */
  get isFull(): boolean {
    return this.#server.isFull;
  }

  /** Why there are no frames; "" when there are some. */
  get trouble(): string {
    return this.#trouble;
  }

  /** The size of the picture. */
  get size(): { readonly width: number; readonly height: number } {
    return this.#server.picture;
  }

  /** Adds a viewer. @param label shown to nobody else */
  accept(transport: ViewerTransport, label: string, seat: ViewerSeat): ViewerInput {
    assert(!this.#seats.has(label), "each viewer has a label of its own");
    this.#seats.set(label, seat);
    return this.#server.accept(transport, label);
  }

  /** Disconnects all viewers. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#server[Symbol.dispose]();
    await this.#feed.close();
  }
}
