/**
 * Admission against the protocol's sentence, said plainly: every kind, operation, capability set, mask, lease
 * and token, exhaustively or at random.
 */
import type { Prio } from "../../src/event/priority.ts";
import type { Kind } from "../../src/event/kind.ts";
import type { Source } from "../../src/event/source.ts";
import { assertEquals } from "@std/assert";
import { fullGrant, type Grant, maskOf } from "../../src/access/grant.ts";
import { LeaseTable } from "../../src/access/lease_table.ts";
import { PUBLISHABLE, UP_CAPS } from "../../src/access/requirement.ts";
import { judgeCommand } from "../../src/core/command_rule.ts";
import { ControlSlot } from "../../src/core/control_slot.ts";
import { subscriptionOf } from "../../src/access/subscription.ts";
import type { ControlId, EndpointId } from "../../src/base/ids.ts";
import type { LeaseClass } from "../../src/event/body_number.ts";
import { EventPool } from "../../src/event/transfer_event.ts";
import { CAPABILITIES, DOWN, EVERY_CAPABILITY, needOf, UP_NEEDS } from "../fixtures/protocol_page.ts";
import { withSeed } from "../fixtures/seeded_random.ts";

const CAPS: readonly number[] = Object.values(CAPABILITIES);

interface Situation {
  readonly kind: number;
  readonly word: number;
  readonly caps: number;
  readonly inMask: boolean;
  readonly attached: boolean;
  /** Who holds the lease: nobody, the sender, another, or a handover is under way. */
  readonly lease: "free" | "own" | "other" | "handover";
  readonly token: "none" | "right" | "wrong";
}

function expected(s: Situation): number {
  const need = needOf(s.kind, s.word);
  if (need.caps !== undefined && (need.caps & s.caps) === 0) return 1;
  if (!s.inMask) return 2;
  if (need.caps === undefined) return 7;
  if (!s.attached) return 5;
  if (need.cls < 0) return 0;
  if (s.lease === "own") return s.token === "wrong" ? 4 : 0;
  return s.token === "none" ? 3 : 4;
}

const pool = new EventPool();
const ME = 5;
const OTHER = 6;

function actual(s: Situation, endpoint: number): [code: number, token: number, mine: number] {
  const leases = new LeaseTable();
  const grant: Grant = {
    ...fullGrant(1),
    caps: s.caps,
    endpoints: s.inMask ? maskOf([endpoint]) : maskOf([endpoint ^ 1]),
  };
  const cls = Math.max(0, needOf(s.kind, s.word).cls) as LeaseClass;
  // Other slots are somebody's, too: they must not matter.
  for (const c of [0, 1, 2, 3, 4] as const) {
    leases.acquire(
      (endpoint ^ 3) as EndpointId,
      c,
      { party: { id: ME as ControlId, grant }, corr: 0, ttlMs: 0 },
      0,
    );
  }
  if (s.lease !== "free") {
    const id = s.lease === "other" ? OTHER : ME;
    leases.acquire(
      endpoint as EndpointId,
      cls,
      { party: { id: id as ControlId, grant }, corr: 0, ttlMs: 0 },
      0,
    );
    if (s.lease === "handover") leases.release(endpoint as EndpointId, cls, ME as ControlId);
  }
  // One of each class went to the other endpoint before.
  const mine = 6;
  const command = pool.acquire();
  command.kind = s.kind as Kind;
  command.words[0] = s.word;
  command.endpoint = endpoint as EndpointId;
  command.token = s.token === "none" ? 0 : s.token === "right" ? mine : 1;
  const code = judgeCommand(command, ME as ControlId, grant, s.attached, leases);
  const { token } = command;
  command.release();
  return [code, token, mine];
}

function check(s: Situation, endpoint: number): void {
  const [code, token, mine] = actual(s, endpoint);
  assertEquals(code, expected(s), JSON.stringify({ ...s, endpoint }));
  // A command that goes through under a lease carries its token from then on.
  if (code === 0 && needOf(s.kind, s.word).cls >= 0) assertEquals(token, mine);
}

