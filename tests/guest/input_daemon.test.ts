/**
 * Input of a real guest through the real daemon: each refusal with its code and without a trace in the guest,
 * and that every way in which an owner, a daemon or an endpoint may end leaves the guest's keyboard neutral.
 * What arrives is read from the guest's evdev.
 * @module
 */
import { assert, assertEquals, assertGreater, assertNotEquals } from "@std/assert";
import type { EndpointId } from "../../src/base/ids.ts";
import { CODE } from "../../src/base/codes.ts";
import { readU64 } from "../../src/base/layout.ts";
import { ACQUIRE, ACT_ACK, INPUT_HELD, LEASE, LEASE_GRANTED } from "../../src/event/body_layout.ts";
import { INPUT_KIND, LEASE_CLASS, LEASE_DENY, LEASE_REVOKE, VM_OP } from "../../src/event/body_number.ts";
import { FRAME } from "../../src/protocol/frame.ts";
import { KIND } from "../../src/event/kind.ts";
import { SOURCE } from "../../src/event/source.ts";
import { BODY } from "../../src/event/transfer_event.ts";
import { RawControl } from "../bench/raw_control.ts";
import { DaemonProcess, until } from "../fixtures/daemon_process.ts";
import type { GuestProcess } from "./guest_process.ts";
import { type Qemu, startFirmware } from "./qemu.ts";
import { startSavedGuest } from "./saved_guest.ts";

const { ABS, KEY } = INPUT_KIND;
const VM = 1;
const BARE = 2;
const RECORD_BYTES = 24;
/** Left shift, left alt and b: a chord that no kernel takes as its own. */
const CHORD = [42, 56, 48];
const CLIENT = new URL("../bench/c/input_client.c", import.meta.url).pathname;

type Record = readonly [kind: number, code: number, value: number];

const down = (codes: readonly number[]): Record[] => codes.map((code) => [KEY, code, 1]);
const pressed = (codes: readonly number[]): string[] => codes.map((code) => `${code}:1`);
const released = (codes: readonly number[]): string[] => codes.map((code) => `${code}:0`);
const endpoint = (name: string, slot: number, qmp: string): string =>
  `name = "${name}"\nvmid = ${slot}\nqmp = "${qmp}"\ninput = "qmp"\nmemory = "none"\nguest = "none"\n`;

/** A control, in the words of this test. */
class Hand implements Disposable {
  readonly #control: RawControl;

  constructor(daemon: DaemonProcess) {
    this.#control = new RawControl(daemon.socket, 1 << SOURCE.CORE);
  }

