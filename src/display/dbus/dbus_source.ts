/**
 * A display source over QEMU's D-Bus display, peer to peer (`-display dbus,p2p=on` and add_client with
 * protocol @dbus-display). While pictures are wanted, a listener is registered, to which QEMU sends them;
 * otherwise QEMU does nothing for us.
 *
 * A listener receives the whole picture when it is registered (Scanout), and then changes (Update), or the
 * whole picture again. When QEMU's VGA enters a text mode there is no Scanout, but only Updates of a picture
 * of another size, which the console's properties report, sometimes later. So if an Update does not fit the
 * picture, or the console has another size, the listener is registered again. An Update that arrives just
 * before the size is known, and happens to fit the old picture, is visible on it for a few ms.
 *
 * Rates: QEMU sends changes at most every 30 ms, whether they are read or not. So everything is drawn as it
 * arrives, and shown at the requested rate.
 * @module
 */
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { IN, Poller } from "../../../ffi/poller.ts";
import { setSendBufferBytes, SOCKET, socketPair } from "../../../ffi/unix_socket.ts";
import { assert } from "../../base/assert.ts";
import { MS, NEVER, SECOND } from "../../base/clock.ts";
import { CODE, type Code } from "../../base/codes.ts";
import { Fault } from "../../base/fault.ts";
import { PICTURE_SOCKET_BYTES } from "../../base/limits.ts";
import type { DBusPeer } from "./dbus_peer.ts";
import { checkPictureSize } from "../../rfb/picture_rule.ts";
import type { Canvas, CursorPicture, CursorShape } from "../canvas.ts";
import type { DisplayKind, DisplayListener, DisplaySource } from "../display_source.ts";
import { faultCode } from "../fault_code.ts";
import { ConsoleClient, type ConsoleOwner } from "./console_client.ts";
import { ListenerService, type ServiceOwner } from "./listener_service.ts";
import { OnePicture } from "./one_picture.ts";
import type { PictureHead } from "./picture_sink.ts";

/** The options of a {@linkcode DBusSource}. */
export interface DBusSourceOptions {
  /** A stream whose other end QEMU was given by add_client; owned from now on. */
  readonly socket: OwnedFd;
  /** Our own uid, which the kernel reports to QEMU. */
  readonly uid: number;
  /** The index of the graphic console; 0 by default. */
  readonly head?: number;
  /** What it paints on. */
  readonly canvas: Canvas;
  /** Whom it tells. */
  readonly listener: DisplayListener;
  /** Now, CLOCK_MONOTONIC. */
  readonly nowNs: number;
}

/** Time limit of an answer, and of the first picture, ns. */
const DBUS_TIMEOUT_NS: number = 10 * SECOND;
/** Time limit for a picture of the size that the console reports, ns. */
const SIZE_NEWS_NS = 50 * MS;
/** Time for QEMU to notice that a listener is gone, before it gets another, ns. */
const RESTART_GAP_NS = 20 * MS;
/** Number of times that a listener is registered again when QEMU drops it. */
const MAX_DROPS = 100;
const MAIN = 1;
const LISTENER = 2;

/** A listener of QEMU's D-Bus display as a display source. */
export class DBusSource implements DisplaySource, ConsoleOwner, ServiceOwner {
  readonly kind: DisplayKind = "dbus";
  readonly canvas: Canvas;
  readonly #listener: DisplayListener;
  readonly #uid: number;
  readonly #poller = new Poller(4);
  readonly #client: ConsoleClient;
  #service: ListenerService | undefined;
  readonly #once = new OnePicture();
  #nowNs: number;
  /** When QEMU last sent something, or was asked something while no answer was pending. */
  #heardNs: number;
  #gapNs = NEVER;
  #showNs = -NEVER;
  /** Whether the canvas has the whole picture from the registered listener. */
  #isWhole = false;
  /** Whether something was drawn and not shown. */
  #isChanged = false;
  /** Since when the console's size has differed from the picture's; NEVER if it does not. */
  #sizeNewsNs = NEVER;
  /** Whether the console reported that after the picture. */
  #isConsoleNews = false;
  #registeredNs = -NEVER;
  #unregisteredNs = -NEVER;
  /** Number of listeners that QEMU dropped in quick succession. */
  #drops = 0;
  /** Whether the listener must be registered again. */
  #isStale = false;
  /** What the poller waits for, by its tags. */
  readonly #watched = new Map<number, number>();
  #state: "running" | "ended" = "running";
  #mouse: { readonly x: number; readonly y: number; readonly isOn: boolean } | undefined;
  #shape: CursorShape | undefined;

