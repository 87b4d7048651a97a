import type { Prio } from "../../../src/event/priority.ts";
import type { Code } from "../../../src/base/codes.ts";
import type { ControlId, EndpointId } from "../../../src/base/ids.ts";
import { assert, assertEquals } from "@std/assert";
import { ReceiveBatch, SendBatch } from "../../../ffi/datagram.ts";
import { setReceiveBufferBytes, setSendBufferBytes, SOCKET, socketPair } from "../../../ffi/unix_socket.ts";
import { SOURCE, type Source } from "../../../src/event/source.ts";
import { SendQueue } from "../../../src/controls/socket/send_queue.ts";
import { MAX_PRINCIPAL_EVENT_BYTES, MAX_QUEUE_BYTES } from "../../../src/base/limits.ts";
import { SECOND } from "../../../src/base/clock.ts";
import { MemoryAccount } from "../../../src/core/memory_account.ts";
import { VM_STATE_NUMBER } from "../../../src/event/body_number.ts";
import { folds, mayFold } from "../../../src/event/folding.ts";
import { EventPool, type TransferEvent } from "../../../src/event/transfer_event.ts";
import { KIND, type Kind } from "../../../src/event/kind.ts";
import { type SeededRandom, withSeed } from "../../fixtures/seeded_random.ts";
import { type ParsedFrame, parseFrame } from "./raw_frame.ts";
import type { FakeAdapter } from "../core/fake_adapter.ts";
import { type RawClient, withRig } from "./socket_rig.ts";

const OVERRUN = 99;
const CURSOR = 37;
const ACT_ACK = 48;
const CMD_VM = 70;

/** Each frame's seq is one more than the last, but after an OVERRUN, which says how many are missing. */
function assertSeqs(frames: readonly ParsedFrame[], first = 0): void {
  let expected = first;
  for (const frame of frames) {
    assertEquals(frame.seq, expected, `seq of kind ${frame.kind}`);
    expected = frame.seq + 1;
    if (frame.kind === OVERRUN) expected += frame.words[0]!;
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0);
}

Deno.test("a control that stops reading loses the lowest priority, oldest first, is told how many first of all, and nobody else notices", () => {
  withRig((rig) => {
    const [host, frame] = rig.attach(0, SOURCE.VMHOST, SOURCE.FRAME);
    const slow = rig.join();
    const brisk = rig.join();
    const emit = (adapter: typeof host, kind: number, n: number) => {
      const event = adapter!.at.event(kind as Kind);
      event.words[0] = n;
      adapter!.at.emit(event);
    };
    let urgents = 0;
    for (let n = 1; n <= 1500; n++) {
      emit(frame, CURSOR, n);
      if (n % 20 === 0) emit(host, 1, n); // SEAM_UP, NORMAL
      if (n % 50 === 0) emit(host, 3, ++urgents); // ERROR, URGENT
      rig.turn(1);
      const fresh = brisk.read();
      assertEquals(
        fresh.map((f) => f.kind).sort(),
        [CURSOR, ...n % 20 === 0 ? [1] : [], ...n % 50 === 0 ? [3] : []].sort(),
      );
    }
    assertSeqs(brisk.frames);
    const inSocket = slow.read().length;
    rig.turn(40);
    for (let i = 0; i < 100; i++) {
      slow.read();
      rig.turn(2);
    }
    assertSeqs(slow.frames);
    // What the kernel's buffer had not taken starts with the OVERRUN.
    assertEquals(slow.frames[1 + inSocket]?.kind, OVERRUN);
    const lost = slow.of(OVERRUN);
    assertEquals(lost.map((f) => f.prio), lost.map(() => 3));
    assertEquals(
      slow.of(3).map((f) => f.words[0]),
      Array.from({ length: urgents }, (_, i) => i + 1),
      "no urgent one is lost",
    );
    assertEquals(slow.of(1).length, 75, "higher ones stay while lower ones can go");
    const cursors = slow.of(CURSOR).map((f) => f.words[0]!);
    assertEquals(sum(lost.map((f) => f.words[0]!)), 1500 - cursors.length);
    assertEquals(sum(lost.map((f) => f.words[1]!)), 0, "only BULK was lost");
    assertEquals(cursors.at(-1), 1500, "the newest are kept");
    assertEquals(cursors, [...cursors].sort((a, b) => a - b));
  }, { queueEvents: 256 });
});

