/**
 * Flow control for QEMU's PS/2 keyboard. Its queue holds 16 bytes that the guest has not read, a key takes 1
 * to 8 of them, and QEMU acknowledges input-send-event even if they do not fit: a lost release then leaves a
 * key held in the guest.
 *
 * The status port of the keyboard controller shows whether a byte is waiting (bit 0, OBF), and reading it has
 * no side effect; QEMU's human monitor can read ports (`i /b 0x64`, 0.3 ms). If no byte is waiting, the queue
 * is empty and 16 bytes fit; what is sent afterwards is counted, at its maximum size. A byte of the mouse may
 * also be waiting there, and is taken for one of the keyboard, which costs a pause but loses nothing.
 *
 * A guest that has read nothing for a second hangs, or does not use this keyboard: then input is sent all the
 * same, and releases that may not have fitted are repeated as soon as the queue is empty. Releasing a key
 * that is up has no effect.
 *
 * If there is no such controller (its port reads as 0xff) or no such command, only the pace of steps applies.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { MS, SECOND } from "../../base/clock.ts";
import type { LoopPort, TimerHandler } from "../../core/adapter_port.ts";
import { INPUT_KIND } from "../../event/body_number.ts";
import type { QmpLink } from "../../qemu/monitor/qmp_link.ts";
import type { HmpReply } from "../../qemu/protocol/hmp.ts";
import type { InputFrame } from "./input_frame.ts";
import { QCODE_OF_KEY } from "./qmp_keys.ts";

/** Size of the queue of QEMU's PS/2 keyboard, bytes (its PS2_QUEUE_SIZE). */
const PS2_QUEUE_BYTES = 16;
/** From so many bytes on it is looked whether the guest has read them: more are about to come. */
const LOOK_FROM_BYTES = 6;
/**
 * The same for a step that is sent alone: its sender has to wait for it before the next one, and QEMU answers
 * that one only after the look. A key's press and release still fit meanwhile.
 */
const LOOK_ALONE_FROM_BYTES = 11;
/** How long to wait before a full queue is looked at again: a guest takes about 0.1 ms a byte. */
export const PS2_LOOK_GAP_NS: number = 1 * MS;
const OUTPUT_FULL = 0x01;
const NO_CONTROLLER = 0xff;
const ANSWER_NS = 5 * SECOND;
const HUNG_NS = SECOND;
/** Interval of checks whether releases can be repeated, ns. */
const AGAIN_NS = 250 * MS;
/** Releases per command: they fit, with any keys but two. */
const AGAIN_KEYS = 5;
const STATUS_CHARS = 64;
/** evdev codes of keys with long scan codes. */
const PRINT = 99;
const PAUSE = 119;
/** From this evdev code on a key may have a prefix byte. */
const FIRST_EXTENDED = 96;

/**
 * What is known about the controller. `unknown`: nothing yet. `none`: the machine has none that can be read.
 * `reads`: the guest reads what it gets. `full`: steps are held back. `hung`: the guest has read nothing for
 * a second.
 */
type Ps2State =
  | { readonly at: "unknown" | "none" | "reads" | "hung" }
  | { readonly at: "full"; readonly sinceNs: number };

const UNKNOWN: Ps2State = { at: "unknown" };
const NONE: Ps2State = { at: "none" };
const READS: Ps2State = { at: "reads" };
const HUNG: Ps2State = { at: "hung" };

/** Flow control of one VM's keyboard. */
export class Ps2Gauge implements TimerHandler {
  readonly #link: QmpLink;
  readonly #loop: LoopPort;
  readonly #onRoom: () => void;
  readonly #isInUse: () => boolean;
  #state: Ps2State = UNKNOWN;
  /** Bytes sent that the guest may not have read. */
  #outstanding = 0;
  /** Bytes sent since the check that is under way. */
  #sentSince = 0;
  #isLooking = false;
  #generation = 0;
  /** evdev codes of keys whose release may have been lost. */
  readonly #unsure = new Set<number>();

  /**
   * Starts with a check.
   *
   * @param onRoom called when there is room again
   * @param isInUse whether keys go to this keyboard; false while a virtio keyboard gets them
   */
  constructor(link: QmpLink, loop: LoopPort, onRoom: () => void, isInUse: () => boolean) {
    this.#link = link;
    this.#loop = loop;
    this.#onRoom = onRoom;
    this.#isInUse = isInUse;
    this.#look();
  }

