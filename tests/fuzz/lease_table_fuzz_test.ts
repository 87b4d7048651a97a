/**
 * The lease machine alone against a plain model: controls of unequal strength acquire, release, die and fall
 * silent at random; some wait until a lease is given back.
 */
import type { ControlId, EndpointId } from "../../src/base/ids.ts";
import { assert, assertEquals } from "@std/assert";
import { fullGrant } from "../../src/access/grant.ts";
import { type AcquireOutcome, LeaseTable } from "../../src/access/lease_table.ts";
import type { LeaseClass } from "../../src/event/body_number.ts";
import { type SeededRandom, withSeed } from "../fixtures/seeded_random.ts";

const MS = 1_000_000;

interface Waiter {
  readonly party: Party;
  readonly corr: number;
  readonly ttlMs: number;
  readonly waits: boolean;
}

interface Party {
  readonly id: ControlId;
  readonly grant: ReturnType<typeof fullGrant>;
}

/** One slot as plainly as it can be said. */
interface Plain {
  owner: Party | undefined;
  token: number;
  ttlMs: number;
  heardNs: number;
  isEnding: boolean;
  next: Waiter | undefined;
  waiting: Waiter[];
}

/** An outcome with the corrs of those who do not wait any more. */
function plainOutcome(outcome: AcquireOutcome): Record<string, unknown> {
  if (outcome.kind !== "waiting" && outcome.kind !== "handover") return { ...outcome };
  return { ...outcome, displaced: outcome.displaced.map(({ corr }) => corr) };
}

class Model {
  readonly slots = new Map<string, Plain>();
  lastToken = 0;

  slot(endpoint: number, cls: number): Plain {
    const key = `${endpoint}/${cls}`;
    let slot = this.slots.get(key);
    if (slot === undefined) {
      slot = {
        owner: undefined,
        token: 0,
        ttlMs: 0,
        heardNs: 0,
        isEnding: false,
        next: undefined,
        waiting: [],
      };
      this.slots.set(key, slot);
    }
    return slot;
  }

  acquire(slot: Plain, mine: Waiter, nowNs: number): Record<string, unknown> {
    const { party, ttlMs } = mine;
    const rival = slot.owner ?? slot.next?.party ?? slot.waiting[0]?.party;
    if (slot.owner === undefined && !slot.isEnding) {
      assertEquals(slot.waiting, [], "what is free has nobody who waits");
      Object.assign(slot, { owner: party, token: ++this.lastToken, ttlMs, heardNs: nowNs });
      return { kind: "granted", token: slot.token, ttlMs };
    }
    if (slot.owner?.id === party.id) {
      Object.assign(slot, { ttlMs, heardNs: nowNs });
      return { kind: "granted", token: slot.token, ttlMs };
    }
    if (rival !== undefined && rival.id !== party.id && party.grant.arbPrio <= rival.grant.arbPrio) {
      if (mine.waits) return { kind: "waiting", displaced: this.wait(slot, mine) };
      return { kind: "denied", reason: party.grant.arbPrio < rival.grant.arbPrio ? 4 : 0 };
    }
    const displaced = slot.waiting.filter((each) => each.party.id === party.id).map(({ corr }) => corr);
    slot.waiting = slot.waiting.filter((each) => each.party.id !== party.id);
    const before = slot.next;
    if (before !== undefined) {
      if (before.waits && before.party.id !== party.id) this.wait(slot, before);
      else displaced.push(before.corr);
    }
    const revoked = slot.owner?.id ?? 0;
    const token = slot.owner === undefined ? 0 : slot.token;
    Object.assign(slot, { owner: undefined, isEnding: true, next: mine });
    return { kind: "handover", revoked, token, displaced };
  }

  /** Stands in the queue anew; gives the corr of what it asked before. */
  wait(slot: Plain, mine: Waiter): number[] {
    const before = slot.waiting.filter((each) => each.party.id === mine.party.id).map(({ corr }) => corr);
    const others = slot.waiting.filter((each) => each.party.id !== mine.party.id);
    const stronger = others.filter((each) => each.party.grant.arbPrio >= mine.party.grant.arbPrio);
    slot.waiting = [...stronger, mine, ...others.filter((each) => !stronger.includes(each))];
    return before;
  }
}

function end(slot: Plain): void {
  slot.owner = undefined;
  slot.isEnding = true;
}

Deno.test("the lease table agrees with a plain model", () => {
  for (let round = 0; round < 60; round++) withSeed(agrees);
});