Deno.test("a control that does not read is not read either; none of its answers is lost", () => {
  withRig((rig) => {
    const [host, frame] = rig.attach(0, SOURCE.VMHOST, SOURCE.FRAME);
    const slow = rig.join();
    let sent = 0;
    for (let i = 0; i < 3000; i++) {
      frame!.at.emit(frame!.at.event(CURSOR));
      if (trySend(slow, sent + 1)) sent++;
      rig.turn(1);
    }
    assert(sent > 200 && sent < 3000, `the sender was held back after ${sent}`);
    assert(host!.commands.length <= sent);
    for (let i = 0; i < 300; i++) {
      slow.read();
      rig.turn(2);
    }
    assertEquals(host!.commands.length, sent, "in the end all are carried out");
    assertEquals(slow.of(ACT_ACK).map((f) => f.corr), Array.from({ length: sent }, (_, i) => i + 1));
    assertSeqs(slow.frames);
    assert(slow.of(OVERRUN).length > 0);
  }, { queueEvents: 64 });
});

function trySend(client: RawClient, corr: number): boolean {
  const bytes = new Uint8Array(96);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0x31475356, true);
  view.setUint16(4, CMD_VM, true);
  view.setUint8(7, 1);
  view.setUint8(8, 1);
  view.setUint32(20, corr, true);
  view.setUint32(48, 1, true);
  return client.sendBytes(bytes) > 0;
}

Deno.test("a control whose queue fills with urgent events alone is closed", () => {
  withRig((rig) => {
    const [host] = rig.attach(0, SOURCE.VMHOST);
    const slow = rig.join();
    const brisk = rig.join();
    let n = 0;
    for (; rig.core.fanOut.controls.size === 2 && n < 5000; n++) {
      host!.at.emitError(1, n, "urgent");
      rig.turn(1);
      brisk.read();
    }
    assert(n > 16 && n < 5000, `closed after ${n}`);
    rig.turn();
    slow.read();
    assert(slow.ended);
    assertEquals(brisk.of(3).map((f) => f.words[1]), Array.from({ length: n }, (_, i) => i));
    assert(!brisk.ended);
  }, { queueEvents: 16 });
});

Deno.test("a flood of one endpoint's states closes nobody: who does not read gets the newest, and is told how many it did not", () => {
  withRig((rig) => {
    const [host] = rig.attach(0, SOURCE.VMHOST);
    const slow = rig.join();
    const brisk = rig.join();
    const { RUNNING, PAUSED, RESET } = VM_STATE_NUMBER;
    let n = 0;
    // A minute and more of it: ten times a second the newest of each is told.
    for (let round = 0; round < 1000; round++) {
      for (let i = 0; i < 51; i++) {
        const event = host!.at.event(KIND.VM_LIFECYCLE);
        event.words[0] = [RESET, PAUSED, RUNNING][n % 3]!;
        event.words[1] = n++;
        host!.at.emit(event);
      }
      rig.clock.advance(SECOND / 10);
      rig.turn(1);
      brisk.read();
    }
    rig.clock.advance(SECOND / 10);
    rig.turn(2);
    brisk.read();
    assertEquals(
      brisk.of(KIND.VM_LIFECYCLE).slice(0, 320).map((f) => f.words[1]),
      Array.from({ length: 320 }, (_, i) => i),
    );
    assertEquals(brisk.of(KIND.VM_LIFECYCLE).at(-1)!.words[1], n - 1);
    assertEquals(brisk.of(OVERRUN).length, 0, "who reads sees all that is told");
    for (let i = 0; i < 100; i++) {
      slow.read();
      rig.turn(2);
    }
    assert(!slow.ended);
    assertSeqs(slow.frames);
    const states = slow.of(KIND.VM_LIFECYCLE);
    assertEquals(states.at(-1)!.words[1], n - 1);
    assertEquals(states.map((f) => f.words[1]), states.map((f) => f.words[1]!).sort((x, y) => x - y));
    const lost = sum(slow.of(OVERRUN).map((f) => f.words[0]!));
    assertEquals(states.length + lost, brisk.of(KIND.VM_LIFECYCLE).length);
    assertEquals(new Set(slow.of(OVERRUN).map((f) => f.words[1])), new Set([3]));
    assert(states.length < 800, `${states.length}`);
  }, { queueEvents: 1024 });
});

