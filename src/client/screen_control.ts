/**
 * A client's requests for a VM's screen: one frame, frames as they are made, what shows it. The daemon makes
 * pictures only while they are requested: leaving a loop ends the request.
 * @module
 */
import type { EndpointId } from "../base/ids.ts";
import { CODE } from "../base/codes.ts";
import { Fault } from "../base/fault.ts";
import { MAX_FRAMES_PER_SECOND, MAX_HEADS } from "../base/limits.ts";
import { decodeBounded, EVENT_CBOR } from "../event/bounded_cbor.ts";
import { FRAME_REQUEST } from "../event/body_layout.ts";
import { FRAME_OP } from "../event/body_number.ts";
import type { ScreenText } from "../display/text/screen_text.ts";
import { KIND } from "../event/kind.ts";
import { SOURCE } from "../event/source.ts";
import type { TransferEvent } from "../event/transfer_event.ts";
import type { ClientPort } from "./client_port.ts";
import type { EventFilter } from "./event_filter.ts";
import type { EventStream } from "./event_stream.ts";
import { Frame } from "./frame.ts";
import { pause } from "./pause.ts";
import type { ScreenBook } from "./screen_book.ts";
import type { CommandOptions } from "./session.ts";

/** Which picture. */
export interface FrameOptions extends CommandOptions {
  /** The head; 0 by default. */
  readonly head?: number;
}

/** Options of a series of frames. */
export interface FramesOptions extends FrameOptions {
  /** Frames per second at most, a whole number from 1 to 240; 10 by default. */
  readonly perSecond?: number;
}

/** What shows one head. */
export interface HeadStatus {
  /** The head. */
  readonly head: number;
  /** The display device's id; "" where it has none. */
  readonly device: string;
  /** "untried": no picture has been requested yet; "shown"; "lost". */
  readonly state: string;
  /** The source of its pictures: "vgpu", "vram", "dbus", "vnc", "screendump"; "" while there is none. */
  readonly source: string;
  /** Why this source, or what happened. */
  readonly why: string;
}

/** What shows a VM's screen. */
export interface DisplayStatus {
  /** The config's value: "auto", or one way to read displays. */
  readonly display: string;
  /** Whether QEMU has reported its displays yet. */
  readonly known: boolean;
  /** The heads. */
  readonly heads: readonly HeadStatus[];
}

/** Time limit of a picture, ms: its source may have to be opened first. */
const FRAME_TIMEOUT_MS = 20_000;
const DEFAULT_RATE = 10;
/** Number of times that a frame is read again when it was replaced while being read. */
const MAX_SAMPLES = 100;
/**
 * The fraction of a period after which a frame is not too early, so that frames at exactly the rate are not
 * delayed.
 */
const PACE = 0.9;

/** What is needed of the client. */
export interface ScreenHome extends Pick<ClientPort, "command"> {
  /** Its state of screens. */
  readonly screens: ScreenBook;
  /** Opens a stream. */
  events(filter: EventFilter): EventStream;
}

/** Fills a CMD_FRAME. @param perSecond of a watch */
export function fillRequest(event: TransferEvent, op: number, head: number, perSecond = 0): void {
  const { at } = FRAME_REQUEST;
  event.words[at.op / 4] = op;
  event.words[at.head / 4] = head;
  event.words[at.perSecond / 4] = perSecond;
}

/**
 * One current frame.
 *
 * @param name the endpoint's, for messages
 * @throws {Fault} `not-supported` for a VM without display, `bad-argument` for a head that it does not have,
 *   `seam-down`, `no-capability`, `timed-out`
 */
