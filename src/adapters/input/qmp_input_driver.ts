/**
 * Input through QEMU's monitor: a step of a frame is one input-send-event, several are in flight, in order,
 * and a frame is complete when QEMU has acknowledged all.
 *
 * Pace, measured with Debian's cloud kernel under TCG on two cores, 2,000 key transitions per run, one per
 * command: QEMU 7.2 carries out 1,500 to 1,900 such commands per second (950 to 1,150 beside other load),
 * however many are in flight, because it reads its monitor at 3 us per byte; a single one takes 0.5 ms.
 * Virtio and PS/2 keyboards lost nothing at that rate on a quiet machine; on a loaded one, a reader in the
 * guest lost events in its kernel buffer. Therefore steps follow the pace of step_pace.ts, {@linkcode
 * VirtioGauge} holds back for a guest that lags, and few are in flight: more would gain nothing and delay
 * other users of the monitor. 1,000 characters, all received in the guest: 665 per second.
 *
 * For the same reason a release of 20 keys takes 5 ms as one command of 1.5 KB, and 9 ms as 20 commands.
 *
 * A PS/2 keyboard holds 16 unread bytes, and silently drops more: {@linkcode Ps2Gauge} keeps within that
 * limit.
 *
 * A step that is sent alone, with nothing in flight, is not paced: a sender that waits for each
 * acknowledgement is limited by QEMU itself.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { CODE, type Code } from "../../base/codes.ts";
import { SECOND } from "../../base/clock.ts";
import type { LoopPort, TimerHandler } from "../../core/adapter_port.ts";
import { INPUT_KIND } from "../../event/body_number.ts";
import type { QmpReply } from "../../qemu/protocol/qmp_client.ts";
import { isObject, type QmpEvent } from "../../qemu/protocol/qmp_message.ts";
import type { QmpLink, QmpLinkUser } from "../../qemu/monitor/qmp_link.ts";
import type { QmpLoss } from "../../qemu/monitor/qmp_loss.ts";
import { codeOf, wordsOf } from "../vmhost/qmp_verdict.ts";
import type { InputDriver, InputDriverHost } from "./input_driver.ts";
import type { InputFrame } from "./input_frame.ts";
import { stepEnd } from "./input_step.ts";
import { Pace } from "./pace.ts";
import { PumpLoop } from "./pump_loop.ts";
import { eventsOf, hasAbsolute, hasKeys, notchEvents, outcomeOf } from "./qmp_input_events.ts";
import { QCODE_OF_KEY, QEMU_BUTTON_OF } from "./qmp_keys.ts";
import { PS2_LOOK_GAP_NS, Ps2Gauge } from "./ps2_gauge.ts";
import { tabletLack } from "./tablet.ts";
import { STEP_BURST, STEP_GAP_NS } from "./step_pace.ts";
import { ALONE_WINDOW_ENTRIES, LOOK_GAP_NS, VirtioGauge, WINDOW_ENTRIES } from "./virtio_gauge.ts";

const MAX_STEPS_UNDER_WAY = 4;
/** Longer than the link takes to notice a silent QEMU: that is what ends the wait. */
const ANSWER_NS = 5 * SECOND;
/** Key-ups per command: they fit in a virtio ring with their SYN_REPORT. */
const RELEASE_GROUP_VIRTIO = 30;
/**
 * For PS/2 and USB keyboards, whose queues in QEMU hold 16 bytes and 16 events: a key-up is up to 3 bytes.
 */
const RELEASE_GROUP_OTHER = 5;
/** The weight of such a group of key-ups in steps: the guest takes 80 us per byte to read them. */
const RELEASE_WEIGHT_OTHER = 2;

const { SCROLL } = INPUT_KIND;

/** Options of the driver. */
export interface QmpInputOptions {
  /** The QEMU display whose devices are used (`device` of input-send-event); omitted: any. */
  readonly display?: string;
}

/** Whether the guest uses an absolute pointing device, as far as is known. */
type TabletState =
  | { readonly kind: "unknown" | "used" }
  /** The frame for which QEMU was asked. */
  | { readonly kind: "asked"; readonly frame: InputFrame };

