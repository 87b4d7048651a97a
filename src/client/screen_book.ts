/**
 * A client's state of VMs' screens between calls: the frame rings, the newest texts, and which heads it
 * watches.
 * @module
 */
import type { EndpointId } from "../base/ids.ts";
import { MAX_HEADS } from "../base/limits.ts";
import { decodeScreenText, type ScreenText } from "../display/text/screen_text.ts";
import type { ClientEvent } from "./client_event.ts";
import { FrameRings } from "./frame_rings.ts";
import { FrameWatches } from "./frame_watches.ts";
import { PointerBook } from "./pointer_news.ts";

/** The screens of one client's VMs. */
export class ScreenBook {
  /** The received frames. */
  readonly rings: FrameRings = new FrameRings();
  /** The watched heads. */
  readonly watches: FrameWatches = new FrameWatches();
  /** Cursors, and keyboard lights. */
  readonly pointers: PointerBook = new PointerBook();
  readonly #texts = new Map<string, Uint8Array>();

  /** Processes an event; its descriptors stay with the event. */
  update(event: ClientEvent): void {
    this.rings.update(event);
    this.pointers.update(event);
    const text = event.as("SCREEN_TEXT");
    if (text !== undefined && text.head < MAX_HEADS) {
      this.#texts.set(`${event.endpoint}:${text.head}`, event.body);
    }
  }

  /**
   * Takes out the newest text of a head: it is read once, right after it was requested.
   *
   * @throws {Fault} `protocol-error` for a body that is not valid
   */
  takeText(endpoint: EndpointId, head: number): ScreenText | undefined {
    const key = `${endpoint}:${head}`;
    const body = this.#texts.get(key);
    this.#texts.delete(key);
    return body === undefined ? undefined : decodeScreenText(body);
  }

  /** Drops everything that came from a daemon. */
  clear(): void {
    this.rings.clear();
    this.pointers.clear();
    this.#texts.clear();
  }
}
