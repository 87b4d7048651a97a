/**
 * The INPUT adapter over a driver that a test plays: what it does with frames, owners, resets, stops and
 * losses, by hand and at random.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { InputAdapter } from "../../../src/adapters/input/input_adapter.ts";
import { decodeHeldRecord, type HeldStore } from "../../../src/adapters/input/held_record.ts";
import { heldEntry } from "../../../src/adapters/input/held_set.ts";
import type { InputDriver, InputDriverHost, StepOutcome } from "../../../src/adapters/input/input_driver.ts";
import type { InputFrame } from "../../../src/adapters/input/input_frame.ts";
import { stepEnd } from "../../../src/adapters/input/input_step.ts";
import { CODE } from "../../../src/base/codes.ts";
import { MAX_INPUT_QUEUE } from "../../../src/base/limits.ts";
import { INPUT_KIND, LEASE_CLASS, SEAM_REASON } from "../../../src/event/body_number.ts";
import { KIND } from "../../../src/event/kind.ts";
import { AdapterRig, type InputRecord } from "../../fixtures/adapter_rig.ts";
import { SeededRandom } from "../../fixtures/seeded_random.ts";

const { KEY, BTN, ABS, SCROLL } = INPUT_KIND;
const PID = 4711;

/**
 * A driver whose guest is a set of pressed keys. It takes a step when told, and lets `ahead` frames be under
 * way.
 */
class PlayedDriver implements InputDriver {
  readonly name = "played";
  readonly guest = new Set<number>();
  readonly sentSteps: string[] = [];
  fractionsForgotten = 0;
  closed = 0;
  up = false;
  running = true;
  host: InputDriverHost | null = null;
  #frames: InputFrame[] = [];
  readonly #ahead: number;

  constructor(ahead = 1) {
    this.#ahead = ahead;
  }

  hasKey(code: number): boolean {
    return code < 0x200;
  }
  hasButton(): boolean {
    return true;
  }
  open(host: InputDriverHost): void {
    this.host = host;
  }
  close(): void {
    this.closed++;
    assertEquals(this.#frames.length, 0, "no frame is under way when it is closed");
    this.host = null;
  }
  forgetFractions(): void {
    this.fractionsForgotten++;
  }
  get busy(): boolean {
    return this.#frames.length > 0;
  }

  rise(pid = PID): void {
    this.up = true;
    this.host?.onDriverUp(pid);
  }

  fall(uncertain: boolean): void {
    for (const frame of this.#frames.splice(0)) {
      if (uncertain && frame.nextRecord < frame.count) {
        const to = stepEnd(frame, frame.nextRecord, 30);
        this.host?.onStepSending(frame, frame.nextRecord, to);
        this.#applied(frame, frame.nextRecord, to);
        this.host?.onStepDone(frame, frame.nextRecord, to, "uncertain");
      }
      frame.code = CODE["seam-down"];
      this.host?.onFrameDone(frame);
    }
    this.up = false;
    this.host?.onDriverDown(SEAM_REASON.PEER_CLOSED, CODE["seam-down"], "");
  }

  poke(): void {
    while (this.up && this.#frames.length < this.#ahead) {
      const frame = this.host?.nextFrame() ?? null;
      if (frame === null) return;
      this.#frames.push(frame);
    }
  }

  /** Carries out one step; false when there is none. */
  step(outcome: StepOutcome = this.running ? "applied" : "refused"): boolean {
    const frame = this.#frames[0];
    if (frame === undefined) return false;
    const from = frame.nextRecord;
    const to = stepEnd(frame, from, 30);
    this.host?.onStepSending(frame, from, to);
    frame.nextRecord = to;
    if (outcome !== "refused") this.#applied(frame, from, to);
    if (outcome === "applied") frame.stepsDone++;
    else frame.code = outcome === "refused" ? CODE.refused : CODE["timed-out"];
    this.host?.onStepDone(frame, from, to, outcome);
    if (to === frame.count || frame.code !== CODE.ok) {
      this.#frames.shift();
      this.host?.onFrameDone(frame);
    }
    this.poke();
    return true;
  }

  all(): void {
    while (this.step());
  }

  #applied(frame: InputFrame, from: number, to: number): void {
    const texts: string[] = [];
    for (let i = from; i < to; i++) {
      const entry = heldEntry(frame.kinds[i] ?? 0, frame.codes[i] ?? 0);
      if (frame.values[i] === 1) this.guest.add(entry);
      else this.guest.delete(entry);
      texts.push(`${frame.codes[i]}${frame.values[i] === 1 ? "+" : "-"}`);
    }
    this.sentSteps.push(texts.join(" "));
  }
}

