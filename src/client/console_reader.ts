/**
 * Reads one console from a known offset, a piece at a time, each byte once.
 *
 * Reads are started early in two cases. Of output that the daemon already has (according to its last answer),
 * several pieces are requested at once, so that a flood does not cost one round trip per 64 KB. And for a
 * writer, the next read is already pending at the daemon, so that an echo arrives as soon as possible.
 * @module
 */
import { assert } from "../base/assert.ts";
import { Fault } from "../base/fault.ts";
import { readU64, writeU64 } from "../base/layout.ts";
import { MAX_BODY_BYTES } from "../base/limits.ts";
import { CONSOLE_OUT, CONSOLE_REQUEST } from "../event/body_layout.ts";
import { CONSOLE_CLOSED, CONSOLE_FROM_NOW, CONSOLE_OP } from "../event/body_number.ts";
import { KIND } from "../event/kind.ts";
import type { TransferEvent } from "../event/transfer_event.ts";
import type { ClientEvent } from "./client_event.ts";
import type { CommandOptions } from "./command_options.ts";

/** How long one read waits at the daemon, ms; it is then repeated, so that a lost connection is noticed. */
export const READ_WAIT_MS = 20_000;
const SLACK_MS = 10_000;
/** Number of pieces requested at once. */
const MOST_PIECES = 8;
/** More are asked for when only so many are under way: each time wakes the daemon. */
const FEW_PIECES = 4;
const NO_BYTES: Uint8Array<ArrayBuffer> = new Uint8Array(0);

/** The result of one read. */
interface Piece {
  readonly offset: number;
  /** Offset after the newest byte that the daemon has. */
  readonly end: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Whether the daemon does not have the console open. */
  readonly isClosed: boolean;
}

/** A read that was started. */
interface AskedPiece {
  readonly offset: number;
  /** Number of bytes that it will return; undefined for one that waits for new output. */
  readonly length: number | undefined;
  readonly promise: Promise<Piece>;
  /** Its result, once there is one. */
  piece: Piece | undefined;
}

/** What a reader needs. */
export interface ReaderHost {
  /** What the read does, for messages: "read console 0 of web". */
  readonly doing: string;
  /** Sends a request about the console, and waits for the answer. */
  request(fill: (event: TransferEvent) => void, options: CommandOptions): Promise<ClientEvent>;
}

/** Reads one console. */
export class ConsoleReader {
  readonly #host: ReaderHost;
  readonly #asked: AskedPiece[] = [];
  #flags: number;
  #place: number;
  #lost = 0;
  /** Number of reads whose result somebody awaits. */
  #reading = 0;
  #isWriting = false;

  /**
   * Starts at an offset.
   *
   * @param flags of the first read: {@linkcode CONSOLE_FROM_NOW} and others
   */
  constructor(host: ReaderHost, place: number, flags: number) {
    this.#host = host;
    this.#place = place;
    this.#flags = flags;
  }

  /** Offset of the next byte. */
  get place(): number {
    return this.#place;
  }

  /** Number of bytes that were overwritten before they were read. */
  get lostBytes(): number {
    return this.#lost;
  }