  /** Sends a frame of records; the code of its verdict. */
  input(records: readonly Record[], token = 0, slot: number = VM): number {
    const frame = this.#control.frameOf(KIND.CMD_INPUT, slot, (event) => {
      const bytes = new Uint8Array(records.length * RECORD_BYTES);
      const view = new DataView(bytes.buffer);
      records.forEach(([kind, code, value], i) => {
        view.setUint32(i * RECORD_BYTES, kind, true);
        view.setInt32(i * RECORD_BYTES + 4, code, true);
        view.setInt32(i * RECORD_BYTES + 8, value, true);
      });
      event.inline.set(bytes.subarray(0, RECORD_BYTES));
      if (records.length > 1) event.setBody(BODY.RAW, bytes.slice(RECORD_BYTES));
      event.token = token;
    });
    return codeOf(this.#control.ask(frame));
  }

  /** Acquires the input of an endpoint; its token. */
  acquire(ttlMs = 0, slot: number = VM): number {
    const answer = this.#lease(KIND.CMD_ACQUIRE, LEASE_CLASS.INPUT, slot, ttlMs);
    assertEquals(answer.getUint16(FRAME.kind, true), KIND.LEASE_GRANTED);
    return readU64(answer, FRAME.inline + LEASE_GRANTED.at.token);
  }

  /** Asks for the input of the VM; whether it owns it now. */
  owns(): boolean {
    const answer = this.#lease(KIND.CMD_ACQUIRE, LEASE_CLASS.INPUT, VM, 0);
    return answer.getUint16(FRAME.kind, true) === KIND.LEASE_GRANTED;
  }

  /** Why an acquire is denied. */
  denied(cls: number): number {
    const answer = this.#lease(KIND.CMD_ACQUIRE, cls, VM, 0);
    assertEquals(answer.getUint16(FRAME.kind, true), KIND.LEASE_DENIED);
    return answer.getUint32(FRAME.inline + LEASE.at.reason, true);
  }

  /** Gives it back: 0, or the code of the refusal. */
  release(): number {
    const answer = this.#lease(KIND.CMD_RELEASE, LEASE_CLASS.INPUT, VM, 0);
    return answer.getUint16(FRAME.kind, true) === KIND.LEASE_RELEASED ? 0 : codeOf(answer);
  }

  /** An operation on the VM. */
  vm(op: number): number {
    return codeOf(this.#control.ask(this.#control.frameOf(KIND.CMD_VM, VM, (event) => event.words[0] = op)));
  }

  /** How many keys are held. */
  held(): number {
    const answer = this.#control.ask(this.#control.frameOf(KIND.CMD_QUERY_INPUT, VM, () => {}));
    assertEquals(answer.getUint16(FRAME.kind, true), KIND.INPUT_HELD);
    return answer.getUint32(FRAME.inline + INPUT_HELD.at.count, true);
  }

  /** Waits until its lease is taken away; why. */
  revoked(): number {
    const view = this.#control.await((kind) => kind === KIND.LEASE_REVOKED);
    return view.getUint32(FRAME.inline + LEASE.at.reason, true);
  }

  [Symbol.dispose](): void {
    this.#control[Symbol.dispose]();
  }

  #lease(command: number, cls: number, slot: number, ttlMs: number): DataView {
    return this.#control.ask(this.#control.frameOf(command, slot, (event) => {
      event.words[0] = cls;
      event.words[ACQUIRE.at.ttlMs / 4] = ttlMs;
    }));
  }
}

function codeOf(answer: DataView): number {
  assertEquals(answer.getUint16(FRAME.kind, true), KIND.ACT_ACK);
  return answer.getUint32(FRAME.inline + ACT_ACK.at.code, true);
}

/** The keys that the guest saw, from where it was asked last. */
class KeyLog {
  readonly #recorder: GuestProcess;
  #from = 0;

  constructor(recorder: GuestProcess) {
    this.#recorder = recorder;
  }

  /** "30:1" is key 30 going down; the guest's own repeats are left out. */
  get keys(): string[] {
    return this.#seen().map(({ key }) => key);
  }

  /**
   * Waits for these keys, and forgets them. What comes behind them counts for whoever looks next: a release
   * by a timer may be here as early as the press before it.
   */
  async sees(expected: readonly string[], what: string): Promise<void> {
    try {
      await until(what, () => this.keys.length >= expected.length);
    } finally {
      assertEquals(this.keys.slice(0, expected.length), expected, what);
    }
    this.#from += this.#seen()[expected.length - 1]?.end ?? 0;
  }

  /** What came until now does not count. */
  forget(): void {
    this.#from = this.#recorder.text.length;
  }

  #seen(): { readonly key: string; readonly end: number }[] {
    const text = this.#recorder.text.slice(this.#from);
    assert(!/^event\d+ 0 3 0$/m.test(text), "the recorder keeps up");
    return [...text.matchAll(/^event\d+ 1 (\d+) ([01])\n/gm)]
      .map(({ 0: line, 1: code, 2: value, index }) => ({
        key: `${code}:${value}`,
        end: index + line.length,
      }));
  }
}

async function record(vm: Qemu, ...words: string[]): Promise<KeyLog> {
  const recorder = await vm.agent.start("evrec", ...words);
  await recorder.lineMatching(/^recording/);
  return new KeyLog(recorder);
}

async function isUp(daemon: DaemonProcess, ...slots: number[]): Promise<void> {
  await using client = await daemon.connect("watch");
  const up = (slot: number) => client.roster.get(slot as EndpointId)?.seams.includes("input") === true;
  await until("input is up", () => slots.every(up));
}

