import type { ControlId, EndpointId } from "../../../src/base/ids.ts";
import { assert, assertEquals } from "@std/assert";
import { DROP, type LanePolicy, PASS_THROUGH } from "../../../src/context/policy.ts";
import { SUBMIT, TransferContext } from "../../../src/context/transfer_context.ts";
import { DIR } from "../../../src/event/defaults.ts";
import { FRAME_INFO } from "../../../src/event/body_layout.ts";
import { KIND, type Kind } from "../../../src/event/kind.ts";
import { PRIO, type Prio } from "../../../src/event/priority.ts";
import { SOURCE, type Source } from "../../../src/event/source.ts";
import { EventPool, type TransferEvent } from "../../../src/event/transfer_event.ts";
import { type SeededRandom, withSeed } from "../../fixtures/seeded_random.ts";
import { ContextModel } from "./context_model.ts";

const OUTCOMES = ["queued", "coalesced", "dropped", "blocked"];

class Rig {
  readonly pool = new EventPool();
  readonly dropped: number[] = [];
  readonly room: number[] = [];
  readonly context = new TransferContext({
    onDrop: (event) => this.dropped.push(event.corr),
    onRoom: (_dir, source) => this.room.push(source),
  });

  event(source: number, kind: number, prio: number, id: number, endpoint = 0): TransferEvent {
    const event = this.pool.acquire();
    event.source = source as Source;
    event.kind = kind as Kind;
    event.prio = prio as Prio;
    event.corr = id;
    event.endpoint = endpoint as EndpointId;
    return event;
  }

  submit(source: number, kind: number, prio: number, id: number, nowNs = 0, endpoint = 0): number {
    const event = this.event(source, kind, prio, id, endpoint);
    const outcome = this.context.submit(DIR.UP, event, nowNs);
    if (outcome === SUBMIT.BLOCKED) event.release();
    return outcome;
  }

  drain(nowNs = 0): number[] {
    const ids: number[] = [];
    for (let e = this.context.next(DIR.UP, nowNs); e !== null; e = this.context.next(DIR.UP, nowNs)) {
      ids.push(e.corr);
      e.release();
    }
    return ids;
  }
}

function policy(part: Partial<LanePolicy>): LanePolicy {
  return { ...PASS_THROUGH, ...part };
}

Deno.test("higher classes go first, within a class first in first out over all lanes", () => {
  const rig = new Rig();
  rig.submit(SOURCE.FRAME, KIND.FRAME_INFO, PRIO.BULK, 1);
  rig.submit(SOURCE.VMHOST, KIND.ACT_ACK, PRIO.NORMAL, 2);
  rig.submit(SOURCE.INPUT, KIND.ACT_ACK, PRIO.NORMAL, 3);
  rig.submit(SOURCE.VMHOST, KIND.SEAM_DOWN, PRIO.URGENT, 4);
  rig.submit(SOURCE.VMHOST, KIND.ACT_ACK, PRIO.NORMAL, 5);
  assertEquals(rig.drain(), [4, 2, 3, 5, 1]);
  assertEquals(rig.pool.live, 0);
});

Deno.test("an emitter that names no priority gets the policy's, or the kind's own", () => {
  const rig = new Rig();
  const given = rig.event(SOURCE.FRAME, KIND.CURSOR_STATE, -1, 1);
  rig.context.submit(DIR.UP, given, 0);
  assertEquals(given.prio, PRIO.BULK);
  rig.context.setPolicy(SOURCE.FRAME, DIR.UP, policy({ prio: PRIO.HIGH }));
  const other = rig.event(SOURCE.FRAME, KIND.CURSOR_STATE, -1, 2);
  rig.context.submit(DIR.UP, other, 0);
  assertEquals(other.prio, PRIO.HIGH);
  rig.context.clear();
});