  /** Whether the offset is not known yet, because reading begins with new output. */
  get isFromNow(): boolean {
    return (this.#flags & CONSOLE_FROM_NOW) !== 0;
  }

  /** Number of reads that were started and not used yet. */
  get isAhead(): boolean {
    return this.#asked.length > 0;
  }

  /**
   * The next output; empty if none arrives in that time, which a read started earlier may exceed.
   *
   * @throws {Fault} `seam-down` when the VM closed its console; `interrupted`; `unreachable`
   */
  async read(waitMs: number, signal?: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
    const first = this.#asked[0];
    const asked = first?.offset ?? this.#place;
    this.#reading++;
    let piece: Piece | undefined;
    try {
      piece = first === undefined
        ? await this.#ask(asked, MAX_BODY_BYTES, waitMs, signal)
        : await this.#awaitFirst(first, waitMs, signal);
    } finally {
      this.#reading--;
    }
    if (piece === undefined) return NO_BYTES;
    const bytes = this.#take(piece, asked);
    if (piece.isClosed && bytes.length === 0 && waitMs > 0) {
      throw new Fault("seam-down", `Cannot ${this.#host.doing}: the VM has closed it`);
    }
    this.#askKnown(piece.end);
    if (bytes.length > 0 && this.#isWriting) this.#askNext();
    return bytes;
  }

  /** From now on, the next read is started before it is asked for. */
  readAhead(): void {
    this.#isWriting = true;
    if (this.#reading === 0) this.#askNext();
  }

  /** The new bytes of a piece; reads started after it may no longer fit. */
  #take({ offset, bytes }: Piece, asked: number): Uint8Array<ArrayBuffer> {
    const { isFromNow } = this;
    this.#flags &= ~CONSOLE_FROM_NOW;
    if (offset < asked && !isFromNow) {
      // The VM was restarted, and the daemon's offsets start again.
      this.#asked.length = 0;
    } else if (offset < this.#place && !isFromNow) {
      // An earlier piece began later than requested, and contains part of this one.
      const fresh = bytes.subarray(Math.min(this.#place - offset, bytes.length));
      this.#place += fresh.length;
      return fresh;
    } else if (!isFromNow) this.#lost += offset - this.#place;
    this.#place = offset + bytes.length;
    return bytes;
  }

  /** Requests the output that the daemon is known to have. */
  #askKnown(end: number): void {
    const last = this.#asked.at(-1);
    if (last !== undefined && last.length === undefined) return;
    if (this.#asked.length > FEW_PIECES) return;
    let next = Math.max(this.#place, (last?.offset ?? 0) + (last?.length ?? 0));
    while (next < end && this.#asked.length < MOST_PIECES) {
      const length = Math.min(end - next, MAX_BODY_BYTES);
      this.#begin(next, length);
      next += length;
    }
  }

  #askNext(): void {
    if (this.#asked.length === 0) this.#begin(this.#place, undefined);
  }

  #begin(offset: number, length: number | undefined): void {
    const promise = this.#ask(offset, length ?? MAX_BODY_BYTES, length === undefined ? READ_WAIT_MS : 0);
    const asked: AskedPiece = { offset, length, promise, piece: undefined };
    this.#asked.push(asked);
    promise.then((piece) => {
      asked.piece = piece;
    }, () => {
      // The next read reports the error; there may be none.
    });
  }

  /** The read that was started first; undefined if it returns nothing in that time and continues. */
  async #awaitFirst(first: AskedPiece, waitMs: number, signal?: AbortSignal): Promise<Piece | undefined> {
    // Output that is already there has been sent before the answer to this.
    if (first.piece === undefined && waitMs === 0) {
      await this.#host.request((event) => this.#fill(event, CONSOLE_OP.OPEN, 0, MAX_BODY_BYTES, 0), {});
    }
    if (first.piece !== undefined) {
      this.#done(first);
      return first.piece;
    }
    const { promise, resolve, reject } = Promise.withResolvers<undefined>();
    const timer = setTimeout(() => resolve(undefined), waitMs);
    const interrupt = () => reject(new Fault("interrupted", `Cannot ${this.#host.doing}: interrupted`));
    signal?.addEventListener("abort", interrupt, { once: true });
    if (signal?.aborted === true) interrupt();
    try {
      const piece = await Promise.race([first.promise, promise]);
      if (piece !== undefined) this.#done(first);
      return piece;
    } catch (error) {
      // Reads that were started after a failed one are repeated.
      if (!(error instanceof Fault && error.code === "interrupted")) this.#asked.length = 0;
      throw error;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", interrupt);
    }
  }

  #done(first: AskedPiece): void {
    if (this.#asked[0] === first) this.#asked.shift();
  }

  async #ask(offset: number, maxBytes: number, waitMs: number, signal?: AbortSignal): Promise<Piece> {
    assert(maxBytes > 0, "a read asks for something");
    const { doing } = this.#host;
    const answer = await this.#host.request(
      (event) => this.#fill(event, CONSOLE_OP.READ, offset, maxBytes, waitMs),
      { timeoutMs: waitMs + SLACK_MS, ...(signal === undefined ? {} : { signal }) },
    );
    if (answer.kind !== KIND.CONSOLE_OUT) {
      throw new Fault("protocol-error", `Cannot ${doing}: the daemon's answer is not the one expected`);
    }
    const { at } = CONSOLE_OUT;
    return {
      offset: readU64(answer.view, at.offset),
      end: readU64(answer.view, at.end),
      bytes: answer.body,
      isClosed: (answer.view.getUint32(at.flags, true) & CONSOLE_CLOSED) !== 0,
    };
  }

  #fill(event: TransferEvent, op: number, offset: number, maxBytes: number, waitMs: number): void {
    const { at } = CONSOLE_REQUEST;
    event.words[at.op / 4] = op;
    writeU64(event.view, at.offset, offset);
    event.words[at.maxBytes / 4] = maxBytes;
    event.words[at.waitMs / 4] = waitMs;
    event.words[at.flags / 4] = this.#flags;
  }
}
