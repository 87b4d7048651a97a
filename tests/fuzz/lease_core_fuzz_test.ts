/**
 * Leases through the whole core: controls of unequal strength fight for two VMs, die at random points (in
 * their own callbacks too), fall silent, lose their grants; endpoints come and go; adapters answer, finalize
 * and release keys at once, later, or not before they are closed.
 *
 * What must hold at every step: nothing reaches an adapter but under the live lease of its sender; a new
 * owner is told only when nothing is held any more; tokens only grow. And at the end: each command of a
 * control that lived to see it was answered exactly once, nothing is held, nothing is left.
 */
import { assert, assertEquals } from "@std/assert";
import { ALL_CAPS, CAP } from "../../src/event/capability.ts";
import { KIND } from "../../src/event/kind.ts";
import { SOURCE, type Source } from "../../src/event/source.ts";
import { type LeaseClass, LIFE, VM_OP } from "../../src/event/body_number.ts";
import { fullGrant } from "../../src/access/grant.ts";
import type { Adapter, CloseReason, Seat } from "../../src/core/adapter_port.ts";
import type { TransferEvent } from "../../src/event/transfer_event.ts";
import type { EndpointId } from "../../src/base/ids.ts";
import { type SeededRandom, withSeed } from "../fixtures/seeded_random.ts";
import { CoreRig, type Seen, type TestControl, tokenOf } from "../unit/core/core_rig.ts";

const CLASS_OF_SOURCE: Record<number, number> = { [SOURCE.INPUT]: 0, [SOURCE.VMHOST]: 1, [SOURCE.MEMCTX]: 2 };

/** An adapter that takes its time, and knows what it holds. */
class SlowAdapter implements Adapter {
  readonly source: Source;
  readonly name = "slow";
  /** Key to the control that pressed it. */
  readonly held = new Map<number, number>();
  readonly #world: World;
  readonly #later: (() => void)[] = [];
  readonly #atClose: (() => void)[] = [];
  #seat: Seat | null = null;
  readonly finalize?: (cls: number, done: () => void) => void;
  readonly beforeStop?: (done: () => void) => void;

  constructor(source: Source, world: World) {
    this.source = source;
    this.#world = world;
    if (source === SOURCE.VMHOST) return;
    this.finalize = (_cls, done) => this.#sometime(() => this.#neutral(done));
    if (source === SOURCE.INPUT) this.beforeStop = (done) => this.#sometime(() => this.#neutral(done));
  }

  open(seat: Seat): void {
    this.#seat = seat;
    seat.emit(seat.event(KIND.SEAM_UP));
  }

  command(event: TransferEvent): void {
    const seat = this.#seat as Seat;
    const { ticket, origin, token, words, kind } = event;
    const isDestructive = kind === KIND.CMD_VM && (words[0] as number) >= VM_OP.RESET;
    const isLeased = isDestructive || kind === KIND.CMD_INPUT || kind === KIND.CMD_MEMWRITE;
    if (isLeased) {
      const cls = CLASS_OF_SOURCE[this.source] as number;
      const owner = this.#world.rig.core.leases.ownerOf(seat.endpoint, cls as LeaseClass);
      assertEquals(owner?.id, origin, "only the owner's commands arrive");
      assert(seat.leaseIsLive(cls as 0, token), "and only under the live token");
    }
    if (kind === KIND.CMD_INPUT) {
      for (const presser of this.held.values()) {
        assertEquals(presser, origin, "nothing of a former owner is held");
      }
      this.held.set(words[1] as number, origin);
    }
    this.#sometime(() => seat.ack(ticket, 0));
  }

  close(_reason: CloseReason, closed: () => void): void {
    this.#later.push(...this.#atClose.splice(0));
    const random = this.#world.random;
    // Some are finished properly, some are cut off.
    if (random.oneIn(2)) this.step(true);
    this.held.clear();
    this.#later.length = 0;
    if (random.oneIn(2)) closed();
    else this.#world.closing.push(closed);
  }