Deno.test("a min gap spaces a lane and tells the next deadline; other lanes go on", () => {
  const rig = new Rig();
  rig.context.setPolicy(SOURCE.FRAME, DIR.UP, policy({ minGapNs: 100 }));
  rig.submit(SOURCE.FRAME, KIND.CURSOR_STATE, PRIO.NORMAL, 1);
  rig.submit(SOURCE.FRAME, KIND.CURSOR_STATE, PRIO.NORMAL, 2);
  rig.submit(SOURCE.CORE, KIND.ROSTER, PRIO.NORMAL, 3);
  assertEquals(rig.drain(1000), [1, 3]);
  assertEquals(rig.context.deadline(DIR.UP), 1100);
  assertEquals(rig.drain(1099), []);
  assertEquals(rig.drain(1100), [2]);
  assertEquals(rig.context.deadline(DIR.UP), Infinity);
});

Deno.test("coalescing keeps the newest, counts the rest, and waits for its window", () => {
  const rig = new Rig();
  rig.context.setPolicy(SOURCE.FRAME, DIR.UP, policy({ coalesceNs: 50 }));
  rig.submit(SOURCE.FRAME, KIND.CURSOR_STATE, PRIO.BULK, 1, 0);
  assertEquals(rig.submit(SOURCE.FRAME, KIND.CURSOR_STATE, PRIO.BULK, 2, 10), SUBMIT.COALESCED);
  assertEquals(rig.submit(SOURCE.FRAME, KIND.CURSOR_STATE, PRIO.BULK, 3, 20), SUBMIT.COALESCED);
  // Another VM's cursor is another state.
  assertEquals(rig.submit(SOURCE.FRAME, KIND.CURSOR_STATE, PRIO.BULK, 4, 20, 7), SUBMIT.QUEUED);
  assertEquals(rig.context.next(DIR.UP, 49), null);
  const event = rig.context.next(DIR.UP, 50) as TransferEvent;
  assertEquals([event.corr, event.coalesced], [3, 2]);
  event.release();
  assertEquals(rig.drain(70), [4]);
  assertEquals(rig.pool.live, 0);
});

Deno.test("coalescing never reorders against another kind of the same source", () => {
  const rig = new Rig();
  rig.context.setPolicy(SOURCE.FRAME, DIR.UP, policy({ coalesceNs: 50 }));
  rig.submit(SOURCE.FRAME, KIND.CURSOR_STATE, PRIO.BULK, 1, 0);
  rig.submit(SOURCE.FRAME, KIND.FRAME_INFO, PRIO.BULK, 2, 1);
  assertEquals(rig.submit(SOURCE.FRAME, KIND.CURSOR_STATE, PRIO.BULK, 3, 2), SUBMIT.QUEUED);
  // The first run has ended: there is nothing left to wait for.
  assertEquals(rig.drain(2), [1, 2]);
  assertEquals(rig.drain(52), [3]);
});

Deno.test("frame news is folded without a policy: what waits turns into the newest, at once and in its place", () => {
  const rig = new Rig();
  const frame = (id: number, endpoint = 0) =>
    rig.submit(SOURCE.FRAME, KIND.FRAME_INFO, PRIO.BULK, id, 1000, endpoint);
  assertEquals(frame(1), SUBMIT.QUEUED);
  assertEquals(frame(2, 7), SUBMIT.QUEUED);
  rig.submit(SOURCE.CORE, KIND.AUDIT, PRIO.BULK, 3);
  assertEquals(frame(4), SUBMIT.COALESCED);
  assertEquals(frame(5), SUBMIT.COALESCED);
  // Held back by nothing: it may be taken by a loop whose time is older than the event.
  assertEquals(rig.context.deadline(DIR.UP), 0);
  const first = rig.context.next(DIR.UP, 0) as TransferEvent;
  assertEquals([first.corr, first.seq, first.coalesced], [5, 1, 2]);
  // What was handed out is its holder's: a newer one is an event of its own.
  assertEquals(frame(6), SUBMIT.QUEUED);
  first.release();
  assertEquals(rig.drain(0), [2, 3, 6]);
  assertEquals(rig.pool.live, 0);
});