/** What travels down and is judged: a HELLO and a barrier are not. */
const COMMANDS = DOWN.filter((kind) => kind !== 112);
const LEASES = ["free", "own", "other", "handover"] as const;
const TOKENS = ["none", "right", "wrong"] as const;

Deno.test("admission: every command with every single capability, mask, lease and token", () => {
  for (const kind of [...COMMANDS, 0, 1, 66, 99]) {
    for (const word of [0, 1, 2, 3, 4, 5, 6, 10, 11, 16, 22, 23, 0xffffffff]) {
      for (const caps of [0, ...CAPS, EVERY_CAPABILITY, 0x4, 0x10]) {
        for (const lease of LEASES) {
          for (const token of TOKENS) {
            for (const [inMask, attached] of [[true, true], [true, false], [false, true]] as const) {
              check({ kind, word, caps, inMask, attached, lease, token }, 32);
            }
          }
        }
      }
    }
  }
  assertEquals(pool.live, 0);
});

Deno.test("admission: 20,000 random situations on all endpoints", () => {
  withSeed((random) => {
    const pick = <T>(values: readonly T[]): T => values[random.below(values.length)] as T;
    for (let n = 0; n < 20_000; n++) {
      check({
        kind: random.oneIn(20) ? random.below(300) : pick(COMMANDS),
        word: random.oneIn(10) ? random.u32() : random.below(24),
        caps: random.oneIn(2) ? random.u32() : pick(CAPS),
        inMask: !random.oneIn(4),
        attached: !random.oneIn(6),
        lease: pick(LEASES),
        token: pick(TOKENS),
      }, random.below(64));
    }
  });
});

Deno.test("which UP events a grant and a subscription let through", () => {
  for (let kind = 0; kind < UP_CAPS.length; kind++) {
    assertEquals(UP_CAPS[kind], UP_NEEDS[kind] ?? 0, `kind ${kind}`);
  }
  assertEquals([...PUBLISHABLE].sort((a, b) => a - b), [37, 81, 82, 83, 118, 147, 148]);
  withSeed((random) => {
    for (let n = 0; n < 5000; n++) {
      const grant: Grant = {
        ...fullGrant(1),
        caps: random.oneIn(2) ? random.u32() : CAPS[random.below(CAPS.length)] as number,
        sources: random.u32() & 0x7f,
        endpoints: { lo: random.u32(), hi: random.u32() },
      };
      const wanted = random.oneIn(4) ? { lo: 0, hi: 0 } : { lo: random.u32(), hi: random.u32() };
      const [sources, prioMin] = [random.u32() & 0x7f, random.below(4)];
      const control = {
        name: "",
        subscription: subscriptionOf(sources, prioMin as Prio, wanted),
        open: () => {},
        deliver: () => {},
        close: () => {},
      };
      const slot = new ControlSlot(1 as ControlId, control, grant);
      const event = pool.acquire();
      event.kind = random.below(120) as Kind;
      event.source = random.below(7) as Source;
      event.prio = random.below(4) as Prio;
      event.endpoint = (random.oneIn(8) ? 0xffffffff : random.below(64)) as EndpointId;
      const bit = (mask: { lo: number; hi: number }) =>
        (((BigInt(mask.hi) << 32n) | BigInt(mask.lo)) >> BigInt(event.endpoint) & 1n) === 1n;
      const wantsAll = wanted.lo === 0 && wanted.hi === 0;
      const isInReach = event.endpoint >= 64 || (bit(grant.endpoints) && (wantsAll || bit(wanted)));
      const expectedVerdict = isInReach &&
        ((UP_NEEDS[event.kind] ?? 0) & grant.caps) !== 0 &&
        ((grant.sources & sources) >> event.source & 1) === 1 &&
        event.prio >= prioMin;
      assertEquals(slot.admits(event), expectedVerdict, `event ${n}`);
      event.release();
    }
  });
});
