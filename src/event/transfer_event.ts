/**
 * The transfer event: the only thing that crosses the bus. A fixed header, 48 inline bytes, and a body or
 * file descriptors that it may own. Events are pooled and counted: nothing on the hot path allocates one, and
 * whoever drops the last reference releases the payload exactly once, whether it was consumed, dropped,
 * coalesced or shut down.
 *
 * It does not interpret its inline zone; `body_layout.ts` does.
 * @module
 */
import { type ControlId, type EndpointId, NO_CONTROL } from "../base/ids.ts";
import type { Dir } from "./direction.ts";
import type { Kind } from "./kind.ts";
import type { Source } from "./source.ts";
import { assert } from "../base/assert.ts";
import { INLINE_BYTES } from "../base/limits.ts";
import { PRIO_DEFAULT, type PrioChoice } from "./priority.ts";

/** Body formats, as they travel. */
export const BODY = { NONE: 0, RAW: 1, CBOR: 2 } as const;

/**
 * The owner of a payload: the event (released by it), or its emitter (copied or consumed before `release`).
 */
export const PAYLOAD = { NONE: 0, OWNED: 1, BORROWED: 2, INLINE: 4 } as const;

/**
 * What an owned payload calls when the last reference goes. An object, not a closure: one serves many events.
 */
export interface PayloadOwner {
  /** Called exactly once an event that carries the payload. Must not throw. */
  releasePayload(event: TransferEvent): void;
}

const EMPTY = new Uint8Array(0);
/**
 * A pooled event keeps a store for the next body up to here: 4,096 of them are what a flood may leave behind.
 */
const KEEP_BODY_BYTES = 512;
const NO_FDS: readonly number[] = [];

/** One event. Create them by {@linkcode EventPool.acquire}. */
export class TransferEvent {
  /** What it means: one of {@linkcode KIND}. */
  kind: Kind = 0;
  /** The seam that it crosses. */
  source: Source = 0;
  /** 0 up, 1 down. */
  dir: Dir = 0;
  /** Priority class, or PRIO_DEFAULT to let the policy choose. */
  prio: PrioChoice = PRIO_DEFAULT;
  /** Which VM; 0xffffffff = none in particular. */
  endpoint: EndpointId = 0 as EndpointId;
  /** Set by the context. */
  seq = 0;
  /** Links an answer to its command; 0 = none wanted. */
  corr = 0;
  /**
   * The control that initiated the command, or whom alone the event is for; 0 = nobody, everybody. Never
   * travels.
   */
  origin: ControlId = NO_CONTROL;
  /** UP: the control that published it; 0 = an adapter or the core emitted it. Never travels. */
  publisher: ControlId = NO_CONTROL;
  /** CLOCK_MONOTONIC at emit, ns. */
  tsNs = 0;
  /**
   * DOWN: the lease token the sender names, 0 = the one it holds now. Inside: the token it was admitted
   * under.
   */
  token = 0;
  /** DOWN: the core's ledger entry, which an adapter answers. 0 = none. */
  ticket = 0;
  /** How many older events of this kind were folded into this one. */
  coalesced = 0;
  /**
   * It comes from a seam that tells more than its budget: a queue that holds many of its like may fold it
   * (folding.ts).
   */
  isExcess = false;
  /** Until when a coalescing window holds it back, ns; 0 = not at all. The context's. */
  dueNs = 0;
  /** One of {@linkcode BODY}. */
  bodyFormat = 0;
  /** The body: `bodyBytes` bytes of `body` from `bodyOffset`. */
  body: Uint8Array = EMPTY;
  /** Where the body begins in `body`. */
  bodyOffset = 0;
  /** The body's length. */
  bodyBytes = 0;
  /** File descriptors that travel along, owned by `payloadOwner` or borrowed. */
  fds: readonly number[] = NO_FDS;
  /** One of {@linkcode PAYLOAD}. */
  payloadFlags = 0;
  /** Who is told when the last holder lets go. */
  payloadOwner: PayloadOwner | null = null;
  /** Next in a queue. A queue owns it while the event is in that queue. */
  next: TransferEvent | null = null;
  /** Inline zone as bytes. */
  readonly inline: Uint8Array;
  /** Inline zone as twelve u32 words. */
  readonly words: Uint32Array;
  /** Inline zone for fields of any type. */
  readonly view: DataView;
  #references = 0;
  #store: Uint8Array = EMPTY;
  readonly #pool: EventPool;

  /**
   * Makes a blank event; use {@linkcode EventPool.acquire}.
   *
   * @param pool where it returns to
   */
  constructor(pool: EventPool) {
    this.words = new Uint32Array(INLINE_BYTES / 4);
    this.inline = new Uint8Array(this.words.buffer);
    this.view = new DataView(this.words.buffer);
    this.#pool = pool;
  }

  /** How many hold it. */
  get references(): number {
    return this.#references;
  }