  /** Does some of what waits; `all` of it. */
  step(all: boolean): void {
    for (let n = all ? this.#later.length : 1; n > 0 && this.#later.length > 0; n--) this.#later.shift()?.();
  }

  #neutral(done: () => void): void {
    this.held.clear();
    done();
  }

  #sometime(task: () => void): void {
    const { random } = this.#world;
    if (random.oneIn(3)) task();
    else if (random.oneIn(12)) this.#atClose.push(task);
    else this.#later.push(task);
  }
}

interface Sent {
  readonly corr: number;
  readonly what: string;
}

interface Player {
  readonly control: TestControl;
  readonly sent: Sent[];
  diesAt: number;
}

class World {
  readonly rig = new CoreRig(true);
  readonly random: SeededRandom;
  readonly players: Player[] = [];
  readonly adapters = new Map<number, SlowAdapter[]>();
  readonly leaving = new Set<number>();
  readonly closing: (() => void)[] = [];
  wrong = "";
  readonly #lastToken = new Map<string, number>();
  readonly #holder = new Map<number, string>();

  constructor(random: SeededRandom) {
    this.random = random;
  }

  join(): void {
    const control = this.rig.join({ arbPrio: this.random.below(4) });
    const player: Player = {
      control,
      sent: [],
      diesAt: this.random.oneIn(3) ? 3 + this.random.below(40) : Infinity,
    };
    control.onEvent = () => {
      const seen = control.seen.at(-1) as Seen;
      if (seen.kind === "LEASE_GRANTED") this.#granted(control, seen);
      if (control.seen.length >= player.diesAt) control.control.leave();
    };
    this.players.push(player);
  }

  /**
   * Each control sees tokens grow, and no token is ever two controls' or two slots'. (Priority may let two
   * controls hear of theirs in another order.)
   */
  #granted(control: TestControl, seen: Seen): void {
    const { id } = control.handle;
    const slot = `${seen.endpoint}/${seen.words[0]}`;
    const token = tokenOf(seen);
    const last = this.#lastToken.get(`${id} ${slot}`) ?? 0;
    const holder = this.#holder.get(token) ?? `${id} ${slot}`;
    // A callback that throws would only lose its control: what is wrong is told by check().
    if (token < last) this.wrong = `token ${token} of ${slot} came after ${last}`;
    if (holder !== `${id} ${slot}`) this.wrong = `token ${token} is ${holder}'s and ${id} ${slot}'s`;
    this.#lastToken.set(`${id} ${slot}`, token);
    this.#holder.set(token, `${id} ${slot}`);
  }

  attach(id: number): void {
    const adapters = [SOURCE.VMHOST, SOURCE.INPUT, SOURCE.MEMCTX].map((source) =>
      new SlowAdapter(source, this)
    );
    this.adapters.set(id, adapters);
    this.rig.core.attach({ id: id as EndpointId, name: `vm${id}`, vmid: id, adapters });
  }

  detach(id: number): void {
    if (this.leaving.has(id)) return;
    this.leaving.add(id);
    this.rig.core.detach(id as EndpointId, "detached", () => {
      this.leaving.delete(id);
      this.adapters.delete(id);
    });
  }

  send(player: Player, what: string, kind: number, endpoint: number, words: number[], token = 0): void {
    const corr = player.control.send(kind, endpoint, words, token);
    if (corr !== 0) player.sent.push({ corr, what });
  }

  /** Nobody owns what another one still holds. */
  check(): void {
    assertEquals(this.wrong, "");
    for (const [id, adapters] of this.adapters) {
      const input = adapters[1] as SlowAdapter;
      const owner = this.rig.core.leases.ownerOf(id as EndpointId, 0);
      if (owner === null && !this.rig.core.leases.inHandover(id as EndpointId, 0)) {
        assertEquals(input.held.size, 0, "a free VM holds nothing");
      }
    }
  }
}

const ENDPOINTS = [0, 40];

