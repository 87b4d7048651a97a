/**
 * A display source that is a VNC client: RFB 3.8 over a descriptor that QEMU was given (add_client), a unix
 * socket or TCP. Pixels are asked for in the canvas's own format, so that a raw rectangle is only moved; it
 * has no picture of its own.
 *
 * It asks for what has changed, no more often than is wanted, and only when its last request was answered: a
 * request that stands at the server costs neither side anything until something changes.
 *
 * QEMU looks for changes every 30 ms at first, and ever more rarely, to 3 s, while it finds none; only input
 * puts it back to 30 ms. So that a picture does not come seconds late, a QEMU gets a key-up of no key when a
 * picture is wanted, and every half second while it is watched and silent: it drops the release of a key that
 * is not down (qkbd_state_key_event), and looks again.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { MS, NEVER, SECOND } from "../../base/clock.ts";
import { CODE, type Code } from "../../base/codes.ts";
import { Fault } from "../../base/fault.ts";
import type { ServerInit } from "../../rfb/client_handshake.ts";
import {
  type Area,
  extendedKeyEvent,
  setEncodings,
  setPixelFormat,
  updateRequest,
} from "../../rfb/client_messages.ts";
import { BGRX } from "../../rfb/pixel_format.ts";
import { ENCODING } from "../../rfb/protocol.ts";
import type { RfbCursor, UpdateSink } from "../../rfb/update_sink.ts";
import { UpdateStream } from "../../rfb/update_stream.ts";
import type { Canvas } from "../canvas.ts";
import type { DisplayKind, DisplayListener, DisplaySource } from "../display_source.ts";
import { faultCode } from "../fault_code.ts";
import { type Request, UpdateRequests } from "./update_requests.ts";
import { placeOf, type VncAddress } from "./vnc_address.ts";
import type { VncListener } from "./vnc_listener.ts";
import { VncPointer } from "./vnc_pointer.ts";
import { VncWire } from "./vnc_wire.ts";

/** How a {@linkcode VncSource} is made. */
export interface VncSourceOptions {
  /** The server; a descriptor is taken over, and closed also when this fails. */
  readonly address: VncAddress;
  /** For servers that ask for a password; QEMU's add_client with skipauth does not. */
  readonly password?: string;
  /** What it paints on. */
  readonly canvas: Canvas;
  /** Whom it tells. */
  readonly listener: DisplayListener;
  /** Told what a server says beside the picture. */
  readonly vnc?: VncListener;
  /** Now, CLOCK_MONOTONIC. */
  readonly nowNs: number;
}

/** How long a server may take for the handshake. */
const VNC_TIMEOUT_NS: number = 10 * SECOND;
/** How long it may be silent when it has to answer: a VM on a host that is overloaded takes its time. */
const VNC_SILENCE_NS: number = 30 * SECOND;
/**
 * After so much silence a picture that has to come is asked for again, whole: of some 300 changes of the mode
 * QEMU 7.2 loses the request of one on a busy host, and then says nothing more.
 */
const ASK_AGAIN_NS = 2 * SECOND;
/** The same for changes of a watched QEMU: a still picture looks as a request that was lost. */
const ASK_CHANGES_AGAIN_NS = 3 * SECOND;
/**
 * So often a whole picture is asked for again of a QEMU that answers each time, and sends none. QEMU 7.2
 * drops the update that it is at when the mode changes, and may hold it for under way ever after: it tells
 * its size for each request, and paints nothing more on that connection. A new one is painted on at once.
 */
const ASKS_WITHOUT_PICTURE = 5;
/** How long an update that was asked for may take while bytes keep coming. */
const VNC_UPDATE_TIMEOUT_NS: number = 60 * SECOND;
/** How long a watched QEMU is left to find nothing new. */
const WAKE_GAP_NS = 500 * MS;
/**
 * A release of nothing: scan code 0 is not a key. The keysym counts only where QEMU has a keyboard layout of
 * its own (-k), which warns on its standard error of one that it does not know; a Pause that somebody holds
 * is nothing to lose.
 */
