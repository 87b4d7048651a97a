/**
 * The pictures of `vmsig record --frames`: each head of each endpoint is watched, and of each frame goes into
 * the recording what changed since the one before. What changed is found by comparing and not taken from the
 * damage that FRAME_INFO tells: that counts from a frame which this control may not have taken.
 * @module
 */
import type { EndpointId } from "../../base/ids.ts";
import { Fault } from "../../base/fault.ts";
import { oneLine } from "../../base/printable.ts";
import { FRAME_RING } from "../../event/body_layout.ts";
import { writeText } from "../../event/inline_text.ts";
import { KIND } from "../../event/kind.ts";
import { PRIO } from "../../event/priority.ts";
import { type ByteRect, changedRects, packRects } from "../../event/recorded_picture.ts";
import { encodeRecordedEvent } from "../../event/recording.ts";
import { SOURCE } from "../../event/source.ts";
import { monotonicClock } from "../../../ffi/clock.ts";
import { INLINE_BYTES } from "../../base/limits.ts";
import type { Client } from "../client.ts";
import type { Frame } from "../frame.ts";
import type { RecordingFile } from "./recording_file.ts";

const DEVICE_BYTES = 24;

/** How pictures are kept. */
export interface FrameRecorderOptions {
  /** Whose endpoints. */
  readonly client: Client;
  /** Where they go. */
  readonly file: RecordingFile;
  /** Pictures of one head per second at most. */
  readonly perSecond: number;
  /** Told when the pictures of an endpoint are not (any longer) kept; one line. */
  readonly onLost: (text: string) => void;
  /** Told when the recording cannot be written. */
  readonly onBroken: (error: unknown) => void;
}

/** Keeps pictures until it is disposed of. */
export class FrameRecorder implements AsyncDisposable {
  readonly #options: FrameRecorderOptions;
  readonly #ending = new AbortController();
  readonly #running = new Map<number, Promise<void>>();
  #count = 0;

  /** Watches nothing yet. */
  constructor(options: FrameRecorderOptions) {
    this.#options = options;
  }

  /** Pictures that were kept. */
  get count(): number {
    return this.#count;
  }

  /** Watches an endpoint, unless it does already. */
  watch(endpoint: EndpointId): void {
    if (this.#ending.signal.aborted || this.#running.has(endpoint)) return;
    this.#running.set(endpoint, this.#watchAll(endpoint).finally(() => this.#running.delete(endpoint)));
  }

  /** Ends it; whatever is under way is done then. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort();
    await Promise.all(this.#running.values());
  }

  async #watchAll(endpoint: EndpointId): Promise<void> {
    const { client, onLost, onBroken } = this.#options;
    const name = client.roster.nameOf(endpoint);
    try {
      const { heads } = await client.display(endpoint, { signal: this.#ending.signal });
      // Before QEMU has told of its displays there is one to ask for.
      const numbers = heads.length === 0 ? [0] : heads.map(({ head }) => head);
      await Promise.all(numbers.map((head) => this.#watchHead(endpoint, head)));
    } catch (error) {
      if (this.#ending.signal.aborted) return;
      if (!(error instanceof Fault) || error.code === "refused") return onBroken(error);
      onLost(`no pictures of ${name}: ${oneLine(error.message)}`);
    }
  }

  async #watchHead(endpoint: EndpointId, head: number): Promise<void> {
    const { client, perSecond } = this.#options;
    let before: Frame | undefined;
    for await (const frame of client.frames(endpoint, { head, perSecond, signal: this.#ending.signal })) {
      this.#keep(frame, before);
      before = frame;
    }
  }

  #keep(frame: Frame, before: Frame | undefined): void {
    const { file } = this.#options;
    const whole = (): Uint8Array =>
      encode(frame, [[0, 0, frame.stride, frame.bytes.length / frame.stride]], true);
    if (before === undefined || !isSameShape(before, frame)) file.append(whole());
    else if (this.#begun.get(keyOf(frame)) !== file.begun) file.append(whole());
    else file.append(encode(frame, changedRects(before.bytes, frame.bytes, frame.stride), false), whole);
    // The file that it stands in now, which may have been begun for it.
    this.#begun.set(keyOf(frame), file.begun);
    this.#count++;
  }

  /** By head: the file that its newest picture is in. */
  readonly #begun = new Map<string, number>();
}

function keyOf({ endpoint, head }: Frame): string {
  return `${endpoint}:${head}`;
}

function isSameShape(a: Frame, b: Frame): boolean {
  return a.width === b.width && a.height === b.height && a.stride === b.stride && a.format === b.format &&
    a.bytes.length === b.bytes.length;
}

function encode(frame: Frame, rects: readonly ByteRect[], whole: boolean): Uint8Array {
  const { head, width, height, stride, format, frameId, timestampNs } = frame;
  const inline = new Uint8Array(INLINE_BYTES);
  new DataView(inline.buffer).setUint32(FRAME_RING.at.head, head, true);
  writeText(inline, FRAME_RING.at.device, DEVICE_BYTES, frame.device);
  return encodeRecordedEvent({
    kind: KIND.FRAME_RING,
    source: SOURCE.FRAME,
    prio: PRIO.NORMAL,
    endpoint: frame.endpoint,
    seq: 0,
    corr: 0,
    tsNs: Math.round(monotonicClock.nowNs()),
    inline,
    bodyFormat: 0,
    body: new Uint8Array(0),
    // As of the ring that it was taken out of: a reader that does not know of pictures passes it over for
    // that.
    fds: 1,
    picture: {
      ...{ head, width, height, stride, format, frameId, timestampNs, whole },
      flags: frame.isStopped ? 1 : 0,
      bytes: frame.bytes.length,
      rects: rects.flat(),
      data: packRects(frame.bytes, stride, rects),
    },
  });
}
