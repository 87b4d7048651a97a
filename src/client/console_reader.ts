/**
 * The reads of one console: from a place that the client knows, a piece at a time, each byte once.
 *
 * Two kinds of reads are begun before anybody asks for them. Of bytes that the daemon has already (its last
 * answer said so) several pieces are asked for at once, so that a flood does not take a round trip for each
 * 64 KB. And for who writes, the next read waits at the daemon already, so that an echo comes as soon as
 * there is one.
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

/** How long one read waits at the daemon; then it is asked anew, so that an end is noticed. */
export const READ_WAIT_MS = 20_000;
const SLACK_MS = 10_000;
/** Pieces that are asked for at once. */
const MOST_PIECES = 8;
/** More are asked for when only so many are under way: each time wakes the daemon. */
const FEW_PIECES = 4;
const NO_BYTES: Uint8Array<ArrayBuffer> = new Uint8Array(0);

/** What one read brought. */
interface Piece {
  readonly offset: number;
  /** One past the newest byte that the daemon has. */
  readonly end: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The daemon does not have the console open. */
  readonly isClosed: boolean;
}

/** A read that was begun. */
interface AskedPiece {
  readonly offset: number;
  /** Bytes that it will bring; undefined for one that waits for what is not there yet. */
  readonly length: number | undefined;
  readonly promise: Promise<Piece>;
  /** What it brought, when it has. */
  piece: Piece | undefined;
}

/** What a reader needs. */
export interface ReaderHost {
  /** "read console 0 of web". */
  readonly doing: string;
  /** Sends a request about the console, and awaits its answer. */
  request(fill: (event: TransferEvent) => void, options: CommandOptions): Promise<ClientEvent>;
}

/** The reads. */
export class ConsoleReader {
  readonly #host: ReaderHost;
  readonly #asked: AskedPiece[] = [];
  #flags: number;
  #place: number;
  #lost = 0;
  /** Reads under way that somebody awaits. */
  #reading = 0;
  #isWriting = false;

  /**
   * Begins at a place.
   *
   * @param flags of the first read: {@linkcode CONSOLE_FROM_NOW} and others
   */
  constructor(host: ReaderHost, place: number, flags: number) {
    this.#host = host;
    this.#place = place;
    this.#flags = flags;
  }

  /** Place of the next byte. */
  get place(): number {
    return this.#place;
  }

  /** Bytes that were overwritten before they were read. */
  get lostBytes(): number {
    return this.#lost;
  }

  /** Whether the place is not known yet, because it begins with what comes now. */
  get isFromNow(): boolean {
    return (this.#flags & CONSOLE_FROM_NOW) !== 0;
  }

  /** Reads that were begun and whose bytes nobody has had yet. */
  get isAhead(): boolean {
    return this.#asked.length > 0;
  }

  /**
   * The next bytes; none when none came in that time, which a read that was begun earlier may exceed.
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

  /** From now on the next read is begun before anybody asks. */
  readAhead(): void {
    this.#isWriting = true;
    if (this.#reading === 0) this.#askNext();
  }

  /** Bytes of a piece that are new; what was begun behind it may not fit any more. */
  #take({ offset, bytes }: Piece, asked: number): Uint8Array<ArrayBuffer> {
    const { isFromNow } = this;
    this.#flags &= ~CONSOLE_FROM_NOW;
    if (offset < asked && !isFromNow) {
      // The daemon counts anew for a VM that was started anew.
      this.#asked.length = 0;
    } else if (offset < this.#place && !isFromNow) {
      // An earlier piece began later than it was asked to, and has a part of this one.
      const fresh = bytes.subarray(Math.min(this.#place - offset, bytes.length));
      this.#place += fresh.length;
      return fresh;
    } else if (!isFromNow) this.#lost += offset - this.#place;
    this.#place = offset + bytes.length;
    return bytes;
  }

  /** Asks for what the daemon is known to have. */
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
      // Whoever reads next is told; nobody may.
    });
  }

  /** The read that was begun first; undefined when it brings nothing in that time: then it goes on. */
  async #awaitFirst(first: AskedPiece, waitMs: number, signal?: AbortSignal): Promise<Piece | undefined> {
    // What is there already has been sent before the answer to this.
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
      // What was begun behind one that failed is asked for anew.
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