const NO_SCAN_CODE = 0;
const PAUSE_KEYSYM = 0xff13;
const ENCODINGS = [
  ENCODING.COPY_RECT,
  ENCODING.RAW,
  ENCODING.DESKTOP_SIZE,
  ENCODING.EXTENDED_DESKTOP_SIZE,
  ENCODING.LAST_RECT,
  ENCODING.CURSOR,
  ENCODING.POINTER_POSITION,
  ENCODING.QEMU_POINTER_MODE,
  ENCODING.QEMU_EXTENDED_KEY,
  ENCODING.QEMU_LEDS,
];

/** A VNC client as a display source. */
export class VncSource implements DisplaySource, UpdateSink {
  readonly kind: DisplayKind = "vnc";
  readonly #options: VncSourceOptions;
  readonly #wire: VncWire;
  readonly #requests = new UpdateRequests();
  #nowNs: number;
  readonly #beganNs: number;
  /** When the last byte came. */
  #heardNs: number;
  /** Since when an update is coming; NEVER between two. */
  #updatingNs = NEVER;
  #isPictureDue = false;
  /** Whether something is painted that nobody asked for: it is shown when its time has come. */
  #isHeld = false;
  /** Requests for a picture as of now. */
  #probes = 0;
  #isQemu = false;
  #wokenNs = -NEVER;
  #againNs = -NEVER;
  /** Requests for a whole picture, one after another, that were answered without a pixel. */
  #answeredInVain = 0;
  readonly #pointer: VncPointer;