Deno.test("a turn that brings more urgent events than the queue holds costs no reader its place", () => {
  withRig((rig) => {
    for (let id = 0; id < 40; id++) rig.attach(id, SOURCE.VMHOST);
    const reader = rig.join();
    reader.read();
    for (const slot of rig.core.endpoints()) {
      const { at } = slot.adapters[SOURCE.VMHOST] as FakeAdapter;
      for (let i = 0; i < 6; i++) at.emitError(i as Code, 0, "urgent");
    }
    rig.turn();
    for (let i = 0; i < 10; i++) {
      reader.read();
      rig.turn();
    }
    assert(!reader.ended);
    assertEquals(reader.of(3).length, 240);
  }, { queueEvents: 64 });
});

Deno.test("what folds and what does not", () => {
  const pool = new EventPool();
  const of = (
    kind: number,
    words: number[] = [],
    part: { endpoint?: number; source?: number; origin?: number } = {},
  ) => {
    const event = pool.acquire();
    event.kind = kind as Kind;
    words.forEach((word, i) => (event.words[i] = word));
    Object.assign(event, { endpoint: 1, source: 5, origin: 0, ...part });
    return event;
  };
  const { VM_LIFECYCLE, ERROR, SEAM_DOWN, MEMCTX_INVALIDATED, LEASE_REVOKED, ACT_ACK } = KIND;
  const { RUNNING, PAUSED, RESET, POWERDOWN, CRASHED } = VM_STATE_NUMBER;
  const cases: [later: TransferEvent, earlier: TransferEvent, folds: boolean][] = [
    [of(VM_LIFECYCLE, [RUNNING]), of(VM_LIFECYCLE, [CRASHED]), true],
    [of(VM_LIFECYCLE, [RESET]), of(VM_LIFECYCLE, [RESET]), true],
    [of(VM_LIFECYCLE, [RUNNING]), of(VM_LIFECYCLE, [RESET]), false],
    [of(VM_LIFECYCLE, [RESET]), of(VM_LIFECYCLE, [PAUSED]), false],
    [of(VM_LIFECYCLE, [RESET]), of(VM_LIFECYCLE, [POWERDOWN]), false],
    [of(VM_LIFECYCLE, [RUNNING]), of(VM_LIFECYCLE, [PAUSED], { endpoint: 2 }), false],
    [of(VM_LIFECYCLE, [RUNNING]), of(VM_LIFECYCLE, [PAUSED], { origin: 7 }), false],
    [of(VM_LIFECYCLE, [RUNNING], { origin: 7 }), of(VM_LIFECYCLE, [PAUSED]), false],
    [of(ERROR, [6, 1]), of(ERROR, [6, 2]), true],
    [of(ERROR, [6]), of(ERROR, [7]), false],
    [of(ERROR, [6]), of(ERROR, [6], { source: 2 }), false],
    [of(SEAM_DOWN), of(SEAM_DOWN), false],
    [of(MEMCTX_INVALIDATED, [2]), of(MEMCTX_INVALIDATED, [1]), false],
    [of(LEASE_REVOKED), of(LEASE_REVOKED), false],
    [of(ACT_ACK), of(ACT_ACK), false],
  ];
  for (const [later, earlier, expected] of cases) {
    assertEquals(mayFold(later) && folds(later, earlier), expected, `${later.kind} after ${earlier.kind}`);
    later.release();
    earlier.release();
  }
});