const UNKNOWN_TABLET: TabletState = { kind: "unknown" };

interface StepUnderWay {
  readonly frame: InputFrame;
  readonly from: number;
  readonly to: number;
}

/** Starts without a monitor. */
export class QmpInputDriver implements InputDriver, QmpLinkUser, TimerHandler {
  readonly name = "qmp";
  readonly #link: QmpLink;
  readonly #display: string | undefined;
  readonly #steps: (StepUnderWay | undefined)[] = [];
  readonly #onReply = (reply: QmpReply, tag: number) => this.#onStep(reply, tag);
  readonly #pump = () => this.poke();
  readonly #stepLoop = new PumpLoop(() => this.#up && this.#next());
  #host: InputDriverHost | null = null;
  #loop: LoopPort | null = null;
  #up = false;
  #frame: InputFrame | null = null;
  #underWay = 0;
  #pace = new Pace(STEP_GAP_NS, STEP_BURST);
  #gauges: { keyboard: boolean; gauge: VirtioGauge }[] = [];
  /** While the monitor is up. */
  #ps2: Ps2Gauge | null = null;
  /** Remaining fractions of notches, by axis. */
  readonly #fractions = new Float64Array(2);
  /** Notches of the current scroll record still to be sent; NaN if it was not begun. */
  #notches = NaN;
  #tablet: TabletState = UNKNOWN_TABLET;

  /** Uses a monitor shared with others. */
  constructor(link: QmpLink, options: QmpInputOptions = {}) {
    this.#link = link;
    this.#display = options.display;
  }

  hasKey(code: number): boolean {
    return QCODE_OF_KEY[code] !== undefined;
  }

  hasButton(code: number): boolean {
    return QEMU_BUTTON_OF[code] !== undefined;
  }