  /** One more holder. */
  retain(): this {
    assert(this.#references > 0, "a live event is retained");
    this.#references++;
    return this;
  }

  /** One holder fewer; the last one releases the payload and returns the event to its pool. */
  release(): void {
    assert(this.#references > 0, "an event is released once a holder");
    if (--this.#references > 0) return;
    this.#dropPayload();
    this.#pool.giveBack(this);
  }

  /** Copies bytes into the event's own store and makes them its body. */
  copyBody(format: number, bytes: Uint8Array, offset: number, length: number): void {
    if (this.#store.length < length) this.#store = new Uint8Array(Math.max(length, 256));
    if (length > 0) this.#store.set(bytes.subarray(offset, offset + length));
    this.body = this.#store;
    this.bodyOffset = 0;
    this.bodyBytes = length;
    this.bodyFormat = format;
  }

  /** Makes bytes the body without a copy: they must not change while the event lives. */
  setBody(format: number, bytes: Uint8Array): void {
    this.body = bytes;
    this.bodyOffset = 0;
    this.bodyBytes = bytes.length;
    this.bodyFormat = format;
  }

  /** The body as a view; valid while the event is. */
  bodyView(): Uint8Array {
    return this.body.subarray(this.bodyOffset, this.bodyOffset + this.bodyBytes);
  }

  /** Hands file descriptors (and whatever `owner` minds) to the event. */
  own(fds: readonly number[], owner: PayloadOwner): void {
    assert(this.payloadOwner === null, "an event has one payload");
    this.fds = fds;
    this.payloadOwner = owner;
    this.payloadFlags = PAYLOAD.OWNED;
  }

  /**
   * Takes the file descriptors that travel along: the caller closes them from now on, and the payload's owner
   * does not.
   */
  takeFds(): readonly number[] {
    assert(
      this.fds.length === 0 || this.payloadOwner !== null,
      "descriptors that are taken were the event's",
    );
    const { fds } = this;
    this.fds = NO_FDS;
    return fds;
  }

  /**
   * Exchanges inline zone, stamp and payload with another event: how a newer one takes an older one's place
   * in a queue.
   */
  exchangeContent(other: TransferEvent): void {
    for (let i = 0; i < this.words.length; i++) {
      const word = this.words[i] as number;
      this.words[i] = other.words[i] as number;
      other.words[i] = word;
    }
    const { publisher } = this;
    this.publisher = other.publisher;
    other.publisher = publisher;
    let n = this.tsNs;
    this.tsNs = other.tsNs;
    other.tsNs = n;
    n = this.bodyFormat;
    this.bodyFormat = other.bodyFormat;
    other.bodyFormat = n;
    n = this.bodyOffset;
    this.bodyOffset = other.bodyOffset;
    other.bodyOffset = n;
    n = this.bodyBytes;
    this.bodyBytes = other.bodyBytes;
    other.bodyBytes = n;
    n = this.payloadFlags;
    this.payloadFlags = other.payloadFlags;
    other.payloadFlags = n;
    const { body, fds, payloadOwner } = this;
    const store = this.#store;
    this.body = other.body;
    this.fds = other.fds;
    this.payloadOwner = other.payloadOwner;
    this.#store = other.#store;
    other.body = body;
    other.fds = fds;
    other.payloadOwner = payloadOwner;
    other.#store = store;
  }

  /** Called by the pool: makes it new. */
  renew(): void {
    assert(this.#references === 0, "a pooled event has no holder");
    this.#references = 1;
    this.kind = 0;
    this.source = 0;
    this.dir = 0;
    this.endpoint = 0 as EndpointId;
    this.seq = 0;
    this.corr = 0;
    this.origin = NO_CONTROL;
    this.publisher = NO_CONTROL;
    this.tsNs = 0;
    this.token = 0;
    this.ticket = 0;
    this.coalesced = 0;
    this.isExcess = false;
    this.dueNs = 0;
    this.prio = PRIO_DEFAULT;
    this.words.fill(0);
  }

  #dropPayload(): void {
    const owner = this.payloadOwner;
    if (owner !== null) {
      this.payloadOwner = null;
      owner.releasePayload(this);
    }
    this.fds = NO_FDS;
    this.payloadFlags = PAYLOAD.NONE;
    this.bodyFormat = BODY.NONE;
    this.body = EMPTY;
    this.bodyOffset = this.bodyBytes = 0;
    if (this.#store.length > KEEP_BODY_BYTES) this.#store = EMPTY;
  }
}

/** A free list of events: in the steady state none is allocated. Not shared between threads. */
export class EventPool {
  #free: TransferEvent | null = null;
  #freeCount = 0;
  #live = 0;
  readonly #keep: number;

  /**
   * Starts empty.
   *
   * @param keep how many unused events stay for later; the rest is left to the collector
   */
  constructor(keep = 4096) {
    this.#keep = keep;
  }

  /** Events that somebody holds: 0 when all is released, which is what a test of ownership asks. */
  get live(): number {
    return this.#live;
  }

  /** A blank event with one reference, the caller's. */
  acquire(): TransferEvent {
    let event = this.#free;
    if (event === null) event = new TransferEvent(this);
    else {
      this.#free = event.next;
      this.#freeCount--;
      event.next = null;
    }
    event.renew();
    this.#live++;
    return event;
  }

  /** Called by the event itself when its last holder lets go. */
  giveBack(event: TransferEvent): void {
    assert(event.next === null, "a released event is in no queue");
    this.#live--;
    if (this.#freeCount >= this.#keep) return;
    event.next = this.#free;
    this.#free = event;
    this.#freeCount++;
  }
}