class MemoryStore implements HeldStore {
  bytes: Uint8Array = new Uint8Array(0);
  saves = 0;
  load(): Uint8Array {
    return this.bytes;
  }
  save(bytes: Uint8Array<ArrayBuffer>, length: number): void {
    this.saves++;
    this.bytes = bytes.slice(0, length);
  }
  close(keep: boolean): void {
    if (!keep) this.bytes = new Uint8Array(0);
  }
}

function down(code: number): InputRecord {
  return { kind: KEY, code, value: 1 };
}
function up(code: number): InputRecord {
  return { kind: KEY, code, value: 0 };
}

function rigWith(driver: PlayedDriver, store?: HeldStore): AdapterRig {
  return new AdapterRig(() => new InputAdapter(driver, store)).open();
}

function held(rig: AdapterRig): number {
  const ticket = rig.command(KIND.CMD_QUERY_INPUT, () => {});
  return Number(rig.answer(ticket)?.reply?.fields["count"]);
}

Deno.test("while it is down, each input is told why it is down now, and not why it went down", () => {
  const driver = new PlayedDriver();
  using rig = rigWith(driver);
  let why = "the QMP connection has ended";
  driver.host?.onDriverDown(SEAM_REASON.PEER_CLOSED, CODE["seam-down"], "", () => why);
  const words = () => rig.answer(rig.input(down(30)))?.words;
  assertEquals(words(), why);
  why = "libvirt is away: start libvirtd";
  assertEquals(words(), why);
});

Deno.test("frames go in order, are answered when the last step is, and bad ones at once", async () => {
  const driver = new PlayedDriver();
  using rig = rigWith(driver);
  assertEquals(rig.answer(rig.input(down(30)))?.code, CODE["seam-down"]);
  driver.rise();
  const first = rig.input(down(42), down(30), up(30), up(42));
  const second = rig.input(down(31));
  assertEquals(
    rig.answer(rig.input(down(30), { kind: KEY, code: 0x2ff, value: 1 }))?.code,
    CODE["bad-argument"],
  );
  driver.step();
  assertEquals(rig.answer(first), undefined);
  driver.all();
  assertEquals([rig.answer(first)?.code, rig.answer(second)?.code], [0, 0]);
  assertEquals(driver.sentSteps, ["42+", "30+", "30-", "42-", "31+"]);
  assertEquals(held(rig), 1);
  const closing = rig.close();
  driver.all();
  await closing;
  assertEquals([driver.guest.size, driver.closed], [0, 1]);
});

Deno.test("the end of an owner: its queue is stale, its frame is finished, its keys are released, then done", async () => {
  const driver = new PlayedDriver();
  using rig = rigWith(driver);
  driver.rise();
  const first = rig.input(down(42), down(30));
  const queued = [rig.input(down(31)), rig.input(down(32))];
  driver.step();
  let done = 0;
  rig.adapter.finalize?.(LEASE_CLASS.INPUT, () => done++);
  assertEquals(queued.map((ticket) => rig.answer(ticket)?.code), [CODE["stale-lease"], CODE["stale-lease"]]);
  assertEquals([rig.answer(first), done], [undefined, 0]);
  driver.step();
  assertEquals([rig.answer(first)?.code, done], [0, 0]);
  driver.step();
  assertEquals([done, driver.guest.size, held(rig), driver.fractionsForgotten], [1, 0, 0, 1]);
  assertEquals(driver.sentSteps.at(-1), "42- 30-");
  // Other classes have nothing to bring to rest; neither has a neutral guest.
  rig.adapter.finalize?.(LEASE_CLASS.POWER, () => done++);
  rig.adapter.finalize?.(LEASE_CLASS.INPUT, () => done++);
  assertEquals(done, 3);
  await rig.close();
});

Deno.test("a frame whose lease is over when its turn comes is stale", async () => {
  const driver = new PlayedDriver();
  using rig = rigWith(driver);
  driver.rise();
  rig.leaseLive = false;
  assertEquals(rig.answer(rig.input(down(30)))?.code, CODE["stale-lease"]);
  assertEquals(driver.sentSteps, []);
  await rig.close();
});