  open(host: InputDriverHost, loop: LoopPort): void {
    assert(this.#host === null, "a driver is opened once");
    this.#host = host;
    this.#loop = loop;
    this.#link.use(this);
  }

  close(): void {
    this.#host = null;
    this.#up = false;
    this.#ps2?.close();
    this.#loop?.disarm(this);
    this.#link.leave(this);
  }

  forgetFractions(): void {
    this.#fractions.fill(0);
  }

  /** Called by the loop: the pace lets the next step go. */
  onTimer(): void {
    this.poke();
  }

  /** Called by the adapter and the loop: the monitor is lost, and tried again. */
  onFault(error: unknown): void {
    this.#link.onFault(error);
  }

  poke(): void {
    this.#stepLoop.run();
  }

  /** Called by the link. */
  onLinkUp(status: string, pid: number): void {
    assert(!this.#up, "a link that is up does not come up");
    this.#up = true;
    this.#tablet = UNKNOWN_TABLET;
    this.#pace = new Pace(STEP_GAP_NS, STEP_BURST);
    this.#findVirtio();
    if (this.#loop !== null) {
      this.#ps2 = new Ps2Gauge(this.#link, this.#loop, this.#pump, () => !this.#hasVirtioKeyboard());
    }
    this.#host?.onDriverUp(pid);
    if (status === "running") this.#host?.onGuestRuns();
  }

  /** Called by the link, after all commands were answered. */
  onLinkDown(loss: QmpLoss): void {
    this.#up = false;
    this.#ps2?.close();
    this.#loop?.disarm(this);
    this.#endFrame(CODE["seam-down"]);
    // The host plane's seam reports the text, since it uses the same monitor.
    this.#host?.onDriverDown(loss.reason, loss.code, "", () => this.#link.outlook.away);
  }

  /** Called by the link. */
  onQmpEvent(event: QmpEvent): void {
    switch (event.name) {
      case "RESET":
        // After a reset the guest may not use the tablet that it used before.
        this.#tablet = UNKNOWN_TABLET;
        for (const { gauge } of this.#gauges) gauge.reset();
        this.#ps2?.reset();
        this.#host?.onGuestReset();
        return;
      case "STOP":
        this.#host?.onGuestStopped();
        return;
      case "RESUME":
        this.#host?.onGuestRuns();
        return;
      default:
        return;
    }
  }

  // Takes one step; false if none can be taken now.
  #next(): boolean {
    const host = this.#host;
    const loop = this.#loop;
    if (host === null || loop === null || this.#underWay >= MAX_STEPS_UNDER_WAY) return false;
    const frame = this.#frame ??= host.nextFrame();
    if (frame === null) return false;
    if (frame.code !== CODE.ok) {
      // A step was refused: the rest would be half a frame.
      this.#frame = null;
      this.#notches = NaN;
      if (frame.stepsUnderWay === 0) host.onFrameDone(frame);
      return true;
    }
    if (this.#tablet.kind !== "used" && frame.nextRecord === 0 && hasAbsolute(frame)) {
      this.#askForTablet(frame);
      return false;
    }
    const nowNs = loop.clock.nowNs();
    const to = stepEnd(frame, frame.nextRecord, this.#releaseGroup());
    if (!this.#mayGo(frame, to, nowNs)) return false;
    this.#send(host, frame, to, nowNs);
    return true;
  }

  // Without a tablet QEMU refuses absolute motion, possibly in the middle of a frame: so the whole frame is
  // refused before. If the guest does not use the tablet, QEMU acknowledges, and drops the motion.
  #askForTablet(frame: InputFrame): void {
    if (this.#tablet.kind === "asked") return;
    const asked: TabletState = { kind: "asked", frame };
    this.#tablet = asked;
    this.#link.execute(
      "query-mice",
      undefined,
      (reply) => {
        // The guest was reset meanwhile: the answer may describe the previous system.
        if (this.#tablet !== asked) return this.poke();
        const lack = reply.outcome === "done" ? tabletLack(reply.value) : wordsOf(reply);
        const isUsed = reply.outcome === "done" && lack === "";
        this.#tablet = isUsed ? { kind: "used" } : UNKNOWN_TABLET;
        if (!isUsed && this.#frame === frame) {
          frame.code = reply.outcome === "done" ? CODE.refused : codeOf(reply);
          frame.words = lack;
        }
        this.poke();
      },
      { timeoutNs: ANSWER_NS },
    );
  }

  #releaseGroup(): number {
    return this.#hasVirtioKeyboard() ? RELEASE_GROUP_VIRTIO : RELEASE_GROUP_OTHER;
  }

  #hasVirtioKeyboard(): boolean {
    return this.#gauges.some(({ keyboard, gauge }) => keyboard && gauge.live);
  }

  #mayGo(frame: InputFrame, to: number, nowNs: number): boolean {
    const from = frame.nextRecord;
    const entries = to - from + 1;
    const alone = this.#isAlone(frame, to);
    const window = alone || frame.isRelease ? ALONE_WINDOW_ENTRIES : WINDOW_ENTRIES;
    for (const { keyboard, gauge } of this.#gauges) {
      if (keyboard === hasKeys(frame, from, to) && !gauge.hasRoom(entries, nowNs, window)) {
        this.#loop?.arm(this, nowNs + LOOK_GAP_NS);
        return false;
      }
    }
    if (this.#ps2?.hasRoom(frame, from, to, nowNs) === false) {
      this.#loop?.arm(this, nowNs + PS2_LOOK_GAP_NS);
      return false;
    }
    const nextNs = this.#pace.nextNs();
    if (alone || nextNs <= nowNs) return true;
    this.#loop?.arm(this, nextNs);
    return false;
  }

  // A frame of one step, with nothing in flight: its sender waits for each.
  #isAlone(frame: InputFrame, to: number): boolean {
    return this.#underWay === 0 && frame.nextRecord === 0 && to === frame.count && frame.kinds[0] !== SCROLL;
  }

  #send(host: InputDriverHost, frame: InputFrame, to: number, nowNs: number): void {
    const from = frame.nextRecord;
    const alone = this.#isAlone(frame, to);
    const keys = hasKeys(frame, from, to);
    const isScroll = frame.kinds[from] === SCROLL;
    const events = isScroll ? this.#wheelEvents(frame, from) : eventsOf(frame, from, to);
    const over = !isScroll || this.#notches === 0;
    if (over) {
      frame.nextRecord = to;
      this.#notches = NaN;
      if (to === frame.count) this.#frame = null;
    }
    // A fraction of a notch that does not complete one is done without sending anything.
    if (events === null) {
      frame.stepsDone++;
      if (to === frame.count && frame.stepsUnderWay === 0) host.onFrameDone(frame);
      return;
    }
    const heavy = frame.isRelease && this.#releaseGroup() === RELEASE_GROUP_OTHER;
    if (!alone) this.#pace.take(nowNs, heavy ? RELEASE_WEIGHT_OTHER : 1);
    host.onStepSending(frame, from, to);
    frame.stepsUnderWay++;
    this.#underWay++;
    const args = this.#display === undefined ? { events } : { device: this.#display, events };
    this.#link.execute(
      "input-send-event",
      args,
      this.#onReply,
      { tag: this.#remember({ frame, from, to }), timeoutNs: ANSWER_NS },
    );
    // After it, because the query of the ring would be sent first.
    for (const { keyboard, gauge } of this.#gauges) {
      if (keyboard === keys) gauge.take(to - from + 1, alone);
    }
    if (keys) this.#ps2?.take(frame, from, to, alone);
  }