Deno.test("bodies are bounded in bytes: of one queue, and of all queues of one principal", () => {
  const pool = new EventPool();
  const account = new MemoryAccount();
  const queues = Array.from({ length: 6 }, () => new SendQueue(100_000, pool));
  for (const queue of queues) queue.chargeTo(account);
  const body = new Uint8Array(65_536);
  const event = pool.acquire();
  event.kind = KIND.AUDIT;
  event.prio = 0;
  event.setBody(1, body);
  for (let i = 0; i < 1000; i++) queues[0]!.push(event);
  assertEquals(queues[0]!.bytes, MAX_QUEUE_BYTES);
  assertEquals(queues[0]!.lost, 1000 - MAX_QUEUE_BYTES / 65_536);
  for (const queue of queues) for (let i = 0; i < 1000; i++) queue.push(event);
  assertEquals(account.eventBytes, MAX_PRINCIPAL_EVENT_BYTES);
  // An event without a body finds room all the same.
  const small = pool.acquire();
  small.kind = KIND.ROSTER;
  small.prio = 1;
  const { count } = queues[5]!;
  queues[5]!.push(small);
  assertEquals(queues[5]!.count, count + 1);
  small.release();
  event.release();
  for (const queue of queues) queue.clear();
  assertEquals([account.eventBytes, pool.live], [0, 0]);
});

Deno.test("a queue with answers in it is bounded against urgent events too", () => {
  const pool = new EventPool();
  const queue = new SendQueue(8, pool);
  const push = (kind: number, prio: number, origin: number) => {
    const event = pool.acquire();
    event.kind = kind as Kind;
    event.prio = prio as Prio;
    event.origin = origin as ControlId;
    queue.push(event);
    event.release();
  };
  push(KIND.ACT_ACK, 1, 5);
  for (let i = 0; i < 100 && !queue.overflowed; i++) push(KIND.ERROR, 3, 0);
  assert(queue.overflowed);
  assertEquals(queue.count, 9);
  queue.clear();
  assertEquals(pool.live, 0);
});

Deno.test("what is taken back does not arrive after what takes it back", () => {
  const pool = new EventPool();
  const queue = new SendQueue(64, pool);
  const push = (
    kind: number,
    prio: number,
    fields: { origin?: number; source?: number; endpoint?: number; cls?: number } = {},
  ) => {
    const event = pool.acquire();
    event.kind = kind as Kind;
    event.prio = prio as Prio;
    event.origin = (fields.origin ?? 0) as ControlId;
    event.source = (fields.source ?? 5) as Source;
    event.endpoint = (fields.endpoint ?? 1) as EndpointId;
    event.words[0] = fields.cls ?? 0;
    queue.push(event);
    event.release();
  };
  push(KIND.SEAM_UP, 1, { source: 5 });
  push(KIND.SEAM_UP, 1, { source: 2 });
  push(KIND.SEAM_UP, 1, { source: 5, endpoint: 2 });
  push(KIND.LEASE_GRANTED, 2, { origin: 9, cls: 0 });
  push(KIND.LEASE_GRANTED, 2, { origin: 9, cls: 1 });
  push(KIND.SEAM_DOWN, 3, { source: 5 });
  push(KIND.LEASE_REVOKED, 3, { origin: 9, cls: 1 });
  const [near, far] = socketPair(SOCKET.SEQPACKET);
  using batch = new SendBatch(64, 96 + 65_536, 8);
  using receive = new ReceiveBatch(64, 96 + 65_536, 8);
  assertEquals(queue.flush(near.fd, batch), "empty");
  const count = receive.receive(far.fd);
  const frames = Array.from(
    { length: count },
    (_, i) => parseFrame(receive.bytes.slice(receive.offset(i), receive.offset(i) + receive.length(i))),
  );
  assertEquals(frames.map((f) => [f.kind, f.endpoint, f.source, f.words[0]]), [
    [KIND.SEAM_UP, 1, 5, 0],
    [KIND.SEAM_DOWN, 1, 5, 0],
    [KIND.LEASE_GRANTED, 1, 5, 1],
    [KIND.LEASE_REVOKED, 1, 5, 1],
    [KIND.LEASE_GRANTED, 1, 5, 0],
    [KIND.SEAM_UP, 1, 2, 0],
    [KIND.SEAM_UP, 2, 5, 0],
  ]);
  assertSeqs(frames, 1);
  near.close();
  far.close();
  assertEquals(pool.live, 0);
});