Deno.test("before a stop everything is released, and nothing follows in the same turn", async () => {
  const driver = new PlayedDriver();
  using rig = rigWith(driver);
  driver.rise();
  rig.input(down(42));
  driver.all();
  let sentAtDone = -1;
  rig.adapter.beforeStop?.(() => sentAtDone = driver.sentSteps.length);
  const late = rig.input(down(30));
  driver.all();
  assertEquals([driver.guest.size, sentAtDone], [0, 2]);
  assertEquals(rig.answer(late), undefined);
  rig.loop.turn(0);
  driver.all();
  assertEquals(rig.answer(late)?.code, CODE.ok, "the lease stays");
  const closing = rig.close();
  driver.all();
  await closing;
});

Deno.test("what cannot be released while the VM stands still is released when it runs", async () => {
  const driver = new PlayedDriver();
  using rig = rigWith(driver);
  driver.rise();
  rig.input(down(42));
  driver.all();
  driver.running = false;
  driver.host?.onGuestStopped();
  let done = 0;
  rig.adapter.finalize?.(LEASE_CLASS.INPUT, () => done++);
  driver.all();
  assertEquals([done, driver.guest.size], [1, 1]);
  assertEquals(rig.answer(rig.input(down(30))), undefined);
  driver.all();
  driver.running = true;
  driver.host?.onGuestRuns();
  driver.all();
  assertEquals([driver.guest.size, held(rig)], [0, 0]);
  await rig.close();
});

Deno.test("a frame that breaks in the middle leaves nothing down", async () => {
  const driver = new PlayedDriver();
  using rig = rigWith(driver);
  driver.rise();
  const ticket = rig.input(down(42), down(30), up(30), up(42));
  driver.step();
  driver.step("refused");
  assertEquals(rig.answer(ticket)?.code, CODE.refused);
  driver.all();
  assertEquals(driver.guest.size, 0);
  await rig.close();
});

Deno.test("a reset releases what is held", async () => {
  const driver = new PlayedDriver();
  using rig = rigWith(driver);
  driver.rise();
  rig.input(down(42), { kind: BTN, code: 0x110, value: 1 });
  driver.all();
  driver.host?.onGuestReset();
  driver.all();
  assertEquals([driver.guest.size, held(rig)], [0, 0]);
  await rig.close();
});

Deno.test("a lost driver: pending is answered, done is said, and the same QEMU is released when it is back", async () => {
  const driver = new PlayedDriver();
  using rig = rigWith(driver);
  driver.rise();
  const under = rig.input(down(42), down(30));
  const queued = rig.input(down(31));
  driver.step();
  let done = 0;
  rig.adapter.finalize?.(LEASE_CLASS.INPUT, () => done++);
  driver.fall(true);
  assertEquals([rig.answer(under)?.code, rig.answer(queued)?.code, done], [
    CODE["seam-down"],
    CODE["stale-lease"],
    1,
  ]);
  assertEquals(rig.of("SEAM_DOWN").length, 1);
  assertEquals([driver.guest.size, held(rig)], [2, 2], "the second press may have arrived");
  driver.rise();
  driver.all();
  assertEquals([driver.guest.size, held(rig), rig.of("SEAM_UP").length], [0, 0, 2]);
  rig.input(down(42));
  driver.all();
  driver.fall(false);
  driver.guest.clear();
  driver.rise(PID + 1);
  driver.all();
  assertEquals([held(rig), driver.sentSteps.at(-1)], [0, "42+"], "another process holds nothing");
  await rig.close();
});

Deno.test("the queue is bounded", async () => {
  const driver = new PlayedDriver();
  using rig = rigWith(driver);
  driver.rise();
  const tickets = Array.from(
    { length: MAX_INPUT_QUEUE + 2 },
    () => rig.input({ kind: ABS, code: 0, value: 1 }),
  );
  assertEquals(rig.answer(tickets.at(-1) ?? 0)?.code, CODE.busy);
  driver.all();
  assertEquals(rig.answers.filter((answer) => answer.code === CODE.ok).length, MAX_INPUT_QUEUE + 1);
  await rig.close();
});

