/**
 * What waits for one socket: a bounded queue by priority, sent in batches. Sequence numbers are given out
 * when a frame is really sent, so a receiver sees none missing but after an OVERRUN, which tells how many
 * are.
 *
 * When it is full the lowest priority gives way, oldest first; an URGENT event never does, nor does an answer
 * to the control's own command (the core takes no more commands from a control whose queue is half full, so
 * answers are bounded too). A queue that is full of URGENT alone cannot be helped: `overflowed`. It is
 * bounded in bytes of bodies as well, and so are all queues of one principal together.
 *
 * What a seam in a flood tells beyond its budget is marked, and folded here (event/folding.ts): past
 * {@linkcode MAX_UNFOLDED_EVENTS} of one endpoint and kind the oldest that is no longer so goes. OVERRUN
 * tells of these, too: they are the only urgent ones that it ever counts.
 * @module
 */
import { isPeerGone, type SendBatch, sendOne } from "../../../ffi/datagram.ts";
import { OPEN, reopen } from "../../../ffi/memfd.ts";
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { OsError } from "../../../ffi/os_error.ts";
import { assert } from "../../base/assert.ts";
import { type EndpointId, NO_ENDPOINT } from "../../base/ids.ts";
import { MAX_QUEUE_BYTES, MAX_UNFOLDED_EVENTS, SEND_BATCH } from "../../base/limits.ts";
import { MemoryAccount } from "../../core/memory_account.ts";
import { OVERRUN } from "../../event/body_layout.ts";
import { defaultPrio, DIR } from "../../event/defaults.ts";
import { EventRing } from "../../event/event_ring.ts";
import { folds, mayFold } from "../../event/folding.ts";
import { encodeFrame } from "../../protocol/frame.ts";
import { KIND } from "../../event/kind.ts";
import { mayTakeBack, takesBack } from "../../event/overtaking.ts";
import { PRIO, type Prio, PRIO_COUNT, PRIO_DEFAULT, type PrioChoice } from "../../event/priority.ts";
import { SOURCE } from "../../event/source.ts";
import type { EventPool, TransferEvent } from "../../event/transfer_event.ts";

/** How a flush ended. */
export type Flushed = "empty" | "would-block" | "closed";

/** The outgoing queue of one socket control. */
export class SendQueue {
  readonly #queues: readonly EventRing[] = Array.from({ length: PRIO_COUNT }, () => new EventRing());
  readonly #capacity: number;
  readonly #pool: EventPool;
  /** Openings made for the batch that is being sent. */
  readonly #fresh: OwnedFd[] = [];
  #account = new MemoryAccount();
  #count = 0;
  /** Bytes of the bodies of what waits. */
  #bytes = 0;
  #seq = 0;
  #lost = 0;
  #highestLost: Prio = PRIO.BULK;
  /** URGENT events filled it: the control is to be closed. */
  overflowed = false;

  /**
   * Starts empty.
   *
   * @param capacity how many events may wait
   * @param pool where OVERRUN events come from
   */
  constructor(capacity: number, pool: EventPool) {
    this.#capacity = capacity;
    this.#pool = pool;
  }

