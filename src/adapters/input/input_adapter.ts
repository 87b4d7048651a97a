/**
 * The INPUT seam: passes frames to a driver in order, keeps track of what is held in the guest, and releases
 * it.
 *
 * A frame is checked as a whole, and then carried out as a whole: one that has begun is finished even if its
 * owner is gone, and only then are its keys released. Between two owners there is a barrier: queued frames
 * are answered `stale-lease`, the current frame ends, everything held is released, QEMU acknowledges, `done`.
 *
 * What cannot be released now (the VM is paused, or QEMU is unreachable) is released as soon as possible,
 * before any other input; if the process in which it was held is gone, nothing needs to be released. A reset
 * also releases what is held, because the guest has forgotten it but QEMU's devices have not, and the owner
 * cannot know.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { CODE, type Code } from "../../base/codes.ts";
import { MAX_INPUT_QUEUE } from "../../base/limits.ts";
import type { Adapter, CloseReason, Seat } from "../../core/adapter_port.ts";
import { LEASE_CLASS, type LeaseClass, SEAM_REASON, type SeamReason } from "../../event/body_number.ts";
import { KIND } from "../../event/kind.ts";
import { SOURCE, type Source } from "../../event/source.ts";
import type { TransferEvent } from "../../event/transfer_event.ts";
import { FrameQueue } from "./frame_queue.ts";
import { HeldLedger } from "./held_ledger.ts";
import type { HeldStore } from "./held_record.ts";
import { codeOfEntry, kindOfEntry } from "./held_set.ts";
import type { InputDriver, InputDriverHost, StepOutcome } from "./input_driver.ts";
import { InputFrame } from "./input_frame.ts";

/**
 * What the driver may be given: nothing, because it is down; frames; nothing, because it is releasing what is
 * held; nothing until the end of this turn, in which the VM is stopped.
 */
type Phase = "down" | "open" | "releasing" | "stopping";

/**
 * Keys that may be down without an owner: none; some, to be released before the next frame; some that could
 * not be released, to be tried again when the guest runs.
 */
type Release = "nothing" | "due" | "when-running";

/** The adapter of one endpoint's input. */
export class InputAdapter implements Adapter, InputDriverHost {
  readonly source: Source = SOURCE.INPUT;
  readonly name: string;
  readonly #driver: InputDriver;
  readonly #held: HeldLedger;
  readonly #queue = new FrameQueue();
  readonly #releaseFrame = new InputFrame();
  #seat: Seat | null = null;
  #phase: Phase = "down";
  /** Why it is down, for the senders of input meanwhile. */
  #away = (): string => "the VM's input is still being connected";
  #release: Release = "nothing";
  #isClosing = false;
  /** Frames that the driver has. */
  #underWay = 0;
  /** Callbacks that wait until the guest is neutral. */
  #waiting: (() => void)[] = [];

  /**
   * Makes it.
   *
   * @param driver carries frames out
   * @param store keeps what is held for the next daemon; without one, a daemon that is killed leaves it down
   */
  constructor(driver: InputDriver, store?: HeldStore) {
    this.#driver = driver;
    this.#held = new HeldLedger(store);
    this.name = `input/${driver.name}`;
  }