Deno.test("the record is written before a key goes down, and there is none when all is up", async () => {
  const store = new MemoryStore();
  const driver = new PlayedDriver();
  using rig = rigWith(driver, store);
  driver.rise();
  rig.input(down(42), { kind: SCROLL, code: 0, scroll: 1 }, up(42));
  assertEquals(store.saves, 0);
  driver.step();
  assertEquals(store.saves, 1);
  driver.all();
  for (let i = 0; i < 50; i++) {
    rig.input(down(42), up(42));
    driver.all();
  }
  assertEquals(store.saves, 1, "the same key again writes nothing");
  rig.input(down(42));
  driver.all();
  // The daemon dies here; the next one finds the same QEMU.
  const next = new PlayedDriver();
  next.guest.add(heldEntry(KEY, 42));
  const copy = new MemoryStore();
  copy.bytes = store.bytes.slice();
  using after = rigWith(next, copy);
  next.rise();
  next.all();
  assertEquals([next.guest.size, next.sentSteps], [0, ["42-"]]);
  await after.close();
  // Another QEMU: nothing is sent.
  const other = new PlayedDriver();
  const again = new MemoryStore();
  again.bytes = store.bytes.slice();
  using elsewhere = rigWith(other, again);
  other.rise(PID + 1);
  other.all();
  assertEquals(other.sentSteps, []);
  await elsewhere.close();
  const closing = rig.close();
  driver.all();
  await closing;
  assertEquals(store.bytes.length, 0);
});

Deno.test("what cannot be released any more stays in the record as long as the guest's process lives", async () => {
  for (const [pid, isKept] of [[Deno.pid, true], [2 ** 22 + 1, false]] as const) {
    const store = new MemoryStore();
    const driver = new PlayedDriver();
    using rig = rigWith(driver, store);
    driver.rise(pid);
    rig.input(down(42));
    driver.all();
    driver.fall(true);
    await rig.close();
    assertEquals(decodeHeldRecord(store.bytes)?.entries, isKept ? [heldEntry(KEY, 42)] : undefined);
  }
});

Deno.test("a hostile record is not used", async () => {
  const store = new MemoryStore();
  store.bytes = new Uint8Array(4096).fill(0x41);
  const driver = new PlayedDriver();
  using rig = rigWith(driver, store);
  driver.rise();
  driver.all();
  assertEquals([driver.sentSteps, held(rig)], [[], 0]);
  await rig.close();
});

Deno.test("at random: each command once, each done once, the guest neutral at the end, the record never too small", async () => {
  const random = new SeededRandom();
  for (let round = 0; round < 400; round++) {
    const what = `seed ${random.seed}, round ${round}`;
    const driver = new PlayedDriver(1 + random.below(3));
    const store = new MemoryStore();
    using rig = rigWith(driver, store);
    const tickets: number[] = [];
    let asked = 0;
    let done = 0;
    const finish = () => done++;
    for (let step = 0; step < 60; step++) {
      switch (random.below(12)) {
        case 0:
          if (!driver.up) driver.rise();
          else if (random.oneIn(3)) driver.fall(random.oneIn(2));
          break;
        case 1:
          if (!driver.up) break;
          driver.running = !driver.running;
          if (driver.running) driver.host?.onGuestRuns();
          else driver.host?.onGuestStopped();
          break;
        case 2:
          if (driver.up) driver.host?.onGuestReset();
          break;
        case 3:
          asked++;
          rig.adapter.finalize?.(LEASE_CLASS.INPUT, finish);
          break;
        case 4:
          asked++;
          rig.adapter.beforeStop?.(finish);
          break;
        case 5:
          rig.loop.turn(0);
          break;
        case 6:
        case 7:
        case 8: {
          const records = Array.from({ length: 1 + random.below(5) }, (): InputRecord => ({
            kind: KEY,
            code: 30 + random.below(6),
            value: random.below(2),
          }));
          tickets.push(rig.input(...records));
          break;
        }
        default:
          if (driver.up) driver.step();
      }
      const recorded = new Set(decodeHeldRecord(store.bytes)?.entries);
      for (const entry of driver.guest) {
        assert(recorded.has(entry), `${what}: ${entry} is down and not recorded`);
      }
    }
    if (!driver.up) driver.rise();
    driver.running = true;
    driver.host?.onGuestRuns();
    rig.loop.turn(0);
    driver.all();
    asked++;
    rig.adapter.finalize?.(LEASE_CLASS.INPUT, finish);
    driver.all();
    // A stop that was asked for holds frames back to the end of the turn.
    rig.loop.turn(0);
    driver.all();
    assertEquals([driver.guest.size, held(rig), done], [0, 0, asked], what);
    for (const ticket of tickets) assert(rig.answer(ticket) !== undefined, `${what}: ticket ${ticket}`);
    await rig.close();
  }
});