  /**
   * Begins to connect. Whatever the server does from here on is told by `onLost`.
   *
   * @throws {Fault} `bad-argument` for what is not an address
   * @throws {OsError} when nobody listens there, or it is not allowed
   */
  constructor(options: VncSourceOptions) {
    this.#options = options;
    this.#pointer = new VncPointer(options.canvas);
    this.#nowNs = this.#beganNs = this.#heardNs = options.nowNs;
    this.#wire = new VncWire({
      address: options.address,
      password: options.password,
      picture: options.canvas,
      begin: (server) => this.#begin(server),
    });
  }

  get fd(): number {
    return this.#wire.fd;
  }

  get events(): number {
    return this.#wire.events;
  }

  get nextNs(): number {
    if (this.#wire.isEnded) return NEVER;
    const { stream } = this.#wire;
    if (stream === undefined) return this.#beganNs + VNC_TIMEOUT_NS;
    // What stopped in the middle goes on at once.
    if (stream.isTired) return this.#nowNs;
    const requests = this.#requests;
    let next = Math.min(this.#deadlineNs(), requests.nextNs);
    if (this.#isHeld) next = Math.min(next, requests.showNs);
    next = Math.min(next, this.#askAgainNs());
    return this.#isWakeable() ? Math.min(next, this.#wakeNs()) : next;
  }

  step(nowNs: number): void {
    if (this.#wire.isEnded) return;
    this.#nowNs = nowNs;
    try {
      this.#goOn();
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      this.#lose(faultCode(error), error.message);
    }
    if (!this.#isPictureDue) return;
    this.#isPictureDue = false;
    this.#options.listener.onPicture();
  }

  demand(perSecond: number): void {
    this.#requests.demand(perSecond);
    this.#askAndSend();
  }

  once(): void {
    this.#requests.once();
    this.#askAndSend();
  }

  /** Closes the connection. */
  [Symbol.dispose](): void {
    this.#wire[Symbol.dispose]();
    this.#pointer[Symbol.dispose]();
  }

  /** Asks at once; that the server is gone is told by the next step, which reads it. */
  #askAndSend(): void {
    this.#ask();
    this.#wire.flush();
  }

  #goOn(): void {
    const came = this.#wire.run();
    if (came === undefined) return this.#lostServer();
    if (came > 0) this.#heardNs = this.#nowNs;
    if (!(this.#wire.stream?.isWithinUpdate ?? false)) this.#updatingNs = NEVER;
    else if (this.#updatingNs === NEVER) this.#updatingNs = this.#nowNs;
    this.#showHeld();
    this.#ask();
    if (this.#nowNs >= this.#askAgainNs()) this.#askAgain();
    if (this.#wire.isEnded) return;
    if (this.#isWakeable() && this.#nowNs >= this.#wakeNs()) this.#wake();
    if (!this.#wire.flush()) return this.#lostServer();
    this.#checkTime();
  }

  #begin(server: ServerInit): UpdateStream {
    const { output } = this.#wire;
    output.add(setPixelFormat(BGRX));
    output.add(setEncodings(ENCODINGS));
    this.#options.vnc?.onConnected(server.name);
    return new UpdateStream(this.#options.canvas, this, server.width, server.height, ENCODINGS);
  }

  onUpdate(pixels: boolean, hasProbe: boolean): void {
    if (!pixels) return;
    this.#answeredInVain = 0;
    const { isAsked, isPicture } = this.#requests.answered(hasProbe);
    if (isAsked) this.#show();
    else this.#isHeld = true;
    if (isPicture) this.#isPictureDue = true;
  }

  onSize(): void {
    this.#requests.resized();
    this.#isHeld = false;
  }

  onCursor(cursor: RfbCursor): void {
    this.#pointer.looks(cursor);
  }

  onPointer(x: number, y: number): void {
    this.#pointer.isAt(x, y);
  }

  onPointerMode(absolute: boolean): void {
    this.#options.vnc?.onPointerMode(absolute);
  }

  onExtendedKeys(): void {
    if (this.#isQemu) return;
    this.#isQemu = true;
    this.#options.vnc?.onExtendedKeys();
  }

  onLeds(bits: number): void {
    this.#pointer.leds(bits);
    this.#options.vnc?.onLeds(bits);
  }

  #show(): void {
    this.#isHeld = false;
    this.#options.canvas.commit(this.#nowNs);
  }

  /** What came unasked is shown at the pace that is wanted, and not in the middle of an update. */
  #showHeld(): void {
    if (!this.#isHeld || (this.#wire.stream?.isWithinUpdate ?? true)) return;
    if (this.#nowNs < this.#requests.showNs) return;
    this.#requests.shown(this.#nowNs);
    this.#show();
  }

  #ask(): void {
    const { stream, output } = this.#wire;
    // A server that does not read is not asked more; and the rest of an update answers nothing that is asked
    // in the middle of it.
    if (stream === undefined || stream.isWithinUpdate || !output.isEmpty && this.#requests.isOpen) return;
    const request = stream.width === 0 ? this.#noPicture() : this.#requests.next(this.#nowNs);
    if (request === undefined) return;
    this.#requests.asked(request, this.#nowNs);
    this.#sendRequest(request, stream);
  }

  /** While there is no picture, a server that is asked for changes tells when there is one. */
  #noPicture(): Request | undefined {
    return this.#requests.isOpen || !this.#requests.isWanted ? undefined : "changes";
  }

  #sendRequest(request: Request, stream: UpdateStream): void {
    const { width, height } = stream;
    const { output } = this.#wire;
    output.add(updateRequest(request !== "everything", { x: 0, y: 0, width, height }));
    if (request === "now") {
      const probe = this.#nextProbe(width, height);
      stream.probe(probe.x, probe.y);
      output.add(updateRequest(false, probe));
    } else if (request === "everything") stream.probe(-1, -1);
    if (this.#isQemu) this.#wake();
  }

  /** When a picture that has not come is asked for again; NEVER while nothing has to come. */
  #askAgainNs(): number {
    const { stream, output } = this.#wire;
    const { certainNs, isWatched, isOpen } = this.#requests;
    if (stream === undefined || stream.isWithinUpdate || !output.isEmpty) return NEVER;
    if (certainNs === NEVER) {
      return this.#isQemu && isWatched && isOpen
        ? Math.max(this.#heardNs, this.#againNs) + ASK_CHANGES_AGAIN_NS
        : NEVER;
    }
    return Math.max(certainNs, this.#heardNs, this.#againNs) + ASK_AGAIN_NS;
  }

  /** The same once more, and whatever answers it will do: what was asked before is long past. */
  #askAgain(): void {
    const { stream, output } = this.#wire;
    assert(stream !== undefined, "who is asked again has a picture");
    const isCertain = this.#requests.certainNs !== NEVER;
    if (!isCertain) this.#answeredInVain = 0;
    else if (this.#isQemu && this.#heardNs > this.#againNs) this.#answeredInVain++;
    if (this.#answeredInVain > ASKS_WITHOUT_PICTURE) {
      const place = placeOf(this.#options.address);
      return this.#lose(
        CODE["timed-out"],
        `${place} answers, but sends no more pixels: QEMU has lost an update`,
      );
    }
    this.#againNs = this.#nowNs;
    if (isCertain) stream.probe(-1, -1);
    output.add(updateRequest(!isCertain, { x: 0, y: 0, width: stream.width, height: stream.height }));
    if (this.#isQemu) this.#wake();
  }

  /** Another pixel each time, so that an earlier update seldom has it. */
  #nextProbe(width: number, height: number): Area {
    this.#probes++;
    return { x: this.#probes * 7919 % width, y: this.#probes * 104_729 % height, width: 1, height: 1 };
  }

  /** Has QEMU look for changes soon. */
  #wake(): void {
    this.#wokenNs = this.#nowNs;
    this.#wire.output.add(extendedKeyEvent(false, PAUSE_KEYSYM, NO_SCAN_CODE));
  }

  #isWakeable(): boolean {
    const { isWatched, isOpen } = this.#requests;
    return this.#isQemu && isWatched && isOpen && this.#wire.output.isEmpty;
  }

  #wakeNs(): number {
    return Math.max(this.#wokenNs, this.#heardNs) + WAKE_GAP_NS;
  }

  #deadlineNs(): number {
    // An update that has begun has to end, as one that was asked for has to come.
    const certainNs = Math.min(this.#requests.certainNs, this.#updatingNs);
    if (certainNs === NEVER) return NEVER;
    const silentNs = Math.max(certainNs, this.#heardNs) + VNC_SILENCE_NS;
    return Math.min(silentNs, certainNs + VNC_UPDATE_TIMEOUT_NS);
  }

  #checkTime(): void {
    if (this.#wire.isEnded) return;
    const place = placeOf(this.#options.address);
    if (this.#wire.stream === undefined) {
      if (this.#nowNs < this.#beganNs + VNC_TIMEOUT_NS) return;
      const why = this.#heardNs === this.#beganNs && this.#options.address.kind === "descriptor"
        ? "nothing speaks on the socket, as when QEMU runs without -vnc"
        : "it has not let us in";
      return this.#lose(CODE["timed-out"], `${place} does not answer: ${why} for 10 s`);
    }
    if (this.#nowNs < this.#deadlineNs()) return;
    this.#lose(CODE["timed-out"], `${place} does not answer: the requested picture did not arrive`);
  }

  #lostServer(): void {
    // QEMU says no word to whom it does not let in, nor to whom it ends for another's sake.
    const why = this.#wire.stream === undefined
      ? "refuses connections: a viewer has exclusive access, or its limit is reached"
      : "closed the connection: it exited, or a viewer took exclusive access";
    this.#lose(CODE["seam-down"], `${placeOf(this.#options.address)} ${why}`);
  }

  #lose(code: Code, why: string): void {
    assert(code !== CODE.ok, "a source is lost for a reason");
    this.#wire.end();
    this.#isPictureDue = false;
    this.#options.listener.onLost(code, why);
  }
}