  /** Starts authentication; later errors are reported by `onLost`. */
  constructor(options: DBusSourceOptions) {
    this.canvas = options.canvas;
    this.#listener = options.listener;
    this.#uid = options.uid;
    this.#nowNs = this.#heardNs = options.nowNs;
    this.#client = new ConsoleClient(this, options.socket, options.uid, options.head ?? 0);
    this.#watch();
  }

  get fd(): number {
    return this.#client.peer.fd < 0 ? -1 : this.#poller.fd;
  }

  get events(): number {
    return this.#state === "ended" ? 0 : IN;
  }

  get nextNs(): number {
    if (this.#state === "ended") return NEVER;
    return Math.min(
      this.#deadlineNs(),
      this.#once.nextNs,
      this.#isChanged && this.#isWatched() ? this.#showNs : NEVER,
      this.#restartNs(),
      this.#isWanted() ? this.#registerNs() : NEVER,
    );
  }

  step(nowNs: number): void {
    if (this.#state === "ended") return;
    this.#nowNs = nowNs;
    this.#guarded(() => {
      this.#run();
      this.#goOn();
    });
    if (this.#isRunning()) this.#watch();
  }

  demand(perSecond: number): void {
    assert(perSecond >= 0 && perSecond <= 240, "a rate of pictures is 0 to 240 a second");
    this.#gapNs = perSecond === 0 ? NEVER : SECOND / perSecond;
    this.#showNs = -NEVER;
    this.#begin();
  }

  once(): void {
    this.#once.want();
    this.#begin();
  }

  /** Closes both connections, which ends QEMU's work for us. */
  [Symbol.dispose](): void {
    if (this.#client.peer.fd < 0) return;
    this.#state = "ended";
    this.#unregister();
    this.#poller.remove(this.#client.peer.fd);
    this.#client[Symbol.dispose]();
    this.#poller[Symbol.dispose]();
    this.canvas.cursorPicture(undefined);
    this.canvas.leds(undefined);
  }

  onConsole(): void {}

  onSize(width: number, height: number): void {
    this.#isConsoleNews = this.#isWhole && (width !== this.canvas.width || height !== this.canvas.height);
    this.#sizeNewsNs = this.#isConsoleNews ? this.#nowNs : NEVER;
  }

  onRegistered(isTaken: boolean): void {
    if (!isTaken) this.#dropped();
  }

  onAnswered(): void {
    this.#once.answered(this.#nowNs);
  }

  begins({ kind, x, y, width, height }: PictureHead): boolean {
    const { canvas } = this;
    if (kind === "update") {
      const fits = x + width <= canvas.width && y + height <= canvas.height;
      if (!this.#isWhole || !fits || this.#isConsoleNews) this.#isStale = true;
      if (!this.#isStale) canvas.repaint(x, y, width, height);
      return !this.#isStale;
    }
    if (width === 0 || height === 0) return false;
    checkPictureSize(width, height);
    if (width !== canvas.width || height !== canvas.height) canvas.resize(width, height);
    canvas.repaint(0, 0, width, height);
    return true;
  }

  ends({ kind, x, y, width, height }: PictureHead, isPainted: boolean): void {
    if (!isPainted) return;
    this.canvas.damage(x, y, width, height);
    this.#isChanged = true;
    if (kind === "update") return;
    this.#isWhole = true;
    this.#isStale = false;
    if (width === this.#client.width && height === this.#client.height) this.#noSizeNews();
    else if (this.#sizeNewsNs === NEVER) this.#sizeNewsNs = this.#nowNs;
  }

  disabled(): void {
    // The last picture stays; the next one is a Scanout.
  }

  missed(): void {
    this.#isStale = true;
  }

  mouse(x: number, y: number, isOn: boolean): void {
    this.#mouse = { x, y, isOn };
    this.canvas.cursor(x, y, isOn, this.#shape);
  }

  onLeds(bits: number): void {
    this.canvas.leds(bits);
  }

  cursor(shape: CursorShape | undefined, picture: CursorPicture | undefined): void {
    this.#shape = shape;
    this.canvas.cursorPicture(picture);
    if (this.#mouse !== undefined) this.mouse(this.#mouse.x, this.#mouse.y, this.#mouse.isOn);
  }

  #noSizeNews(): void {
    this.#sizeNewsNs = NEVER;
    this.#isConsoleNews = false;
  }

  /**
   * QEMU has refused the listener or dropped it: QEMU 7.2 does so when it notices only now that the previous
   * one is gone (both are "p2p" to it).
   */
  #dropped(): void {
    if (this.#isStale) return;
    if (this.#nowNs - this.#registeredNs > SECOND) this.#drops = 0;
    if (++this.#drops > MAX_DROPS) {
      throw new Fault(
        "busy",
        "Cannot listen to QEMU's D-Bus display: it drops every listener for this console",
      );
    }
    this.#isStale = true;
  }

  #isRunning(): boolean {
    return this.#state === "running";
  }

  #isWatched(): boolean {
    return this.#gapNs !== NEVER;
  }

  #isWanted(): boolean {
    return this.#isWatched() || this.#once.isWanted;
  }

  /** The demand has changed: registers or unregisters at once. */
  #begin(): void {
    if (!this.#isRunning()) return;
    this.#guarded(() => this.#goOn());
    if (this.#isRunning()) this.#watch();
  }

  #guarded(run: () => void): void {
    try {
      run();
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      this.#lose(faultCode(error), error.message);
    }
  }

  #run(): void {
    const main = this.#client.peer.run();
    if (main === undefined) {
      return this.#lose(
        CODE["seam-down"],
        "QEMU closed the D-Bus display: it ended, or another client was added",
      );
    }
    const came = this.#service === undefined ? 0 : this.#service.peer.run();
    if (came === undefined) this.#dropped();
    if (main > 0 || (came ?? 0) > 0) this.#heardNs = this.#nowNs;
  }

  #goOn(): void {
    if (!this.#isRunning()) return;
    if (this.#restartNs() <= this.#nowNs) this.#unregister();
    if (!this.#isWanted()) this.#unregister();
    else if (this.#registerNs() <= this.#nowNs) this.#register();
    const next = this.#once.next(this.#isWhole, this.#nowNs);
    if (next === "ask") this.#ask();
    this.#show(next === "show");
    if (this.#nowNs >= this.#deadlineNs()) {
      this.#lose(CODE["timed-out"], "QEMU does not answer on its D-Bus display for 10 s");
    } else if (next === "show") this.#listener.onPicture();
  }

  #ask(): void {
    if (!this.#isOwed()) this.#heardNs = this.#nowNs;
    this.#client.ask();
  }

  #show(isNow: boolean): void {
    if (!this.#isChanged || !(isNow || this.#isWatched() && this.#nowNs >= this.#showNs)) return;
    this.#isChanged = false;
    this.#showNs = this.#nowNs + (this.#isWatched() ? this.#gapNs : 0);
    this.canvas.commit(this.#nowNs);
  }

  /** Deadline of the registered listener; NEVER if it works. */
  #restartNs(): number {
    if (this.#service === undefined) return NEVER;
    return this.#isStale ? -NEVER : this.#sizeNewsNs + SIZE_NEWS_NS;
  }

  /** When to register one; NEVER while one is registered, or before the console is known. */
  #registerNs(): number {
    const isLacking = this.#service === undefined && this.#client.isFound;
    return isLacking ? this.#unregisteredNs + RESTART_GAP_NS : NEVER;
  }

  #register(): void {
    if (!this.#isOwed()) this.#heardNs = this.#nowNs;
    const [ours, theirs] = socketPair(SOCKET.STREAM);
    setSendBufferBytes(theirs.fd, PICTURE_SOCKET_BYTES);
    this.#service = new ListenerService(this, ours, this.#uid);
    // QEMU's main loop waits for this while it accepts the listener.
    this.#service.peer.flush();
    this.#registeredNs = this.#nowNs;
    this.#client.register(theirs);
  }

  #unregister(): void {
    const service = this.#service;
    if (service === undefined) return;
    if (this.#watched.delete(LISTENER)) this.#poller.remove(service.peer.fd);
    service[Symbol.dispose]();
    this.#service = undefined;
    this.#unregisteredNs = this.#nowNs;
    this.#isWhole = this.#isStale = false;
    this.#noSizeNews();
    this.#once.restart();
  }

  /** Registers both connections' events with the poller. */
  #watch(): void {
    this.#watchOne(this.#client.peer, MAIN);
    if (this.#service !== undefined) this.#watchOne(this.#service.peer, LISTENER);
  }

  #watchOne({ fd, events }: DBusPeer, tag: number): void {
    const before = this.#watched.get(tag);
    if (before === events) return;
    if (before === undefined) this.#poller.add(fd, events, tag);
    else this.#poller.modify(fd, events, tag);
    this.#watched.set(tag, events);
  }

  /** Whether an answer or a picture from QEMU is pending. */
  #isOwed(): boolean {
    return this.#client.isWaiting || this.#service !== undefined && !this.#isWhole;
  }

  #deadlineNs(): number {
    return this.#isOwed() ? this.#heardNs + DBUS_TIMEOUT_NS : NEVER;
  }

  #lose(code: Code, why: string): void {
    if (!this.#isRunning()) return;
    assert(code !== CODE.ok, "a source is lost for a reason");
    this.#state = "ended";
    this.#client.peer.end();
    this.#service?.peer.end();
    this.#listener.onLost(code, why);
  }
}