Deno.test("frame news of one head takes no place of another's", () => {
  const rig = new Rig();
  const frame = (id: number, head: number) => {
    const event = rig.event(SOURCE.FRAME, KIND.FRAME_INFO, PRIO.BULK, id);
    event.view.setUint16(FRAME_INFO.at.head, head, true);
    return rig.context.submit(DIR.UP, event, 0);
  };
  const { QUEUED, COALESCED } = SUBMIT;
  assertEquals([frame(1, 0), frame(2, 1), frame(3, 1), frame(4, 0)], [QUEUED, QUEUED, COALESCED, QUEUED]);
  assertEquals(rig.drain(), [1, 3, 4]);
  assertEquals(rig.pool.live, 0);
});

Deno.test("frame news is folded across nothing else of its lane, and nothing else is folded without a policy", () => {
  const rig = new Rig();
  const kinds = [KIND.FRAME_INFO, KIND.FRAME_INFO, KIND.CURSOR_STATE, KIND.CURSOR_STATE, KIND.FRAME_INFO];
  const outcomes = kinds.map((kind, i) => rig.submit(SOURCE.FRAME, kind, PRIO.BULK, i + 1));
  const { QUEUED, COALESCED } = SUBMIT;
  assertEquals(outcomes, [QUEUED, COALESCED, QUEUED, QUEUED, QUEUED]);
  // Another priority is another queue; an urgent one is delivered, each of them.
  assertEquals(rig.submit(SOURCE.FRAME, KIND.FRAME_INFO, PRIO.HIGH, 6), QUEUED);
  assertEquals(rig.submit(SOURCE.FRAME, KIND.FRAME_INFO, PRIO.URGENT, 7), QUEUED);
  assertEquals(rig.submit(SOURCE.FRAME, KIND.FRAME_INFO, PRIO.URGENT, 8), QUEUED);
  assertEquals(rig.drain(), [7, 8, 6, 2, 3, 4, 5]);
  assertEquals(rig.pool.live, 0);
});

Deno.test("a paced lane gives the newest frame at each gap, and neither drops nor blocks the news in between", () => {
  const rig = new Rig();
  const { DROPPED, BLOCKED } = SUBMIT;
  for (const drop of Object.values(DROP)) {
    rig.context.setPolicy(SOURCE.FRAME, DIR.UP, policy({ minGapNs: 100, maxInflight: 1, drop }));
    const from = 1000 * (1 + drop);
    rig.submit(SOURCE.FRAME, KIND.FRAME_INFO, PRIO.BULK, 1, from);
    assertEquals(rig.drain(from), [1]);
    const outcomes = [2, 3, 4].map((id) => rig.submit(SOURCE.FRAME, KIND.FRAME_INFO, PRIO.BULK, id, from));
    assert(outcomes.every((outcome) => outcome !== DROPPED && outcome !== BLOCKED), `${outcomes}`);
    assertEquals(rig.drain(from + 99), []);
    assertEquals(rig.drain(from + 100), [4]);
  }
  assertEquals(rig.pool.live, 0);
});

Deno.test("a full lane drops its oldest of the lowest class, or the arriving one, but never an urgent one", () => {
  const rig = new Rig();
  rig.context.setPolicy(SOURCE.FRAME, DIR.UP, policy({ maxInflight: 2, drop: DROP.OLDEST }));
  rig.submit(SOURCE.FRAME, KIND.FRAME_INFO, PRIO.NORMAL, 1);
  rig.submit(SOURCE.FRAME, KIND.FRAME_INFO, PRIO.BULK, 2);
  rig.submit(SOURCE.FRAME, KIND.FRAME_INFO, PRIO.NORMAL, 3);
  assertEquals(rig.dropped, [2]);
  assertEquals(rig.submit(SOURCE.FRAME, KIND.FRAME_INFO, PRIO.BULK, 4), SUBMIT.DROPPED);
  assertEquals(rig.submit(SOURCE.FRAME, KIND.ERROR, PRIO.URGENT, 5), SUBMIT.QUEUED);
  assertEquals(rig.drain(), [5, 1, 3]);
  rig.context.setPolicy(SOURCE.FRAME, DIR.UP, policy({ maxInflight: 1, drop: DROP.NEWEST }));
  rig.submit(SOURCE.FRAME, KIND.FRAME_INFO, PRIO.BULK, 6);
  assertEquals(rig.submit(SOURCE.FRAME, KIND.FRAME_INFO, PRIO.HIGH, 7), SUBMIT.DROPPED);
  assertEquals(rig.drain(), [6]);
  assertEquals(rig.dropped, [2, 4, 7]);
  assertEquals(rig.pool.live, 0);
});