Deno.test("bad input is refused with its code, and nothing of it arrives in the guest", async () => {
  await using vm = await startSavedGuest({ devices: ["virtio-input"], programs: ["evrec"], ramMiB: 256 });
  await using bare = await startFirmware();
  const log = await record(vm, "--late");
  await using daemon = await DaemonProcess.start();
  daemon.drop("vm", endpoint("vm", VM, vm.qmpPath));
  daemon.drop("bare", endpoint("bare", BARE, bare.qmpPath));
  await isUp(daemon, VM, BARE);
  using owner = new Hand(daemon);
  using other = new Hand(daemon);
  const a: Record = [KEY, 30, 1];

  assertEquals(owner.input([a]), CODE["no-lease"]);
  assertEquals(owner.input([a], 1), CODE["stale-lease"], "a token that was never given");
  const first = owner.acquire();
  assertEquals(owner.release(), 0);
  const token = owner.acquire();
  assertGreater(token, first);
  assertEquals(owner.acquire(), token, "acquired twice: the same token");
  assertEquals(owner.input([a], first), CODE["stale-lease"]);
  assertEquals(other.input([a], token), CODE["stale-lease"], "another's token");
  assertEquals(other.input([a]), CODE["no-lease"]);
  assertEquals(other.denied(LEASE_CLASS.INPUT), LEASE_DENY.HELD);
  assertEquals(other.denied(9), LEASE_DENY.BADCLASS);
  assertEquals(other.release(), CODE["no-lease"]);

  const full = Array.from({ length: 256 }, (_, i): Record => [KEY, 30, 1 - i % 2]);
  assertEquals(owner.input([...full, a]), CODE["too-large"]);
  assertEquals(owner.input(full.with(99, [KEY, 0, 1])), CODE["bad-argument"], "the 100th record is bad");
  const bad: Record[] = [[KEY, 0, 1], [KEY, 0x300, 1], [KEY, -1, 1], [KEY, 30, 2], [ABS, 0, 0x8000], [
    ABS,
    0,
    -1,
  ], [
    ABS,
    2,
    0,
  ], [5, 30, 1]];
  for (const record of bad) assertEquals(owner.input([a, record]), CODE["bad-argument"], `${record}`);
  owner.acquire(0, BARE);
  const abs: Record[] = [[ABS, 0, 1]];
  assertEquals(owner.input(abs, 0, BARE), CODE.refused, "there is no tablet");
  assertEquals(owner.input([[KEY, 30, 1], [KEY, 30, 0]]), CODE.ok);
  await log.sees(["30:1", "30:0"], "the good one, alone");
  assertEquals(owner.input(full), CODE.ok, "256 are a frame");
  await log.sees(full.map(([, code, value]) => `${code}:${value}`), "all 256");

  assertEquals(owner.input(down(CHORD)), CODE.ok);
  await log.sees(pressed(CHORD), "the chord");
  assertEquals(other.vm(VM_OP.STOP), CODE.ok);
  // QEMU refuses a key-up once the VM stands still: none is held only if they went before.
  assertEquals(owner.held(), 0);
  assertEquals(owner.input([a]), CODE.refused, "the VM is paused");
  assertEquals(other.vm(VM_OP.CONT), CODE.ok);
  await log.sees(released(CHORD), "released before the pause, and no more");
  assertEquals(owner.input([[KEY, 30, 1], [KEY, 30, 0]], token), CODE.ok, "the lease has lasted");
  await log.sees(["30:1", "30:0"], "input goes on");
});