  /** Whether the keys of a step fit. */
  hasRoom(frame: InputFrame, from: number, to: number, nowNs: number): boolean {
    const state = this.#state;
    if (state.at === "unknown" || state.at === "none" || !this.#isInUse()) return true;
    const bytes = bytesOf(frame, from, to);
    if (bytes === 0 || this.#fits(bytes)) return true;
    this.#look();
    if (state.at === "reads") this.#state = { at: "full", sinceNs: nowNs };
    else if (state.at === "full" && nowNs - state.sinceNs >= HUNG_NS) this.#state = HUNG;
    return this.#state.at === "hung";
  }

  /**
   * A step goes.
   *
   * @param isAlone nothing else is under way, and nothing follows it yet
   */
  take(frame: InputFrame, from: number, to: number, isAlone: boolean): void {
    if (this.#state.at === "none" || !this.#isInUse()) return;
    for (let i = from; i < to; i++) {
      if (frame.kinds[i] !== INPUT_KIND.KEY) continue;
      const code = frame.codes[i] ?? 0;
      const isUp = frame.values[i] === 0;
      const bytes = keyBytes(code, isUp);
      if (isUp && !this.#fits(bytes)) this.#unsure.add(code);
      else this.#unsure.delete(code);
      this.#count(bytes);
    }
    if (this.#outstanding >= (isAlone ? LOOK_ALONE_FROM_BYTES : LOOK_FROM_BYTES)) this.#look();
    if (this.#unsure.size > 0) this.#loop.arm(this, this.#loop.clock.nowNs() + AGAIN_NS);
  }

  /** The guest was reset, and its keyboard with it. */
  reset(): void {
    this.#outstanding = this.#sentSince = 0;
    this.#unsure.clear();
    this.#generation++;
    this.#isLooking = false;
    if (this.#state.at !== "none") this.#state = UNKNOWN;
  }

  /** Ends it: nothing is sent any more. */
  close(): void {
    this.reset();
    this.#state = NONE;
    this.#loop.disarm(this);
  }

  /** Called by the loop: releases are to be repeated. */
  onTimer(nowNs: number): void {
    if (this.#unsure.size === 0) return;
    this.#look();
    this.#loop.arm(this, nowNs + AGAIN_NS);
  }

  #fits(bytes: number): boolean {
    return this.#outstanding === 0 || this.#outstanding + bytes <= PS2_QUEUE_BYTES;
  }

  #count(bytes: number): void {
    this.#outstanding += bytes;
    this.#sentSince += bytes;
  }

  #look(): void {
    if (this.#isLooking) return;
    this.#isLooking = true;
    this.#sentSince = 0;
    const generation = this.#generation;
    this.#link.hmp(
      "i /b 0x64",
      (reply) => {
        if (generation === this.#generation) this.#onStatus(statusOf(reply));
      },
      ANSWER_NS,
      STATUS_CHARS,
    );
  }

  // QEMU works in order: bytes sent before the check were in the queue that it saw, later ones were not.
  #onStatus(status: number): void {
    assert(this.#isLooking, "a look is answered once");
    this.#isLooking = false;
    if (status === NO_CONTROLLER) {
      this.#state = NONE;
      this.#unsure.clear();
    } else if ((status & OUTPUT_FULL) === 0) {
      this.#state = READS;
      this.#outstanding = this.#sentSince;
      if (this.#unsure.size > 0 && this.#outstanding === 0) this.#releaseAgain();
    } else {
      if (this.#state.at === "unknown") this.#state = READS;
      return;
    }
    this.#onRoom();
  }

  #releaseAgain(): void {
    const codes = [...this.#unsure].slice(0, AGAIN_KEYS);
    const events = codes.map((code) => ({
      type: "key",
      data: { key: { type: "qcode", data: QCODE_OF_KEY[code] }, down: false },
    }));
    for (const code of codes) {
      this.#unsure.delete(code);
      this.#count(keyBytes(code, true));
    }
    this.#link.execute("input-send-event", { events }, () => {}, { timeoutNs: ANSWER_NS });
  }
}

/** The status in QEMU's answer, "portb[0x0064] = 0x1c"; as if there were no controller if it has none. */
function statusOf(reply: HmpReply): number {
  const found = reply.outcome === "text" ? /= 0x([0-9a-f]{1,2})\s*$/.exec(reply.text) : null;
  return found === null ? NO_CONTROLLER : parseInt(found[1] ?? "ff", 16);
}

function bytesOf(frame: InputFrame, from: number, to: number): number {
  let bytes = 0;
  for (let i = from; i < to; i++) {
    if (frame.kinds[i] === INPUT_KIND.KEY) bytes += keyBytes(frame.codes[i] ?? 0, frame.values[i] === 0);
  }
  return bytes;
}

/**
 * The maximum size of a key's transition, bytes, in scan code set 2 (which is never shorter than set 1).
 *
 * @param code the evdev code
 */
function keyBytes(code: number, isUp: boolean): number {
  if (code === PAUSE) return isUp ? 0 : 8;
  if (code === PRINT) return isUp ? 6 : 4;
  return (code >= FIRST_EXTENDED ? 2 : 1) + (isUp ? 1 : 0);
}