  open(seat: Seat): void {
    assert(this.#seat === null && !this.#isClosing, "an input adapter is opened once");
    this.#seat = seat;
    this.#held.load(seat.log);
    this.#driver.open(this, seat.loop, seat.log, seat.endpointName);
  }

  command(event: TransferEvent): void {
    const seat = this.#seat;
    if (seat === null) return;
    if (event.kind === KIND.CMD_QUERY_INPUT) return this.#answerHeld(seat, event.ticket);
    if (event.kind !== KIND.CMD_INPUT) return seat.ack(event.ticket, CODE["bad-argument"]);
    if (this.#phase === "down" || this.#isClosing) {
      return seat.ack(event.ticket, CODE["seam-down"], 0, 0, this.#away());
    }
    if (this.#queue.length >= MAX_INPUT_QUEUE) return seat.ack(event.ticket, CODE.busy);
    const frame = this.#queue.blank();
    const code = frame.read(event, this.#driver);
    if (code !== CODE.ok) {
      this.#queue.giveBack(frame);
      return seat.ack(event.ticket, code);
    }
    this.#queue.push(frame);
    this.#driver.poke();
  }

  finalize(cls: LeaseClass, done: () => void): void {
    if (cls !== LEASE_CLASS.INPUT) return done();
    this.#answerQueued(CODE["stale-lease"]);
    this.#driver.forgetFractions();
    this.#comeToRest(done);
  }

  beforeStop(done: () => void): void {
    this.#comeToRest(() => {
      // The stop is sent to QEMU within this turn of the loop: no frame may press anything before it.
      this.#held.note();
      if (this.#phase === "open") this.#phase = "stopping";
      done();
      const seat = this.#seat;
      if (seat === null) return;
      seat.loop.defer(() => {
        if (this.#phase === "stopping") this.#phase = "open";
        if (this.#seat === seat) this.#driver.poke();
      }, this);
    });
  }

  close(_reason: CloseReason, closed: () => void): void {
    assert(!this.#isClosing, "an input adapter is closed once");
    this.#isClosing = true;
    this.#answerQueued(CODE["seam-down"]);
    this.#comeToRest(() => {
      this.#seat = null;
      this.#driver.close();
      this.#held.close();
      closed();
    });
  }

  /** Called by the core. */
  onFault(error: unknown): void {
    if (this.#driver.onFault !== undefined) return this.#driver.onFault(error);
    this.onDriverDown(SEAM_REASON.PROTOCOL_ERROR, CODE["seam-down"], "the input driver failed");
  }

  /** Called by the driver. */
  nextFrame(): InputFrame | null {
    if (!this.#mayGo()) return null;
    if (this.#release === "due" || this.#waiting.length > 0) {
      if (this.#underWay > 0) return null;
      if (this.#held.size > 0) return this.#beginRelease();
      this.#settle();
    }
    // A callback that was told the guest is neutral may have stopped it.
    return this.#mayGo() ? this.#nextQueued() : null;
  }

  #mayGo(): boolean {
    return this.#phase === "open";
  }

  /** Called by the driver. */
  onStepSending(frame: InputFrame, from: number, to: number): void {
    assert(from < to && to <= frame.count, "a step is of its frame's records");
    this.#held.expect(frame, from, to);
  }

  /** Called by the driver. */
  onStepDone(frame: InputFrame, from: number, to: number, outcome: StepOutcome): void {
    if (outcome === "applied") this.#held.apply(frame, from, to);
    else if (outcome === "uncertain") this.#held.suspect(frame, from, to);
  }

  /** Called by the driver. */
  onFrameDone(frame: InputFrame): void {
    assert(this.#underWay > 0, "a frame that is over was the driver's, once");
    this.#underWay--;
    if (frame === this.#releaseFrame) return this.#onReleased(frame);
    // It failed in the middle: keys that it pressed would stay down, and no owner could know which.
    if (frame.code !== CODE.ok && frame.stepsDone > 0 && this.#held.size > 0) this.#release = "due";
    this.#seat?.ack(frame.ticket, frame.code, 0, 0, frame.words);
    this.#queue.giveBack(frame);
  }

  /** Called by the driver. */
  onDriverUp(pid: number): void {
    const seat = this.#seat;
    if (seat === null) return;
    assert(this.#phase === "down", "a driver that is up does not come up");
    this.#phase = "open";
    this.#held.attach(pid);
    if (this.#held.size > 0) this.#release = "due";
    else if (this.#release === "due") this.#release = "nothing";
    seat.up(pid);
    this.#driver.poke();
  }

  /** Called by the driver. */
  onDriverDown(reason: SeamReason, code: Code, text: string, away = () => text): void {
    this.#phase = "down";
    this.#away = away;
    this.#answerQueued(CODE["seam-down"], away());
    // Waiting callbacks are called: what is left is released when the driver is up again.
    this.#tellNeutral();
    const seat = this.#seat;
    if (seat === null) return;
    seat.down(reason);
    if (text !== "") seat.emitError(code, reason, text);
  }

  /** Called by the driver. */
  onGuestReset(): void {
    this.#driver.forgetFractions();
    this.#makeNeutral();
  }

  /** Called by the driver. */
  onGuestStopped(): void {
    // The VM was stopped by another client: the owner can release nothing now, so it is done when the guest
    // runs.
    if (this.#held.size > 0 && this.#release === "nothing") this.#release = "when-running";
  }

  /** Called by the driver. */
  onGuestRuns(): void {
    if (this.#release !== "when-running") return;
    this.#release = "nothing";
    this.#makeNeutral();
  }

  #makeNeutral(): void {
    if (this.#held.size === 0 && this.#underWay === 0) return;
    this.#release = "due";
    this.#driver.poke();
  }

  #comeToRest(done: () => void): void {
    this.#waiting.push(done);
    if (this.#phase === "down") this.#tellNeutral();
    else this.#driver.poke();
  }

  #nextQueued(): InputFrame | null {
    for (;;) {
      const frame = this.#queue.shift();
      if (frame === null) return null;
      if (this.#seat?.leaseIsLive(LEASE_CLASS.INPUT, frame.token) === true) {
        this.#underWay++;
        return frame;
      }
      this.#seat?.ack(frame.ticket, CODE["stale-lease"]);
      this.#queue.giveBack(frame);
    }
  }

  #beginRelease(): InputFrame {
    assert(this.#phase === "open" && this.#underWay === 0, "what is held is released between two frames");
    const frame = this.#releaseFrame.clear();
    frame.isRelease = true;
    for (const entry of this.#held) frame.push(kindOfEntry(entry), codeOfEntry(entry), 0, 0);
    this.#phase = "releasing";
    this.#underWay++;
    return frame;
  }

  #onReleased(frame: InputFrame): void {
    if (this.#phase === "releasing") this.#phase = "open";
    // Refused: the guest is paused. Otherwise unreachable: it is released when the driver comes up.
    this.#release = frame.code === CODE.ok ? "nothing" : "when-running";
    this.#settle();
  }

  #settle(): void {
    if (this.#release === "due") this.#release = "nothing";
    this.#held.note();
    this.#tellNeutral();
  }

  #tellNeutral(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const done of waiting) done();
  }

  #answerQueued(code: Code, words = ""): void {
    for (;;) {
      const frame = this.#queue.shift();
      if (frame === null) return;
      this.#seat?.ack(frame.ticket, code, 0, 0, words);
      this.#queue.giveBack(frame);
    }
  }

  #answerHeld(seat: Seat, ticket: number): void {
    const answer = seat.event(KIND.INPUT_HELD);
    this.#held.fill(answer);
    seat.reply(ticket, answer);
  }
}