function act(world: World): void {
  const { random, rig, players } = world;
  const endpoint = ENDPOINTS[random.below(2)] as number;
  const player = players[random.below(players.length)] as Player;
  const cls = random.below(3);
  const stale = random.oneIn(10) ? 1 + random.below(50) : 0;
  switch (random.below(16)) {
    case 0:
      return world.send(player, "claim", KIND.CMD_LEASE_CLAIM, endpoint, [
        cls,
        random.oneIn(4) ? 0 : 1,
        random.oneIn(3) ? 1 + random.below(9) : 0,
      ]);
    case 1:
    case 2:
      return world.send(player, "acquire", KIND.CMD_ACQUIRE, endpoint, [
        cls,
        0,
        random.oneIn(3) ? 1 + random.below(9) : 0,
      ]);
    case 3:
      return world.send(player, "release", KIND.CMD_RELEASE, endpoint, [cls], stale);
    case 4:
    case 5:
    case 6:
      return world.send(player, "input", KIND.CMD_INPUT, endpoint, [3, 1 + random.below(40), 1], stale);
    case 7:
      return world.send(player, "memwrite", KIND.CMD_MEMWRITE, endpoint, [4096], stale);
    case 8:
      return world.send(player, "vm", KIND.CMD_VM, endpoint, [random.below(6)]);
    case 9:
      return world.send(player, "life", KIND.CMD_LIFECYCLE, endpoint, [
        random.oneIn(2) ? LIFE.PAUSE : LIFE.RESUME,
      ]);
    case 10:
      if (random.oneIn(2)) return world.send(player, "who", KIND.CMD_LEASE_WHO, endpoint, [cls]);
      return world.send(player, "status", KIND.CMD_LEASE_STATUS, endpoint, [cls]);
    case 11: {
      if (!random.oneIn(5)) return;
      if (random.oneIn(3)) player.control.control.leave();
      else {
        const caps = random.oneIn(2) ? ALL_CAPS : ALL_CAPS & ~CAP.INPUT;
        rig.core.regrant(player.control.handle.id, {
          ...fullGrant(player.control.handle.grant.principal, random.below(4)),
          caps,
        });
      }
      return;
    }
    case 12:
      if (!random.oneIn(6)) return;
      if (world.adapters.has(endpoint)) return world.detach(endpoint);
      return world.attach(endpoint);
    case 13:
      return rig.loop.turn(random.below(4) * 1_000_000);
    case 14:
      return world.closing.shift()?.();
    default:
      for (const adapter of world.adapters.get(endpoint) ?? []) adapter.step(random.oneIn(3));
  }
}

function play(random: SeededRandom): void {
  const world = new World(random);
  const { rig, players } = world;
  for (const id of ENDPOINTS) world.attach(id);
  const everybody: Player[] = [];
  for (let step = 0; step < 700; step++) {
    while (players.length < 5) {
      world.join();
      everybody.push(players.at(-1) as Player);
    }
    act(world);
    world.check();
    for (const player of players) {
      if (player.control.closed !== undefined) players.splice(players.indexOf(player), 1);
    }
  }
  for (const id of world.adapters.keys()) world.detach(id);
  for (let i = 0; i < 20; i++) {
    rig.settle();
    world.closing.shift()?.();
  }
  rig.settle();
  assertEquals(world.adapters.size, 0, "every endpoint is gone");
  for (const player of players.filter((player) => player.control.closed === undefined)) {
    for (const { corr, what } of player.sent) {
      assertEquals(player.control.answers(corr).length, 1, `${what} ${corr} has one answer`);
    }
    assertEquals(player.control.handle.outstanding, 0);
  }
  for (const player of everybody) {
    for (const { corr } of player.sent) assert(player.control.answers(corr).length <= 1, "and nobody two");
  }
  assertEquals(rig.lines.filter((line) => line.includes("twice")), []);
  for (const id of ENDPOINTS) {
    for (const cls of [0, 1, 2]) {
      assertEquals([
        rig.core.leases.ownerOf(id as EndpointId, cls as LeaseClass),
        rig.core.leases.inHandover(id as EndpointId, cls as LeaseClass),
      ], [null, false]);
    }
  }
  rig.end();
}

Deno.test("leases through the core, with controls and endpoints dying at random points", () => {
  for (let round = 0; round < 60; round++) withSeed(play);
});