function agrees(random: SeededRandom): void {
  const table = new LeaseTable();
  const model = new Model();
  let parties: Party[] = [];
  let lastId = 0;
  let nowNs = 1;
  const endpoints = [0, 31, 32, 63];
  const tokens: number[] = [];
  for (let step = 1; step <= 800; step++) {
    nowNs += random.below(4 * MS);
    while (parties.length < 5) {
      parties.push({ id: ++lastId as ControlId, grant: fullGrant(lastId, random.below(4)) });
    }
    const party = parties[random.below(parties.length)] as Party;
    const endpoint = endpoints[random.below(4)] as number;
    const cls = random.below(3) as LeaseClass;
    const slot = model.slot(endpoint, cls);
    switch (random.below(8)) {
      case 0:
      case 1:
      case 2: {
        const ttlMs = random.oneIn(3) ? 1 + random.below(60) : 0;
        const mine = { party, corr: step, ttlMs, waits: random.oneIn(2) };
        const expected = model.acquire(slot, mine, nowNs);
        const outcome = table.acquire(endpoint as EndpointId, cls, mine, nowNs);
        assertEquals(plainOutcome(outcome), expected, `acquire at ${step}`);
        break;
      }
      case 3: {
        if (random.oneIn(2)) {
          const isNext = slot.next?.waits === true && slot.next.party.id === party.id;
          const mine = isNext ? slot.next : slot.waiting.find((each) => each.party.id === party.id);
          if (isNext) slot.next = undefined;
          else slot.waiting = slot.waiting.filter((each) => each !== mine);
          const given = table.giveUp(endpoint as EndpointId, cls, party.id);
          assertEquals(given?.corr, mine?.corr, `given up at ${step}`);
          break;
        }
        const owns = slot.owner?.id === party.id;
        if (owns) end(slot);
        assertEquals(
          table.release(endpoint as EndpointId, cls, party.id),
          owns,
          `release at ${step}`,
        );
        break;
      }
      case 4: {
        // It dies.
        const ended: string[] = [];
        const dismissed: number[] = [];
        table.withdraw(
          party.id,
          () => true,
          (e, c, token) => ended.push(`${e}/${c}/${token}`),
          (_e, _c, successor) => dismissed.push(successor.corr),
        );
        const expectedEnded: string[] = [];
        const expectedDismissed: number[] = [];
        for (const [key, plain] of model.slots) {
          if (plain.next?.party.id === party.id) {
            expectedDismissed.push(plain.next.corr);
            plain.next = undefined;
          }
          for (const each of plain.waiting) if (each.party.id === party.id) expectedDismissed.push(each.corr);
          plain.waiting = plain.waiting.filter((each) => each.party.id !== party.id);
          if (plain.owner?.id === party.id) {
            expectedEnded.push(`${key}/${plain.token}`);
            end(plain);
          }
        }
        assertEquals([ended.sort(), dismissed.sort()], [expectedEnded.sort(), expectedDismissed.sort()]);
        parties = parties.filter((other) => other !== party);
        break;
      }
      case 5: {
        if (!slot.isEnding) break;
        const next = slot.next ?? slot.waiting.shift();
        slot.isEnding = false;
        slot.next = undefined;
        const done = table.finalized(endpoint as EndpointId, cls, nowNs);
        if (next === undefined) assertEquals(done, null);
        else {
          const token = ++model.lastToken;
          Object.assign(slot, { owner: next.party, token, ttlMs: next.ttlMs, heardNs: nowNs });
          assertEquals([done?.successor.corr, done?.token], [next.corr, token]);
        }
        break;
      }
      case 6:
        table.touch(party.id, nowNs);
        for (const plain of model.slots.values()) if (plain.owner?.id === party.id) plain.heardNs = nowNs;
        break;
      default: {
        const expired: string[] = [];
        table.expire(nowNs, (e, c, token, owner) => expired.push(`${e}/${c}/${token}/${owner}`));
        const expected: string[] = [];
        for (const [key, plain] of model.slots) {
          if (plain.owner === undefined || plain.ttlMs === 0 || plain.heardNs + plain.ttlMs * MS > nowNs) {
            continue;
          }
          expected.push(`${key}/${plain.token}/${plain.owner.id}`);
          end(plain);
        }
        assertEquals(expired.sort(), expected.sort(), `expire at ${step}`);
      }
    }
    compare(table, model, parties, endpoints, tokens);
  }
}

function compare(
  table: LeaseTable,
  model: Model,
  parties: Party[],
  endpoints: number[],
  tokens: number[],
): void {
  let deadline = Infinity;
  for (const endpoint of endpoints) {
    for (let cls = 0; cls < 3; cls++) {
      const slot = model.slot(endpoint, cls);
      const owner = table.ownerOf(endpoint as EndpointId, cls as LeaseClass);
      assertEquals(owner?.id, slot.owner?.id);
      assertEquals(table.inHandover(endpoint as EndpointId, cls as LeaseClass), slot.isEnding);
      assert(!(slot.isEnding && owner !== null), "a slot that is handed over has no owner");
      // At most one of them may work, and only under the newest token.
      const working = parties.filter((party) =>
        table.tokenOf(endpoint as EndpointId, cls as LeaseClass, party.id) !== 0
      );
      assertEquals(working.map((party) => party.id), slot.owner === undefined ? [] : [slot.owner.id]);
      for (let token = 0; token <= model.lastToken; token += 1 + Math.floor(model.lastToken / 16)) {
        assertEquals(
          table.isLive(endpoint as EndpointId, cls as LeaseClass, token),
          slot.owner !== undefined && token === slot.token,
        );
      }
      const { owner: told, waiting } = table.partiesOf(endpoint as EndpointId, cls as LeaseClass);
      assertEquals(told?.party.id, slot.owner?.id);
      const expected = slot.next?.waits === true ? [slot.next, ...slot.waiting] : slot.waiting;
      assertEquals(waiting.map(({ corr }) => corr), expected.map(({ corr }) => corr));
      if (slot.owner === undefined) continue;
      assert(table.isLive(endpoint as EndpointId, cls as LeaseClass, slot.token));
      if (!tokens.includes(slot.token)) tokens.push(slot.token);
      if (slot.ttlMs > 0) deadline = Math.min(deadline, slot.heardNs + slot.ttlMs * MS);
    }
  }
  assertEquals(new Set(tokens).size, tokens.length);
  assertEquals(table.deadline(), deadline);
}
