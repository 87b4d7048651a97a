/**
 * A remote user's pictures: taken here by a client that has the user's rights, and sent on request. Of a
 * watched screen, one picture is sent at a time; when the reader has it, the newest one follows.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { Fault } from "../../base/fault.ts";
import type { EndpointId } from "../../base/ids.ts";
import type { Client } from "../../client/client.ts";
import type { Frame } from "../../client/frame.ts";
import { FRAME_INFO, FRAME_REQUEST } from "../../event/body_layout.ts";
import { FRAME_OP, FRAME_STOPPED } from "../../event/body_number.ts";
import { KIND } from "../../event/kind.ts";
import { PRIO } from "../../event/priority.ts";
import { SOURCE } from "../../event/source.ts";
import { FRAME } from "../../protocol/frame.ts";
import { madeFrame } from "../wire/made_frames.ts";
import { pictureParts } from "../wire/picture_parts.ts";
import { writeU64 } from "../../base/layout.ts";

const DEFAULT_RATE = 10;
/** Time after which a reader that does not confirm a picture gets the next one, ms. */
const SHOWN_MS = 5000;

/** Where pictures are sent. */
export interface PictureOutlet {
  /** Sends a part of a picture. */
  picturePart(part: Uint8Array): void;
  /** Sends an event. */
  event(frame: Uint8Array): void;
}

interface Watch {
  readonly stop: AbortController;
  readonly perSecond: number;
}

/** The pictures of one session. */
export class ScreenService implements AsyncDisposable {
  readonly #open: () => Promise<Client>;
  readonly #outlet: PictureOutlet;
  readonly #watches = new Map<string, Watch>();
  #client: Promise<Client> | undefined;
  #number = 0;
  #shown: PromiseWithResolvers<void> | undefined;
  #isEnded = false;

  /** Starts without a client. @param open makes a client for the user, which receives FRAME */
  constructor(open: () => Promise<Client>, outlet: PictureOutlet) {
    this.#open = open;
    this.#outlet = outlet;
  }

  /** Takes a picture and sends it. @throws {Fault} */
  async once(endpoint: EndpointId, head: number): Promise<void> {
    const client = await this.#theClient();
    this.#send(await client.frame(endpoint, { head }));
  }

  /** Reads the text of a screen and sends it. @throws {Fault} */
  async text(endpoint: EndpointId, head: number): Promise<void> {
    const client = await this.#theClient();
    await using stream = client.events({ kinds: ["SCREEN_TEXT"], endpoints: [endpoint] });
    await client.command(
      KIND.CMD_FRAME,
      endpoint,
      `read the screen of ${client.roster.nameOf(endpoint)}`,
      ({ words }) => {
        words[FRAME_REQUEST.at.op / 4] = FRAME_OP.TEXT;
        words[FRAME_REQUEST.at.head / 4] = head;
      },
    );
    // It is sent before the answer.
    const [event] = stream.drain().slice(-1);
    if (event !== undefined) this.#outlet.event(event.frame);
  }

  /** Sends each change of a screen from now on, at most that many per second; 0: stop. @throws {Fault} */
  async watch(endpoint: EndpointId, head: number, perSecond: number): Promise<void> {
    const key = `${endpoint} ${head}`;
    const before = this.#watches.get(key);
    if (before?.perSecond === perSecond) return;
    before?.stop.abort();
    this.#watches.delete(key);
    if (perSecond === 0) return;
    const client = await this.#theClient();
    assert(!this.#isEnded, "a service that has ended watches nothing");
    const watch = { stop: new AbortController(), perSecond };
    this.#watches.set(key, watch);
    void this.#follow(client, endpoint, head, watch, key);
  }

  /** The reader has the last picture. */
  shown(): void {
    this.#shown?.resolve();
  }

  /** Stops sending. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isEnded = true;
    for (const { stop } of this.#watches.values()) stop.abort();
    this.#watches.clear();
    this.#shown?.resolve();
    if (this.#client === undefined) return;
    try {
      await (await this.#client).close();
    } catch (error) {
      // It never opened, or the daemon is gone.
      if (!(error instanceof Fault)) throw error;
    }
  }

  async #theClient(): Promise<Client> {
    if (this.#isEnded) throw new Fault("shutting-down", "Cannot take a picture: the session is over");
    this.#client ??= this.#open();
    try {
      return await this.#client;
    } catch (error) {
      this.#client = undefined;
      throw error;
    }
  }

  async #follow(
    client: Client,
    endpoint: EndpointId,
    head: number,
    watch: Watch,
    key: string,
  ): Promise<void> {
    const { perSecond, stop: { signal } } = watch;
    try {
      for await (
        const frame of client.frames(endpoint, { head, perSecond: perSecond || DEFAULT_RATE, signal })
      ) {
        this.#shown = Promise.withResolvers();
        this.#send(frame);
        this.#outlet.event(frameInfo(frame));
        const timer = setTimeout(this.#shown.resolve, SHOWN_MS);
        await this.#shown.promise;
        clearTimeout(timer);
        if (signal.aborted) break;
      }
    } catch (error) {
      // The screen is gone, or is no longer watched: the reader's next request reports it.
      if (!(error instanceof Fault)) throw error;
    }
    if (this.#watches.get(key) === watch) this.#watches.delete(key);
  }

  #send(frame: Frame): void {
    if (this.#isEnded) return;
    const { endpoint, head, width, height, stride, format, frameId, timestampNs, isStopped, device } = frame;
    const about = {
      ...{ endpoint, head, width, height, stride, format, frameId, timestampNs, device, source: 0 },
      flags: isStopped ? FRAME_STOPPED : 0,
    };
    for (const part of pictureParts(++this.#number, about, frame.bytes)) this.#outlet.picturePart(part);
  }
}

/** A FRAME_INFO as from the daemon, for a frame whose source and damage were not sent. */
function frameInfo(frame: Frame): Uint8Array<ArrayBuffer> {
  const { endpoint, head, width, height, stride, format, frameId, timestampNs, isStopped } = frame;
  const { at } = FRAME_INFO;
  const made = madeFrame({ kind: KIND.FRAME_INFO, endpoint, prio: PRIO.BULK }, (inline) => {
    writeU64(inline, at.frameId, frameId);
    writeU64(inline, at.timestampNs, timestampNs);
    inline.setUint32(at.width, width, true);
    inline.setUint32(at.height, height, true);
    inline.setUint32(at.stride, stride, true);
    inline.setUint16(at.format, format, true);
    inline.setUint16(at.flags, isStopped ? FRAME_STOPPED : 0, true);
    inline.setUint16(at.head, head, true);
  });
  made[FRAME.source] = SOURCE.FRAME;
  return made;
}