Deno.test("the send queue agrees with a plain model, over a socket that is read now and then", () => {
  for (let round = 0; round < 15; round++) withSeed(agreesWithModel);
});

interface Item {
  readonly id: number;
  readonly prio: number;
  readonly isAnswer: boolean;
}

/** What waits, as plainly as it can be said. */
class QueueModel {
  readonly waiting: Item[] = [];
  lost: Item[] = [];
  readonly #capacity: number;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** False: it is to be closed. */
  push(item: Item): boolean {
    if (this.waiting.length >= this.#capacity) {
      const victims = this.waiting.filter((w) => w.prio < 3 && !w.isAnswer && w.prio <= item.prio);
      if (victims.length > 0) {
        const lowest = Math.min(...victims.map((w) => w.prio));
        const victim = victims.find((w) => w.prio === lowest)!;
        this.waiting.splice(this.waiting.indexOf(victim), 1);
        this.lost.push(victim);
      } else if (item.prio === 3) {
        if (this.waiting.filter((w) => w.prio === 3).length >= this.#capacity) return false;
      } else if (!item.isAnswer) {
        this.lost.push(item);
        return true;
      }
    }
    this.waiting.push(item);
    return true;
  }

  /** The next to be sent. */
  next(): Item | undefined {
    const highest = Math.max(...this.waiting.map((w) => w.prio));
    const item = this.waiting.find((w) => w.prio === highest);
    if (item !== undefined) this.waiting.splice(this.waiting.indexOf(item), 1);
    return item;
  }
}

function agreesWithModel(random: SeededRandom): void {
  const pool = new EventPool();
  const capacity = 1 + random.below(40);
  const queue = new SendQueue(capacity, pool);
  const model = new QueueModel(capacity);
  const [near, far] = socketPair(SOCKET.SEQPACKET);
  setSendBufferBytes(near.fd, 4608);
  setReceiveBufferBytes(far.fd, 4608);
  using batch = new SendBatch(64, 96 + 65_536, 8);
  using receive = new ReceiveBatch(64, 96 + 65_536, 8);
  const got: ParsedFrame[] = [];
  let isOpen = true;
  const read = () => {
    const count = receive.receive(far.fd);
    for (let i = 0; i < count; i++) {
      got.push(parseFrame(receive.bytes.slice(receive.offset(i), receive.offset(i) + receive.length(i))));
    }
    receive.closeFds();
  };
  const expected: number[] = [];
  for (let id = 1; id <= 600 && isOpen; id++) {
    const item = { id, prio: random.oneIn(12) ? 3 : random.below(3), isAnswer: random.oneIn(5) };
    // The core does not let a control have more answers than this.
    if (item.isAnswer && model.waiting.filter((w) => w.isAnswer).length > capacity) continue;
    const event = pool.acquire();
    event.kind = item.isAnswer ? KIND.ACT_ACK : KIND.ERROR;
    event.prio = item.prio as Prio;
    event.origin = (item.isAnswer ? 1 : 0) as ControlId;
    event.corr = id;
    queue.push(event);
    event.release();
    isOpen = model.push(item);
    assertEquals(queue.overflowed, !isOpen, `overflow at ${id}`);
    assertEquals(queue.count, model.waiting.length, `count at ${id}`);
    assertEquals(queue.lost, model.lost.length, `lost at ${id}`);
    if (!random.oneIn(3)) continue;
    const before = queue.count;
    const overruns = model.lost.length > 0 ? 1 : 0;
    // The OVERRUN stands in front of all; whether it goes now or with the next flush, it is one of those that
    // wait.
    if (overruns > 0) model.waiting.unshift({ id: -model.lost.length, prio: 3, isAnswer: false });
    model.lost = [];
    assert(queue.flush(near.fd, batch) !== "closed");
    for (let gone = before + overruns - queue.count; gone > 0; gone--) expected.push(model.next()!.id);
    if (random.oneIn(2)) read();
  }
  for (let i = 0; i < 50; i++) read();
  assertEquals(got.map((f) => f.kind === OVERRUN ? -f.words[0]! : f.corr), expected);
  assertSeqs(got, 1);
  queue.clear();
  near.close();
  far.close();
  assertEquals(pool.live, 0);
}