export async function takeFrame(
  home: ScreenHome,
  endpoint: EndpointId,
  name: string,
  options: FrameOptions = {},
): Promise<Frame> {
  const { head = 0 } = options;
  const what = `take a picture of ${name}`;
  checkHead(head, what);
  await home.command(KIND.CMD_FRAME, endpoint, what, (event) => fillRequest(event, FRAME_OP.ONCE, head), {
    timeoutMs: FRAME_TIMEOUT_MS,
    ...options,
  });
  for (let i = 0; i < MAX_SAMPLES; i++) {
    const sampled = home.screens.rings.sample(endpoint, head);
    if (sampled !== undefined) return new Frame(endpoint, head, sampled);
    if (!home.screens.rings.has(endpoint, head)) break;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  throw noFrames(what);
}

function checkHead(head: number, what: string): void {
  checkWhole("head", head, { min: 0, max: MAX_HEADS - 1 }, what);
}

function checkWhole(
  name: string,
  value: number,
  { min, max }: { readonly min: number; readonly max: number },
  what: string,
): void {
  if (Number.isInteger(value) && value >= min && value <= max) return;
  throw new Fault(
    "bad-argument",
    `Cannot ${what}: ${name} is ${value}, and must be a whole number from ${min} to ${max}`,
  );
}

function noFrames(what: string): Fault {
  return new Fault(
    "no-capability",
    `Cannot ${what}: it did not come along; subscribe to the source FRAME, and have the capability FRAME granted`,
  );
}

/**
 * The current text on the screen.
 *
 * @param name the endpoint's, for messages
 * @throws {Fault} as {@linkcode takeFrame}; `not-supported` also when there is no text on the screen
 */
export async function readScreenText(
  home: ScreenHome,
  endpoint: EndpointId,
  name: string,
  options: FrameOptions = {},
): Promise<ScreenText> {
  const { head = 0 } = options;
  const what = `read the screen of ${name}`;
  checkHead(head, what);
  await home.command(KIND.CMD_FRAME, endpoint, what, (event) => fillRequest(event, FRAME_OP.TEXT, head), {
    timeoutMs: FRAME_TIMEOUT_MS,
    ...options,
  });
  // It arrives right before the answer.
  const text = home.screens.takeText(endpoint, head);
  if (text === undefined) throw noFrames(what);
  return text;
}

/**
 * Frames as they are made, the current one first; a frame that is replaced before it was taken is skipped.
 * When the VM is paused or resumed, the newest one is repeated with that mark.
 *
 * @param name the endpoint's, for messages
 * @throws {Fault} as {@linkcode takeFrame}; `bad-argument` also when the head's device is removed meanwhile
 */
export async function* watchFrames(
  home: ScreenHome,
  endpoint: EndpointId,
  name: string,
  options: FramesOptions = {},
): AsyncGenerator<Frame, void, void> {
  const { head = 0, perSecond = DEFAULT_RATE, signal } = options;
  const what = `watch the screen of ${name}`;
  checkHead(head, what);
  // The protocol has whole numbers only: a fraction would become 0, which stands for the default.
  checkWhole("perSecond", perSecond, { min: 1, max: MAX_FRAMES_PER_SECOND }, what);
  const watch = (rate: number) =>
    home.command(KIND.CMD_FRAME, endpoint, what, (event) => {
      fillRequest(event, rate === 0 ? FRAME_OP.UNWATCH : FRAME_OP.WATCH, head, rate);
    });
  await using stream = home.events({ kinds: ["FRAME_INFO", "ERROR"], endpoints: [endpoint] });
  const stop = () => stream.end(new Fault("interrupted", `Cannot ${what}: interrupted`));
  signal?.addEventListener("abort", stop, { once: true });
  const rate = home.screens.watches.add(endpoint, head, perSecond);
  try {
    await watch(rate);
    const first = await takeFrame(home, endpoint, name, options);
    let last = first.frameId;
    let wasStopped = first.isStopped;
    let lastMs = performance.now();
    yield first;
    for await (const event of stream) {
      // A new daemon does not know the former watches.
      if (event.kind === KIND.RECONNECTED) await watch(rate);
      const refusal = event.source === SOURCE.FRAME ? event.as("ERROR") : undefined;
      if (refusal?.code === CODE["bad-argument"] && refusal.detail === head) {
        throw new Fault("bad-argument", `Cannot ${what}: ${refusal.text}`);
      }
      const info = event.as("FRAME_INFO");
      if (info === undefined || info.head !== head) continue;
      // Another viewer may have requested a higher rate: this one takes the newest frame of each period.
      const earlyMs = lastMs + PACE * 1000 / perSecond - performance.now();
      if (earlyMs > 0) await pause(earlyMs, signal);
      // With a new source the numbers may start again.
      const sampled = home.screens.rings.sample(endpoint, head);
      if (sampled === undefined) continue;
      const frame = new Frame(endpoint, head, sampled);
      // The same frame is announced again when the VM is paused or resumed.
      if (frame.frameId === last && frame.isStopped === wasStopped) continue;
      last = frame.frameId;
      wasStopped = frame.isStopped;
      lastMs = performance.now();
      yield frame;
    }
  } finally {
    signal?.removeEventListener("abort", stop);
    const left = home.screens.watches.remove(endpoint, head, perSecond);
    // A connection that has ended has no watches.
    await watch(left).catch((error) => {
      if (!(error instanceof Fault)) throw error;
    });
  }
}

/** What shows a VM's screen, and why. */
export async function displayStatus(
  home: ScreenHome,
  endpoint: EndpointId,
  name: string,
  options: CommandOptions = {},
): Promise<DisplayStatus> {
  const what = `ask what shows the screen of ${name}`;
  const answer = await home.command(
    KIND.CMD_FRAME,
    endpoint,
    what,
    (event) => fillRequest(event, FRAME_OP.STATUS, 0),
    options,
  );
  const value = decodeBounded(answer.body, EVENT_CBOR);
  if (typeof value !== "object" || value === null || !Array.isArray((value as DisplayStatus).heads)) {
    throw new Fault("protocol-error", `Cannot ${what}: the daemon's answer is not the one expected`);
  }
  return value as DisplayStatus;
}
