/**
 * Accepting peers, the same way at every listener: a bounded number a turn, no faster than a pace when the
 * peers are turned away, and out of descriptors or memory it rests and tells so once instead of ending or
 * spinning.
 *
 * Two layers. {@linkcode AcceptGuard} knows no loop: it accepts one connection, and says until when to leave
 * the listener alone. {@linkcode AcceptLoop} puts it on a loop.
 *
 * Why a pace: a peer that connects as fast as it can, only to be turned away, would keep the loop busy all
 * the time. The kernel makes it wait in its connect() while nobody accepts. A few are turned away together,
 * then nobody for a while: each time whoever is in waits for it.
 *
 * Whoever else knocks waits behind them, for a second if the backlog of 1,024 is full. One who fills it anew
 * without waiting, faster than it is emptied, would leave no place in it to others: when it has not been
 * empty for a second, it is emptied faster.
 *
 * Why a spare descriptor: without one nobody gets in while others have used up all of them, and nobody is
 * told why. It is given up to take one peer, which is told, or let in when it must be (root).
 *
 * It decides nothing about who is let in: its taker does.
 * @module
 */
import { SECOND } from "../src/base/clock.ts";
import { messageOf } from "../src/base/fault.ts";
import type { Log } from "../src/base/log.ts";
import { EventFd } from "./event_fd.ts";
import { type ErrnoName, isOsError } from "./os_error.ts";
import type { OwnedFd } from "./owned_fd.ts";
import { IN } from "./poller.ts";
import { acceptUnix } from "./unix_socket.ts";

/** How long a listener is left alone when nothing can be had. */
export const SHORTAGE_PAUSE_NS: number = SECOND;
/** A shortage is over when there was none for so long: one that comes and goes is told as one. */
const OVER_AFTER_NS = 2 * SECOND;
/** Connections that are taken in one turn of the loop, when none of them is turned away. */
const ACCEPTED_A_TURN = 64;
/** Connections that are turned away in a second: what an unwelcome peer may cost the loop. */
const TURNED_AWAY_A_SECOND = 1000;
/** How many may be turned away before the pace counts. */
const TURNED_AWAY_AT_FIRST = 64;
/** How many are turned away in one turn. */
const TURNED_AWAY_A_TURN = 4;
/** How long the backlog may be without an end before it is emptied faster, and how much faster. */
const PATIENCE_NS = SECOND;
const FASTER = 8;

const SHORTAGES: readonly ErrnoName[] = ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"];

/** Whether something thrown tells of a lack of descriptors or memory: nobody's mistake, and it passes. */
export function isShortage(error: unknown): boolean {
  return SHORTAGES.some((name) => isOsError(error, name));
}

/** A connection that was accepted. */
export interface Accepted {
  /** The connection; whoever gets it owns it. */
  readonly socket: OwnedFd;
  /** It took the spare descriptor, because there was no other: keep it only if it must get in. */
  readonly isSpare: boolean;
}

/** How a guard is made. */
export interface AcceptGuardOptions {
  /** Where shortages are told: once when one begins, once when it is over. */
  readonly log: Log;
  /** What is listened on, for the log: a socket's path. */
  readonly what: string;
  /** False: keeps no spare descriptor. */
  readonly spare?: boolean;
}

/** Accepts, and deals with shortages. */
export class AcceptGuard implements Disposable {
  readonly #options: AcceptGuardOptions;
  #spare: EventFd | null = null;
  #isShort = false;
  #shortages = 0;
  #shortNs = 0;
  #pausedUntilNs = 0;

  /** Takes its spare descriptor, unless there is none to be had. */
  constructor(options: AcceptGuardOptions) {
    this.#options = options;
    this.#takeSpare();
  }

  /**
   * Until when the listener is to be left alone, ns; 0 when it need not be. It stays readable meanwhile: do
   * not watch it.
   */
  get pausedUntilNs(): number {
    return this.#pausedUntilNs;
  }

  /** How many times nothing could be accepted, or only by the spare descriptor. */
  get shortages(): number {
    return this.#shortages;
  }