  /** Whose memory the bodies take from now on; nothing waits yet. */
  chargeTo(account: MemoryAccount): void {
    assert(this.#count === 0, "nothing waits before its account is known");
    this.#account = account;
  }

  /** Bytes of the bodies of what waits. */
  get bytes(): number {
    return this.#bytes;
  }

  /** How many wait. */
  get count(): number {
    return this.#count;
  }

  /** More than half full: no commands are taken from this control. */
  get isHalfFull(): boolean {
    return this.#count > this.#capacity / 2;
  }

  /** How many were lost since the last OVERRUN. */
  get lost(): number {
    return this.#lost;
  }

  /** Appends an event; it is borrowed, and retained here. */
  push(event: TransferEvent): void {
    if (mayTakeBack(event.kind)) this.#letGoFirst(event);
    if (event.kind === KIND.MEMCTX_INVALIDATED) this.#withdrawContext(event.endpoint);
    if (event.isExcess) this.#foldOlder(event);
    if (this.#count >= this.#capacity && !this.#makeRoom(event)) return;
    if (event.bodyBytes > 0 && !this.#makeByteRoom(event)) return;
    (this.#queues[event.prio] as EventRing).push(event.retain());
    this.#count++;
    this.#noteBytes(event.bodyBytes);
  }

  /**
   * More of a flood than anybody can need waits: what the arriving event makes meaningless goes, the oldest
   * first.
   */
  #foldOlder(arriving: TransferEvent): void {
    const queue = this.#queues[arriving.prio] as EventRing;
    if (queue.length < MAX_UNFOLDED_EVENTS || !mayFold(arriving)) return;
    let oldest = -1;
    let alike = 0;
    for (let i = 0; i < queue.length; i++) {
      const waiting = queue.at(i);
      if (!waiting.isExcess || waiting.kind !== arriving.kind || waiting.endpoint !== arriving.endpoint) {
        continue;
      }
      alike++;
      if (oldest < 0 && folds(arriving, waiting)) oldest = i;
    }
    if (alike < MAX_UNFOLDED_EVENTS || oldest < 0) return;
    this.#noteLost(arriving.prio);
    this.#letGo(queue.take(oldest));
  }

  #letGo(event: TransferEvent): void {
    assert(this.#count > 0, "an event that is dropped has waited");
    this.#count--;
    this.#noteBytes(-event.bodyBytes);
    event.release();
  }

  #noteBytes(change: number): void {
    if (change === 0) return;
    this.#bytes += change;
    assert(this.#bytes >= 0, "an event's bytes are taken off once");
    this.#account.noteEventBytes(change);
  }

  /** What an event takes back must not arrive after it: it waits among the urgent ones, in front. */
  #letGoFirst(event: TransferEvent): void {
    for (let prio = 0; prio < PRIO.URGENT; prio++) {
      const queue = this.#queues[prio] as EventRing;
      for (let i = 0; i < queue.length;) {
        if (takesBack(event, queue.at(i))) (this.#queues[PRIO.URGENT] as EventRing).push(queue.take(i));
        else i++;
      }
    }
  }

  /**
   * Sends what the socket takes.
   *
   * @param fd the socket
   * @param batch shared scratch
   * @throws {OsError} what is wrong with this socket alone: too many descriptors on their way, no memory for
   *   it
   */
  flush(fd: number, batch: SendBatch): Flushed {
    while (this.#count > 0 || this.#lost > 0) {
      if (this.#lost > 0) this.#pushOverrun();
      if (this.#count === 1) {
        const single = this.#flushSingle(fd, batch);
        if (single !== null) return single;
      }
      let staged: number;
      let sent: number;
      try {
        staged = this.#stage(batch);
        sent = batch.send(fd);
      } finally {
        this.#closeFresh();
      }
      this.#drop(sent);
      if (batch.closed) return "closed";
      if (sent < staged) return "would-block";
    }
    return "empty";
  }

  /**
   * One plain frame is the usual case, and a plain send is cheaper than a batch of one. Null: it is not
   * plain.
   */
  #flushSingle(fd: number, batch: SendBatch): Flushed | null {
    let event: TransferEvent | null = null;
    for (let prio = PRIO_COUNT - 1; event === null; prio--) {
      const queue = this.#queues[prio] as EventRing;
      if (queue.length > 0) event = queue.at(0);
    }
    if (event.fds.length > 0) return null;
    const length = encodeFrame(event, (this.#seq + 1) >>> 0, batch.view, batch.bytes, 0);
    const sent = sendOne(fd, batch.bytes, 0, length);
    if (sent < 0) return isPeerGone(sent) ? "closed" : "would-block";
    this.#drop(1);
    return "empty";
  }

  /** Releases everything. */
  clear(): void {
    for (const queue of this.#queues) {
      while (queue.length > 0) this.#letGo(queue.shift());
    }
  }

  /** Encodes the next frames into the batch, highest priority first, without taking them out. */
  #stage(batch: SendBatch): number {
    batch.begin();
    let seq = this.#seq;
    let staged = 0;
    for (let prio = PRIO_COUNT - 1; prio >= 0; prio--) {
      const queue = this.#queues[prio] as EventRing;
      for (let i = 0; i < queue.length && staged < SEND_BATCH; i++) {
        const event = queue.at(i);
        seq = (seq + 1) >>> 0;
        const length = encodeFrame(event, seq, batch.view, batch.bytes, batch.offset(staged));
        if (event.fds.length > 0) this.#appendWithFds(batch, length, event);
        else batch.append(length);
        if (event.kind === KIND.OVERRUN) seq = (seq + (event.words[0] as number)) >>> 0;
        staged++;
      }
    }
    return staged;
  }

  /**
   * File descriptors of a MEMCTX travel as fresh read-only openings, so that no two holders share a file
   * position or a lock.
   */
  #appendWithFds(batch: SendBatch, length: number, event: TransferEvent): void {
    if (event.kind !== KIND.MEMCTX) return batch.append(length, event.fds);
    const first = this.#fresh.length;
    try {
      for (const fd of event.fds) this.#fresh.push(reopen(fd, OPEN.READ_ONLY));
      batch.append(length, this.#fresh.slice(first).map((fd) => fd.fd));
    } catch (error) {
      if (!(error instanceof OsError)) throw error;
      // The inode may not be opened anew any more (its mode was taken away): the opening that we hold is
      // read-only all the same.
      batch.append(length, event.fds);
    }
  }

  /** A context that waits here behind its own end would be taken for a live one: it is not told at all. */
  #withdrawContext(endpoint: EndpointId): void {
    for (const queue of this.#queues) {
      for (let i = queue.length - 1; i >= 0; i--) {
        const event = queue.at(i);
        if (event.kind !== KIND.MEMCTX || event.endpoint !== endpoint) continue;
        this.#letGo(queue.take(i));
      }
    }
  }

  #closeFresh(): void {
    for (const fd of this.#fresh) fd.close();
    this.#fresh.length = 0;
  }

  #drop(sent: number): void {
    assert(sent <= this.#count, "no more frames were sent than waited");
    for (let prio = PRIO_COUNT - 1; prio >= 0 && sent > 0; prio--) {
      const queue = this.#queues[prio] as EventRing;
      while (sent > 0 && queue.length > 0) {
        const event = queue.shift();
        this.#seq = (this.#seq + 1) >>> 0;
        if (event.kind === KIND.OVERRUN) this.#seq = (this.#seq + (event.words[0] as number)) >>> 0;
        this.#letGo(event);
        sent--;
      }
    }
  }

  #pushOverrun(): void {
    const event = this.#pool.acquire();
    event.kind = KIND.OVERRUN;
    event.source = SOURCE.CORE;
    event.dir = DIR.UP;
    event.prio = defaultPrio(KIND.OVERRUN, true);
    event.endpoint = NO_ENDPOINT;
    event.words[OVERRUN.at.lost / 4] = this.#lost;
    event.words[OVERRUN.at.highestPrioLost / 4] = this.#highestLost;
    this.#lost = 0;
    this.#highestLost = PRIO.BULK;
    (this.#queues[PRIO.URGENT] as EventRing).unshift(event);
    this.#count++;
  }

  /**
   * Makes room for an arriving event. False: there is none, and it is the one that is lost (or the queue has
   * overflowed).
   */
  #makeRoom(arriving: TransferEvent): boolean {
    for (let prio = 0; prio < PRIO.URGENT && prio <= arriving.prio; prio++) {
      const queue = this.#queues[prio] as EventRing;
      const victim = takeOldestUnaddressed(queue, false);
      if (victim === null) continue;
      this.#noteLost(victim.prio);
      this.#letGo(victim);
      return true;
    }
    if (arriving.origin !== 0 && arriving.prio < PRIO.URGENT) return true;
    if (arriving.prio >= PRIO.URGENT) {
      // Answers do not give way either: what remains to be bounded is how many urgent ones stand beside them.
      if ((this.#queues[PRIO.URGENT] as EventRing).length < this.#capacity) return true;
      this.overflowed = true;
    } else this.#noteLost(arriving.prio);
    return false;
  }

  /**
   * Makes room for an arriving body. False: there is none, and its event is the one that is lost. Answers and
   * urgent events have none to speak of.
   */
  #makeByteRoom(arriving: TransferEvent): boolean {
    const { bodyBytes, prio } = arriving;
    while (this.#bytes + bodyBytes > MAX_QUEUE_BYTES || !this.#account.hasRoomFor(bodyBytes)) {
      let victim: TransferEvent | null = null;
      for (let each = 0; victim === null && each < PRIO.URGENT && each <= prio; each++) {
        victim = takeOldestUnaddressed(this.#queues[each] as EventRing, true);
      }
      if (victim === null) {
        if (prio >= PRIO.URGENT || arriving.origin !== 0) return true;
        this.#noteLost(prio);
        return false;
      }
      this.#noteLost(victim.prio);
      this.#letGo(victim);
    }
    return true;
  }

  #noteLost(prio: PrioChoice): void {
    assert(prio !== PRIO_DEFAULT, "an event that is delivered has its priority");
    this.#lost++;
    if (prio > this.#highestLost) this.#highestLost = prio;
  }
}

function takeOldestUnaddressed(queue: EventRing, withBody: boolean): TransferEvent | null {
  for (let i = 0; i < queue.length; i++) {
    const event = queue.at(i);
    if (event.origin === 0 && (!withBody || event.bodyBytes > 0)) return queue.take(i);
  }
  return null;
}
