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
import { withSeed } from "../fixtures/seeded_random.ts";

// Capabilities as PROTOCOL.md gives them.
const OBSERVE = 0x1, INPUT = 0x2, LIFECYCLE = 0x8, POWER = 0x20, VM = 0x40, MEMCTX = 0x80, MEMWRITE = 0x100;
const ROSTER = 0x200, AUDIT = 0x400, PUBLISH = 0x800, FRAME = 0x1000;
const CONSOLE = 0x2000, CONSOLE_WRITE = 0x4000, AGENT = 0x8000, AGENT_RUN = 0x1_0000;
const CAPS = [OBSERVE, INPUT, LIFECYCLE, POWER, VM, MEMCTX, MEMWRITE, ROSTER, AUDIT, PUBLISH, FRAME]
  .concat([CONSOLE, CONSOLE_WRITE, AGENT, AGENT_RUN]);

interface Need {
  /** Any one of these; undefined: no such operation. */
  readonly caps: number | undefined;
  /** The class of lease, -1 none. */
  readonly cls: number;
}

/** The page's rules, one command at a time. */
function needOf(kind: number, word: number): Need {
  const ofClass = [INPUT, POWER, MEMWRITE, CONSOLE_WRITE, AGENT_RUN][word];
  switch (kind) {
    case 64: // CMD_INPUT
      return { caps: INPUT, cls: 0 };
    case 76: // CMD_QUERY_INPUT
      return { caps: INPUT, cls: -1 };
    case 65: // CMD_LIFECYCLE: powerdown reset | wakeup pause resume
      return word < 2 ? { caps: POWER, cls: 1 } : { caps: word < 5 ? LIFECYCLE : undefined, cls: -1 };
    case 70: // CMD_VM: query cont stop | reset powerdown quit
      return word < 3
        ? { caps: VM, cls: -1 }
        : { caps: word < 6 ? POWER : undefined, cls: word < 6 ? 1 : -1 };
    case 79: // CMD_MEMWRITE
      return { caps: MEMWRITE, cls: 2 };
    case 73: // CMD_ACQUIRE
    case 74: // CMD_RELEASE
      return { caps: ofClass, cls: -1 };
    case 75: // CMD_LEASE_STATUS: also for whoever observes
      return { caps: ofClass === undefined ? undefined : ofClass | OBSERVE, cls: -1 };
    case 114: // CMD_FRAME
      return { caps: FRAME, cls: -1 };
    case 116: // CMD_DISPLAY
      return { caps: PUBLISH, cls: -1 };
    case 126: // CMD_CONSOLE
      return { caps: CONSOLE, cls: -1 };
    case 127: // CMD_CONSOLE_WRITE
      return { caps: CONSOLE_WRITE, cls: 3 };
    case 129: // CMD_AGENT: what asks | what changes the guest
      if (word < 16) return { caps: word < 11 ? AGENT : undefined, cls: -1 };
      return word < 23 ? { caps: AGENT_RUN, cls: 4 } : { caps: undefined, cls: -1 };
    case 131: // CMD_VCPU
      return { caps: MEMCTX, cls: -1 };
    case 142: // CMD_SNAPSHOT: list | save load delete
      if (word === 0) return { caps: VM, cls: -1 };
      return word < 4 ? { caps: POWER, cls: 1 } : { caps: undefined, cls: -1 };
    default:
      return { caps: undefined, cls: -1 };
  }
}

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

const LEASES = ["free", "own", "other", "handover"] as const;
const TOKENS = ["none", "right", "wrong"] as const;
const DOWN = [64, 65, 70, 73, 74, 75, 76, 79, 114, 116, 126, 127, 129, 131, 142];

Deno.test("admission: every command with every single capability, mask, lease and token", () => {
  for (const kind of [...DOWN, 0, 1, 66, 99]) {
    for (const word of [0, 1, 2, 3, 4, 5, 6, 10, 11, 16, 22, 23, 0xffffffff]) {
      for (const caps of [0, ...CAPS, 0x1_ffeb, 0x4, 0x10]) {
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
        kind: random.oneIn(20) ? random.below(300) : pick(DOWN),
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

/** Which capabilities let an UP kind through, as the page says. */
const UP: Record<number, number> = {
  1: OBSERVE,
  2: OBSERVE,
  3: OBSERVE,
  49: OBSERVE,
  37: OBSERVE | INPUT,
  77: MEMCTX,
  78: MEMCTX,
  80: ROSTER,
  81: OBSERVE,
  82: OBSERVE,
  83: FRAME,
  84: AUDIT,
  115: PUBLISH,
  118: FRAME,
  140: OBSERVE,
  143: OBSERVE,
};

Deno.test("which UP events a grant and a subscription let through", () => {
  for (let kind = 0; kind < UP_CAPS.length; kind++) {
    assertEquals(UP_CAPS[kind], UP[kind] ?? 0, `kind ${kind}`);
  }
  assertEquals([...PUBLISHABLE].sort((a, b) => a - b), [37, 81, 82, 83, 118]);
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
        subscription: subscriptionOf(sources, prioMin, wanted),
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
        ((UP[event.kind] ?? 0) & grant.caps) !== 0 && ((grant.sources & sources) >> event.source & 1) === 1 &&
        event.prio >= prioMin;
      assertEquals(slot.admits(event), expectedVerdict, `event ${n}`);
      event.release();
    }
  });
});