Deno.test("block leaves the event with its submitter, never waits, and says when there is room", () => {
  const rig = new Rig();
  rig.context.setPolicy(SOURCE.INPUT, DIR.UP, policy({ maxInflight: 1, drop: DROP.BLOCK }));
  assertEquals(rig.submit(SOURCE.INPUT, KIND.ACT_ACK, PRIO.NORMAL, 1), SUBMIT.QUEUED);
  const refused = rig.event(SOURCE.INPUT, KIND.ACT_ACK, PRIO.NORMAL, 2);
  assertEquals(rig.context.submit(DIR.UP, refused, 0), SUBMIT.BLOCKED);
  assertEquals(refused.references, 1);
  assertEquals(rig.submit(SOURCE.INPUT, KIND.ERROR, PRIO.URGENT, 3), SUBMIT.QUEUED);
  assertEquals(rig.room, []);
  const first = rig.context.next(DIR.UP, 0) as TransferEvent;
  assertEquals(first.corr, 3);
  first.release();
  assertEquals(rig.room, []);
  assertEquals(rig.drain(), [1]);
  assertEquals(rig.room, [SOURCE.INPUT]);
  assertEquals(rig.context.submit(DIR.UP, refused, 0), SUBMIT.QUEUED);
  assertEquals(rig.drain(), [2]);
});

Deno.test("extract takes out what is picked and clear releases the rest", () => {
  const rig = new Rig();
  for (let id = 1; id <= 6; id++) {
    rig.submit(SOURCE.VMHOST, KIND.ACT_ACK, id % 2 === 0 ? PRIO.HIGH : PRIO.NORMAL, id, 0, id % 3);
  }
  const taken: number[] = [];
  rig.context.extract(DIR.UP, (event) => event.endpoint === 0, (event) => {
    taken.push(event.corr);
    event.release();
  });
  assertEquals(taken, [3, 6]);
  assertEquals(rig.context.waiting(DIR.UP), 4);
  rig.context.clear();
  assertEquals(rig.context.waiting(DIR.UP), 0);
  assertEquals(rig.pool.live, 0);
});

Deno.test("a payload is released exactly once: on delivery, drop, coalescing and shutdown", () => {
  const rig = new Rig();
  const released: number[] = [];
  const owner = { releasePayload: (event: TransferEvent) => released.push(...event.fds) };
  rig.context.setPolicy(SOURCE.FRAME, DIR.UP, policy({ coalesceNs: 50, maxInflight: 2 }));
  const give = (kind: number, fd: number) => {
    const event = rig.event(SOURCE.FRAME, kind, PRIO.BULK, fd);
    event.own([fd], owner);
    rig.context.submit(DIR.UP, event, 0);
  };
  give(KIND.CURSOR_STATE, 1);
  give(KIND.CURSOR_STATE, 2); // takes the place of 1
  assertEquals(released, [1]);
  give(KIND.FRAME_INFO, 3);
  give(KIND.CURSOR_STATE, 4); // full: 2 is the oldest
  assertEquals(released, [1, 2]);
  assertEquals(rig.drain(0), [3]);
  assertEquals(released, [1, 2, 3]);
  rig.context.clear();
  assertEquals(released, [1, 2, 3, 4]);
  assertEquals(rig.pool.live, 0);
});

Deno.test("random operations agree with the plain model", () => {
  for (let round = 0; round < 60; round++) withSeed(agreesWithModel);
});