  /**
   * Takes the next connection.
   *
   * @param listenFd a listening socket, borrowed
   * @param nowNs the time
   * @returns undefined when none waits, or none can be had: then {@linkcode AcceptGuard.pausedUntilNs} is set
   * @throws {OsError} whatever is neither a shortage nor the end of a peer
   */
  accept(listenFd: number, nowNs: number): Accepted | undefined {
    if (nowNs < this.#pausedUntilNs) return undefined;
    this.#pausedUntilNs = 0;
    if (this.#spare === null) this.#takeSpare();
    let error: unknown;
    try {
      const socket = acceptUnix(listenFd);
      if (socket === undefined) return undefined;
      if (this.#isShort && nowNs - this.#shortNs >= OVER_AFTER_NS) this.#tellOver();
      return { socket, isSpare: false };
    } catch (thrown) {
      if (!isShortage(thrown)) throw thrown;
      error = thrown;
    }
    this.#shortages++;
    this.#shortNs = nowNs;
    if (!this.#isShort) this.#tellShort(error);
    const socket = this.#acceptBySpare(listenFd);
    if (socket !== undefined) return { socket, isSpare: true };
    this.#takeSpare();
    this.#pausedUntilNs = nowNs + SHORTAGE_PAUSE_NS;
    return undefined;
  }

  /** Gives the spare descriptor up. */
  [Symbol.dispose](): void {
    this.#spare?.[Symbol.dispose]();
    this.#spare = null;
  }

  #acceptBySpare(listenFd: number): OwnedFd | undefined {
    if (this.#spare === null) return undefined;
    this.#spare[Symbol.dispose]();
    this.#spare = null;
    try {
      return acceptUnix(listenFd);
    } catch (error) {
      // Another thread was quicker, or something else than descriptors is short.
      if (isShortage(error)) return undefined;
      throw error;
    }
  }

  #takeSpare(): void {
    if (this.#options.spare === false) return;
    try {
      this.#spare ??= EventFd.create();
    } catch (error) {
      if (!isShortage(error)) throw error;
    }
  }

  #tellShort(error: unknown): void {
    this.#isShort = true;
    this.#options.log.error(
      "cannot accept: peers wait or are turned away until there is room; raise the limit of descriptors (LimitNOFILE)",
      { on: this.#options.what, what: messageOf(error) },
    );
  }

  #tellOver(): void {
    this.#isShort = false;
    this.#options.log.info("accepts again", { on: this.#options.what });
  }
}

/** A loop, as an accept loop needs it; the daemon's loop is one. */
export interface AcceptHost {
  /** The loop's clock. */
  readonly clock: { nowNs(): number };
  /** Watches a descriptor. */
  watch(fd: number, events: number, handler: { onReady(events: number): void }): void;
  /** Ends that. */
  unwatch(fd: number): void;
  /** Calls back at a time. */
  arm(handler: { onTimer(nowNs: number): void }, deadlineNs: number): void;
  /** Forgets that. */
  disarm(handler: { onTimer(nowNs: number): void }): void;
}

/** What became of a peer: it is there, or it was turned away (told why, and closed). */
export type Reception = "kept" | "turned-away";

/** How an accept loop is made. */
export interface AcceptLoopOptions extends AcceptGuardOptions {
  /** The listening socket, borrowed. */
  readonly listener: OwnedFd;
  /** The loop. */
  readonly host: AcceptHost;
  /**
   * Takes a peer, and owns its socket from now on, whatever it does: what it throws ends that peer only, and
   * the socket is closed here if it is still open.
   *
   * @param isSpare it took the spare descriptor: see {@linkcode Accepted}
   */
  readonly onPeer: (socket: OwnedFd, isSpare: boolean) => Reception;
  /** Told what `onPeer` threw. Left out: it is thrown on. */
  readonly onFault?: (error: unknown) => void;
  /** Connections taken in a turn; 64 unless told. */
  readonly mostATurn?: number;
  /** Connections turned away in a second; 1,000 unless told. */
  readonly turnedAwayASecond?: number;
}

/** Accepts on a loop. */
export class AcceptLoop implements Disposable {
  readonly #options: AcceptLoopOptions;
  readonly #guard: AcceptGuard;
  readonly #most: number;
  readonly #gapNs: number;
  #listener: OwnedFd;
  #isWatching = false;
  #isClosed = false;
  /** When all that were turned away are paid for, ns. */
  #paidNs = 0;
  /** When nobody knocked, the last time, ns. */
  #emptyNs = 0;
  #turnedAway = 0;

  /** Starts to accept. */
  constructor(options: AcceptLoopOptions) {
    this.#options = options;
    this.#guard = new AcceptGuard(options);
    this.#listener = options.listener;
    this.#most = options.mostATurn ?? ACCEPTED_A_TURN;
    this.#gapNs = SECOND / (options.turnedAwayASecond ?? TURNED_AWAY_A_SECOND);
    this.#emptyNs = options.host.clock.nowNs();
    this.#watch();
  }

  /** How many times nothing could be accepted, or only by the spare descriptor. */
  get shortages(): number {
    return this.#guard.shortages;
  }

  /** How many peers were turned away. */
  get turnedAway(): number {
    return this.#turnedAway;
  }

  /** Goes on with another listening socket, borrowed: the path of the one before is gone. */
  listenOn(listener: OwnedFd): void {
    this.#unwatch();
    this.#options.host.disarm(this);
    this.#listener = listener;
    this.#watch();
  }

  /** Called by the loop: peers knock. */
  onReady(): void {
    const { host } = this.#options;
    let turnedAway = 0;
    for (let i = 0; i < this.#most && !this.#isClosed; i++) {
      const nowNs = host.clock.nowNs();
      const accepted = this.#guard.accept(this.#listener.fd, nowNs);
      if (accepted === undefined) {
        this.#emptyNs = nowNs;
        if (this.#guard.pausedUntilNs > 0) this.#rest(this.#guard.pausedUntilNs);
        else this.#watch();
        return;
      }
      if (this.#receive(accepted) === "kept") continue;
      this.#turnedAway++;
      const gapNs = nowNs - this.#emptyNs > PATIENCE_NS ? this.#gapNs / FASTER : this.#gapNs;
      this.#paidNs = Math.max(this.#paidNs, nowNs - TURNED_AWAY_AT_FIRST * gapNs) + gapNs;
      if (this.#paidNs > nowNs) return this.#rest(this.#paidNs + (TURNED_AWAY_A_TURN - 1) * gapNs);
      if (++turnedAway === TURNED_AWAY_A_TURN) break;
    }
    this.#watch();
  }

  /** Called by the loop: it has rested. */
  onTimer(): void {
    if (!this.#isClosed) this.onReady();
  }

  /** Called by the loop when something failed that is not a shortage: it rests, and tries again. */
  onFault(): void {
    if (!this.#isClosed) this.#rest(this.#options.host.clock.nowNs() + SHORTAGE_PAUSE_NS);
  }

  /** Stops accepting; the listening socket is its owner's. Harmless when it was stopped. */
  [Symbol.dispose](): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#unwatch();
    this.#options.host.disarm(this);
    this.#guard[Symbol.dispose]();
  }

  #receive({ socket, isSpare }: Accepted): Reception {
    try {
      return this.#options.onPeer(socket, isSpare);
    } catch (error) {
      if (this.#options.onFault === undefined) throw error;
      if (!socket.closed) socket.close();
      this.#options.onFault(error);
      return "turned-away";
    }
  }

  /** Leaves the listener alone until a time: it stays readable, and watching it would spin. */
  #rest(untilNs: number): void {
    if (this.#isWatching) this.#unwatch();
    this.#options.host.arm(this, untilNs);
  }

  #watch(): void {
    if (this.#isWatching || this.#isClosed) return;
    this.#options.host.watch(this.#listener.fd, IN, this);
    this.#isWatching = true;
  }

  #unwatch(): void {
    if (this.#isWatching) this.#options.host.unwatch(this.#listener.fd);
    this.#isWatching = false;
  }
}
