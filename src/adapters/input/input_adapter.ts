/**
 * The INPUT seam: frames in order to a driver, what is held in the guest, and bringing the guest to rest.
 *
 * A frame is checked whole, then carried out whole: one that has begun is finished even when its owner is
 * gone, and only then is what it pressed released. Between the end of one owner and the next stands a
 * barrier: queued frames are answered `stale-lease`, the frame under way ends, everything held is released,
 * QEMU acknowledges, `done`.
 *
 * What cannot be released (the VM stands still, or QEMU is unreachable) is released as soon as it can be,
 * before anything else; when the process that held it is gone there is nothing to release. A reset releases
 * what is held, too: the guest forgot it, but QEMU's devices did not, and its owner cannot know.
 * @module
 */
import { CODE, type Code } from "../../base/codes.ts";
import { MAX_INPUT_QUEUE } from "../../base/limits.ts";
import type { Adapter, CloseReason, Seat } from "../../core/adapter_port.ts";
import { LEASE_CLASS, type LeaseClass, SEAM_REASON } from "../../event/body_number.ts";
import { KIND } from "../../event/kind.ts";
import { SOURCE, type Source } from "../../event/source.ts";
import type { TransferEvent } from "../../event/transfer_event.ts";
import { FrameQueue } from "./frame_queue.ts";
import { HeldLedger } from "./held_ledger.ts";
import type { HeldStore } from "./held_record.ts";
import { codeOfEntry, kindOfEntry } from "./held_set.ts";
import type { InputDriver, InputDriverHost, StepOutcome } from "./input_driver.ts";
import { InputFrame } from "./input_frame.ts";

/** The adapter of one endpoint's input. */
export class InputAdapter implements Adapter, InputDriverHost {
  readonly source: Source = SOURCE.INPUT;
  readonly name: string;
  readonly #driver: InputDriver;
  readonly #held: HeldLedger;
  readonly #queue = new FrameQueue();
  readonly #release = new InputFrame();
  #seat: Seat | null = null;
  #up = false;
  /** Frames that the driver has. */
  #underWay = 0;
  #releasing = false;
  /** Who waits for the guest to be neutral. */
  #waiting: (() => void)[] = [];
  /** Something may be down that no owner holds: to be released before the next frame. */
  #neutralDue = false;
  /** What is down could not be released: to be tried again when the guest runs. */
  #neutralWhenRunning = false;
  #closing = false;
  /** No frame goes before the end of this turn. */
  #paused = false;

  /**
   * Makes it.
   *
   * @param driver carries frames out
   * @param store keeps what is held for the next daemon; without one a killed daemon leaves it down
   */
  constructor(driver: InputDriver, store?: HeldStore) {
    this.#driver = driver;
    this.#held = new HeldLedger(store);
    this.name = `input/${driver.name}`;
  }

  open(seat: Seat): void {
    this.#seat = seat;
    this.#held.load(seat.log);
    this.#driver.open(this, seat.loop, seat.log, seat.endpointName);
  }

  command(event: TransferEvent): void {
    const seat = this.#seat;
    if (seat === null) return;
    if (event.kind === KIND.CMD_QUERY_INPUT) return this.#answerHeld(seat, event.ticket);
    if (event.kind !== KIND.CMD_INPUT) return seat.ack(event.ticket, CODE["bad-argument"]);
    if (!this.#up || this.#closing) return seat.ack(event.ticket, CODE["seam-down"]);
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
      // The stop goes to QEMU within this turn of the loop: no frame may press anything before it does.
      this.#held.note();
      this.#paused = true;
      done();
      const seat = this.#seat;
      if (seat === null) return;
      seat.loop.defer(() => {
        this.#paused = false;
        if (this.#seat === seat) this.#driver.poke();
      }, this);
    });
  }

  close(_reason: CloseReason, closed: () => void): void {
    this.#closing = true;
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
    if (!this.#up || this.#releasing || this.#paused) return null;
    if (this.#neutralDue || this.#waiting.length > 0) {
      if (this.#underWay > 0) return null;
      const release = this.#releaseFrame();
      if (release !== null) return release;
      this.#settle();
    }
    return this.#paused ? null : this.#nextQueued();
  }

  /** Called by the driver. */
  onStepSending(frame: InputFrame, from: number, to: number): void {
    this.#held.expect(frame, from, to);
  }

  /** Called by the driver. */
  onStepDone(frame: InputFrame, from: number, to: number, outcome: StepOutcome): void {
    if (outcome === "applied") this.#held.apply(frame, from, to);
    else if (outcome === "uncertain") this.#held.suspect(frame, from, to);
  }

  /** Called by the driver. */
  onFrameDone(frame: InputFrame): void {
    this.#underWay--;
    if (frame === this.#release) return this.#onReleased(frame);
    // It broke in the middle: what it pressed would stay, and no owner could tell what that is.
    if (frame.code !== CODE.ok && frame.stepsDone > 0 && this.#held.size > 0) this.#neutralDue = true;
    this.#seat?.ack(frame.ticket, frame.code, 0, 0, frame.words);
    this.#queue.giveBack(frame);
  }

  /** Called by the driver. */
  onDriverUp(pid: number): void {
    const seat = this.#seat;
    if (seat === null) return;
    this.#up = true;
    this.#held.attach(pid);
    this.#neutralDue = this.#held.size > 0;
    seat.up(pid);
    this.#driver.poke();
  }

  /** Called by the driver. */
  onDriverDown(reason: number, code: Code, text: string): void {
    this.#up = false;
    this.#answerQueued(CODE["seam-down"]);
    // Whoever waits is told: what is left is released when the driver is up again.
    if (!this.#releasing) this.#tellNeutral();
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
    // Stopped past us: its owner can release nothing now, so it is done when the guest runs.
    if (this.#held.size > 0) this.#neutralWhenRunning = true;
  }

  /** Called by the driver. */
  onGuestRuns(): void {
    if (!this.#neutralWhenRunning) return;
    this.#neutralWhenRunning = false;
    this.#makeNeutral();
  }

  #makeNeutral(): void {
    if (this.#held.size === 0 && this.#underWay === 0) return;
    this.#neutralDue = true;
    this.#driver.poke();
  }

  #comeToRest(done: () => void): void {
    this.#waiting.push(done);
    if (this.#up) this.#driver.poke();
    else if (!this.#releasing) this.#tellNeutral();
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

  #releaseFrame(): InputFrame | null {
    if (this.#held.size === 0) return null;
    const frame = this.#release.clear();
    frame.isRelease = true;
    for (const entry of this.#held) frame.push(kindOfEntry(entry), codeOfEntry(entry), 0, 0);
    this.#releasing = true;
    this.#underWay++;
    return frame;
  }

  #onReleased(frame: InputFrame): void {
    this.#releasing = false;
    // Refused: the guest stands still. Otherwise unreachable: coming up again releases it.
    if (frame.code === CODE.refused) this.#neutralWhenRunning = true;
    this.#settle();
  }

  #settle(): void {
    this.#neutralDue = false;
    this.#held.note();
    this.#tellNeutral();
  }

  #tellNeutral(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const done of waiting) done();
  }

  #answerQueued(code: Code): void {
    for (;;) {
      const frame = this.#queue.shift();
      if (frame === null) return;
      this.#seat?.ack(frame.ticket, code);
      this.#queue.giveBack(frame);
    }
  }

  #answerHeld(seat: Seat, ticket: number): void {
    const answer = seat.event(KIND.INPUT_HELD);
    this.#held.fill(answer);
    seat.reply(ticket, answer);
  }
}