function randomPolicy(random: SeededRandom): LanePolicy {
  return policy({
    minGapNs: random.oneIn(3) ? random.below(50) : 0,
    coalesceNs: random.oneIn(2) ? random.below(80) : 0,
    maxInflight: random.oneIn(2) ? 1 + random.below(6) : 0,
    drop: random.below(3) as LanePolicy["drop"],
  });
}

function agreesWithModel(random: SeededRandom): void {
  const rig = new Rig();
  const model = new ContextModel();
  const kinds = [KIND.CURSOR_STATE, KIND.FRAME_INFO, KIND.ACT_ACK];
  for (const source of [1, 2, 3]) {
    const lane = randomPolicy(random);
    rig.context.setPolicy(source as Source, DIR.UP, lane);
    model.policies.set(source, lane);
  }
  let nowNs = 1;
  for (let id = 1; id <= 400; id++) {
    nowNs += random.below(20);
    if (random.below(5) < 3) {
      const event = rig.event(
        1 + random.below(3),
        kinds[random.below(3)] as number,
        random.below(4),
        id,
        random.below(3),
      );
      event.origin = (random.oneIn(6) ? 1 : 0) as ControlId;
      event.ticket = random.oneIn(8) ? id : 0;
      const { source, kind, endpoint, prio, origin, ticket } = event;
      const expected = model.submit({ id, source, kind, endpoint, prio, origin, ticket }, nowNs);
      const outcome = rig.context.submit(DIR.UP, event, nowNs);
      if (outcome === SUBMIT.BLOCKED) event.release();
      assertEquals(OUTCOMES[outcome], expected, `submit ${id}`);
    } else {
      const expected = model.next(nowNs);
      const event = rig.context.next(DIR.UP, nowNs);
      assertEquals(event?.corr ?? null, expected?.id ?? null, `next at ${nowNs}`);
      assertEquals(event?.coalesced ?? 0, expected?.folded ?? 0);
      event?.release();
    }
    assertEquals(rig.context.waiting(DIR.UP), model.waiting.length);
    assertEquals(rig.dropped, model.dropped);
    assertEquals(rig.context.deadline(DIR.UP), model.deadline(), `deadline after ${id}`);
  }
  const { submitted, delivered, coalesced, dropped } = rig.context.counters;
  assert(submitted >= delivered + coalesced);
  assertEquals(dropped, model.dropped.length);
  rig.context.clear();
  assertEquals(rig.pool.live, 0);
}

Deno.test("an answer is never folded, held back, dropped or blocked, whatever the lane's policy", () => {
  const rig = new Rig();
  const answer = (id: number) => {
    const event = rig.event(SOURCE.INPUT, KIND.ACT_ACK, PRIO.NORMAL, id);
    event.origin = 7 as ControlId;
    return rig.context.submit(DIR.UP, event, 0);
  };
  for (const drop of Object.values(DROP)) {
    rig.context.setPolicy(SOURCE.INPUT, DIR.UP, policy({ coalesceNs: 50, maxInflight: 2, drop }));
    assertEquals([1, 2, 3, 4].map(answer), [SUBMIT.QUEUED, SUBMIT.QUEUED, SUBMIT.QUEUED, SUBMIT.QUEUED]);
    // Answers alone fill the lane: what comes for everybody finds nothing that may give way to it.
    const broadcast = rig.submit(SOURCE.INPUT, KIND.SEAM_UP, PRIO.NORMAL, 5);
    assertEquals(broadcast, drop === DROP.BLOCK ? SUBMIT.BLOCKED : SUBMIT.DROPPED);
    assertEquals(rig.drain(), [1, 2, 3, 4]);
  }
  rig.context.setPolicy(SOURCE.INPUT, DIR.UP, policy({ maxInflight: 3 }));
  answer(6);
  rig.submit(SOURCE.INPUT, KIND.SEAM_UP, PRIO.NORMAL, 7);
  answer(8);
  rig.submit(SOURCE.INPUT, KIND.SEAM_UP, PRIO.NORMAL, 9); // 7 gives way, from between two answers
  assertEquals(rig.drain(), [6, 8, 9]);
  assertEquals(rig.pool.live, 0);
});