/** An owner that streams frames of ten keys is killed: frames are whole, and nothing stays down. */
async function killedOwner(daemon: DaemonProcess, log: KeyLog): Promise<void> {
  const program = `${daemon.folder}/input_client`;
  const built = new Deno.Command("cc", { args: ["-O1", "-std=gnu11", "-o", program, CLIENT] }).outputSync();
  assertEquals(built.code, 0, new TextDecoder().decode(built.stderr));
  const ten = Array.from({ length: 10 }, (_, i) => 2 + i);
  for (let round = 0; round < 3; round++) {
    const child = new Deno.Command(program, { args: ["stream", daemon.socket, `${VM}`], stdout: "piped" })
      .spawn();
    const reader = child.stdout.getReader();
    assertEquals(new TextDecoder().decode((await reader.read()).value), "streaming\n");
    await new Promise((resolve) => setTimeout(resolve, 7 * round));
    child.kill("SIGKILL");
    await child.status;
    await reader.cancel();
    {
      using next = new Hand(daemon);
      await until("the lease is free", () => next.owns());
      assertEquals(next.held(), 0);
      assertEquals(next.input([[KEY, 1, 1], [KEY, 1, 0]]), CODE.ok);
    }
    await until("the next owner's key", () => log.keys.at(-1) === "1:0");
    const keys = log.keys.slice(0, -2);
    for (let at = 0; at < keys.length; at += 20) {
      assertEquals(keys.slice(at, at + 10), pressed(ten), `frame at ${at}`);
      const up = keys.slice(at + 10, at + 20);
      const isLast = at + 20 >= keys.length;
      // The last ones may be the daemon's, which releases what went down first.
      const order = isLast && up[0] === "2:0" ? ten : ten.toReversed();
      assertEquals(up, released(order), `frame at ${at + 10}`);
    }
    log.forget();
  }
}

Deno.test("whoever ends, and however, the guest's keyboard is neutral", async () => {
  await using vm = await startSavedGuest({ devices: ["virtio-input"], programs: ["evrec"], ramMiB: 256 });
  const log = await record(vm, "--late");
  const folder = await Deno.makeTempDir({ prefix: "vmsig-daemon-" });
  try {
    const start = async (): Promise<DaemonProcess> => {
      const daemon = await DaemonProcess.start({
        folder,
        config: `[[endpoint]]\n${endpoint("vm", VM, vm.qmpPath)}`,
      });
      await isUp(daemon, VM);
      return daemon;
    };
    const hold = async (hand: Hand, ttlMs = 0): Promise<void> => {
      let code: number = CODE["stale-lease"];
      // On a busy machine the lease may be over before its first key.
      while (code === CODE["stale-lease"] || code === CODE["no-lease"]) {
        hand.acquire(ttlMs);
        code = hand.input(down(CHORD));
      }
      assertEquals(code, CODE.ok);
      await log.sees(pressed(CHORD), "the chord goes down");
    };
    {
      await using daemon = await start();
      await killedOwner(daemon, log);
      using hand = new Hand(daemon);
      await hold(hand, 300);
      assertEquals(hand.revoked(), LEASE_REVOKE.NOT_KEPT_ALIVE);
      await log.sees(released(CHORD), "an owner that is not heard of");
      await hold(hand);
      assertEquals((await daemon.stop()).code, 0);
      await log.sees(released(CHORD), "SIGTERM of the daemon");
    }
    {
      await using daemon = await start();
      using hand = new Hand(daemon);
      await hold(hand);
      await daemon.crash();
      // Nobody is there to release it: this shows that the next daemon does.
      await new Promise((resolve) => setTimeout(resolve, 400));
      assertEquals(log.keys, []);
    }
    await using daemon = await start();
    await log.sees(released(CHORD), "the daemon after one that was killed");
    using hand = new Hand(daemon);
    assertNotEquals(hand.acquire(), 0);
    assertEquals([hand.held(), hand.input([[KEY, 30, 1], [KEY, 30, 0]])], [0, CODE.ok]);
    await log.sees(["30:1", "30:0"], "the next owner's key, and nothing more");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("an endpoint that is detached leaves its guest's keyboard neutral", async () => {
  await using vm = await startSavedGuest({ devices: ["virtio-input"], programs: ["evrec"], ramMiB: 256 });
  const log = await record(vm);
  await using daemon = await DaemonProcess.start();
  daemon.drop("vm", endpoint("vm", VM, vm.qmpPath));
  await isUp(daemon, VM);
  using hand = new Hand(daemon);
  hand.acquire();
  assertEquals(hand.input(down(CHORD)), CODE.ok);
  await log.sees(pressed(CHORD), "the chord");
  daemon.take("vm");
  assertEquals(hand.revoked(), LEASE_REVOKE.ENDPOINT_GONE);
  await log.sees(released(CHORD), "the release");
  assert(vm.running);
});