  // One notch of a scroll record: QEMU's wheel is a button. Null if less than a notch has accumulated.
  #wheelEvents(frame: InputFrame, record: number): object[] | null {
    const axis = frame.codes[record] ?? 0;
    if (Number.isNaN(this.#notches)) {
      const sum = (this.#fractions[axis] ?? 0) + (frame.scrolls[record] ?? 0);
      this.#notches = Math.trunc(sum);
      this.#fractions[axis] = sum - this.#notches;
    }
    if (this.#notches === 0) return null;
    const forward = this.#notches > 0;
    this.#notches -= forward ? 1 : -1;
    return notchEvents(axis, forward);
  }

  #remember(step: StepUnderWay): number {
    let tag = 0;
    while (this.#steps[tag] !== undefined) tag++;
    this.#steps[tag] = step;
    return tag;
  }

  #onStep(reply: QmpReply, tag: number): void {
    const step = this.#steps[tag];
    assert(step !== undefined, "a step is answered once");
    this.#steps[tag] = undefined;
    const host = this.#host;
    if (host === null) return;
    const { frame } = step;
    this.#underWay--;
    frame.stepsUnderWay--;
    const outcome = outcomeOf(reply);
    if (outcome === "applied") frame.stepsDone++;
    else if (frame.code === CODE.ok) {
      frame.code = codeOf(reply);
      frame.words = wordsOf(reply);
    }
    host.onStepDone(frame, step.from, step.to, outcome);
    if (frame.stepsUnderWay === 0 && frame !== this.#frame) host.onFrameDone(frame);
    else if (!this.#up) return;
    this.poke();
  }

  // The current frame will not be completed.
  #endFrame(code: Code): void {
    const frame = this.#frame;
    this.#frame = null;
    this.#notches = NaN;
    if (frame === null) return;
    if (frame.code === CODE.ok) frame.code = code;
    this.#host?.onFrameDone(frame);
  }

  // Which of QEMU's devices are virtio ones. Without the query in QEMU, no ring can be read.
  #findVirtio(): void {
    this.#gauges = [];
    const { generation } = this.#link;
    this.#link.execute(
      "x-query-virtio",
      undefined,
      (reply) => {
        if (reply.outcome !== "done" || !Array.isArray(reply.value) || this.#link.generation !== generation) {
          return;
        }
        for (const device of reply.value) {
          if (!isObject(device) || device["name"] !== "virtio-input") continue;
          const path = device["path"];
          if (typeof path === "string") this.#addGauge(path, generation);
        }
      },
      { timeoutNs: ANSWER_NS },
    );
  }

  #addGauge(path: string, generation: number): void {
    this.#link.execute(
      "qom-get",
      { path, property: "type" },
      (reply) => {
        if (reply.outcome !== "done" || this.#link.generation !== generation || this.#host === null) return;
        const keyboard = reply.value === "virtio-keyboard-device";
        this.#gauges.push({ keyboard, gauge: new VirtioGauge(this.#link, path, this.#pump) });
      },
      { timeoutNs: ANSWER_NS },
    );
  }
}
