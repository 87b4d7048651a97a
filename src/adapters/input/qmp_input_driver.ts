/**
 * Input through QEMU's monitor: a step of a frame is one input-send-event, several are under way, in order, and a frame is done when QEMU has acknowledged all.
 *
 * Pace, measured with Debian's cloud kernel under TCG on two cores, 2,000 key transitions a run, one a command: with a guest that runs, QEMU itself carries out
 * 1,500 to 1,900 commands a second (950 to 1,150 beside other load), however many are under way; one alone takes 0.5 ms. Virtio and PS/2 keyboards lost nothing at
 * that pace on a quiet machine; on a loaded one a reader in the guest once lost events of its kernel buffer. Hence {@linkcode STEP_GAP_NS} between steps (833 characters
 * a second), {@linkcode VirtioGauge} against a guest that lags, and few under way: more gain nothing and keep others of the monitor waiting.
 *
 * A step that comes alone, when nothing is under way, is not paced: who waits for each acknowledgement has QEMU's own pace.
 * @module
 */
import { CODE } from "../../base/codes.ts";
import { SECOND } from "../../base/clock.ts";
import type { LoopPort, TimerHandler } from "../../core/adapter_port.ts";
import { INPUT_KIND } from "../../event/body_number.ts";
import type { QmpReply } from "../../qmp/qmp_client.ts";
import { isObject, type QmpEvent } from "../../qmp/qmp_message.ts";
import type { QmpLink, QmpLinkUser } from "../qmp_link.ts";
import type { QmpLoss } from "../qmp_loss.ts";
import { codeOf } from "../vmhost/vmhost_adapter.ts";
import type { InputDriver, InputDriverHost, StepOutcome } from "./input_driver.ts";
import type { InputFrame } from "./input_frame.ts";
import { stepEnd } from "./input_step.ts";
import { Pace } from "./pace.ts";
import { QCODE_OF_KEY, QEMU_BUTTON_OF } from "./qmp_keys.ts";
import { STEP_BURST, STEP_GAP_NS } from "./step_pace.ts";
import { LOOK_GAP_NS, VirtioGauge } from "./virtio_gauge.ts";

const MAX_STEPS_UNDER_WAY = 4;
/** Longer than the link takes to notice a silent QEMU: that is what ends the wait. */
const ANSWER_NS = 5 * SECOND;
/** Key-ups in one command: they fit a virtio ring with their SYN_REPORT. */
const RELEASE_GROUP_VIRTIO = 30;
/** For PS/2 and USB keyboards, whose queues in QEMU hold 16 bytes and 16 events: a key-up is up to 3 bytes. */
const RELEASE_GROUP_OTHER = 5;
/** A group of PS/2 key-ups is as heavy as so many steps. */
const RELEASE_WEIGHT_OTHER = 5;

const { ABS, REL, BTN, KEY, SCROLL } = INPUT_KIND;
const AXES = ["x", "y"] as const;

/** Options of the driver. */
export interface QmpInputOptions {
  /** QEMU's display whose devices are meant (`device` of input-send-event); absent: whichever there is. */
  readonly display?: string;
}

interface StepUnderWay {
  readonly frame: InputFrame;
  readonly from: number;
  readonly to: number;
}

/** The driver over an endpoint's monitor. */
export class QmpInputDriver implements InputDriver, QmpLinkUser, TimerHandler {
  readonly name = "qmp";
  readonly #link: QmpLink;
  readonly #display: string | undefined;
  readonly #steps: (StepUnderWay | undefined)[] = [];
  readonly #onReply = (reply: QmpReply, tag: number) => this.#onStep(reply, tag);
  readonly #pump = () => this.poke();
  #host: InputDriverHost | null = null;
  #loop: LoopPort | null = null;
  #up = false;
  #frame: InputFrame | null = null;
  #underWay = 0;
  #pumping = false;
  #pace = new Pace(STEP_GAP_NS, STEP_BURST);
  #gauges: { keyboard: boolean; gauge: VirtioGauge }[] = [];
  /** What is left of notches, by axis. */
  readonly #fractions = new Float64Array(2);
  /** Notches of the scroll record under way that are still to be sent; NaN when it was not begun. */
  #notches = NaN;

  /** Makes it over a monitor that others use, too. */
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
    this.#host = host;
    this.#loop = loop;
    this.#link.use(this);
  }

  close(): void {
    this.#host = null;
    this.#up = false;
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

  poke(): void {
    // What is sent may be answered at once and poke again: one loop does it all.
    if (this.#pumping) return;
    this.#pumping = true;
    try {
      while (this.#up && this.#next());
    } finally {
      this.#pumping = false;
    }
  }

  /** Called by the link. */
  onLinkUp(status: string, pid: number): void {
    this.#up = true;
    this.#pace = new Pace(STEP_GAP_NS, STEP_BURST);
    this.#findVirtio();
    this.#host?.onDriverUp(pid);
    if (status === "running") this.#host?.onGuestRuns();
  }

  /** Called by the link, after everything under way was answered. */
  onLinkDown(loss: QmpLoss): void {
    this.#up = false;
    this.#loop?.disarm(this);
    this.#endFrame(CODE["seam-down"]);
    // The host plane's seam tells the text: it is the same monitor's.
    this.#host?.onDriverDown(loss.reason, loss.code, "");
  }

  /** Called by the link. */
  onQmpEvent(event: QmpEvent): void {
    switch (event.name) {
      case "RESET":
        for (const { gauge } of this.#gauges) gauge.reset();
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

  // Takes one step further; false when nothing can go now.
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
    const nowNs = loop.clock.nowNs();
    const to = stepEnd(frame, frame.nextRecord, this.#releaseGroup());
    if (!this.#mayGo(frame, to, nowNs)) return false;
    this.#send(host, frame, to, nowNs);
    return true;
  }

  #releaseGroup(): number {
    return this.#gauges.some(({ keyboard, gauge }) => keyboard && gauge.live)
      ? RELEASE_GROUP_VIRTIO
      : RELEASE_GROUP_OTHER;
  }

  #mayGo(frame: InputFrame, to: number, nowNs: number): boolean {
    const from = frame.nextRecord;
    const entries = to - from + 1;
    const isKey = frame.kinds[from] === KEY;
    for (const { keyboard, gauge } of this.#gauges) {
      if ((keyboard === isKey || frame.isRelease) && !gauge.hasRoom(entries, nowNs)) {
        this.#loop?.arm(this, nowNs + LOOK_GAP_NS);
        return false;
      }
    }
    const alone = this.#underWay === 0 && from === 0 && to === frame.count && frame.kinds[from] !== SCROLL;
    const nextNs = this.#pace.nextNs();
    if (alone || nextNs <= nowNs) return true;
    this.#loop?.arm(this, nextNs);
    return false;
  }

  #send(host: InputDriverHost, frame: InputFrame, to: number, nowNs: number): void {
    const from = frame.nextRecord;
    const isScroll = frame.kinds[from] === SCROLL;
    const events = isScroll ? this.#wheelEvents(frame, from) : eventsOf(frame, from, to);
    const over = !isScroll || this.#notches === 0;
    if (over) {
      frame.nextRecord = to;
      this.#notches = NaN;
      if (to === frame.count) this.#frame = null;
    }
    // A fraction of a notch that is not a whole one yet has nothing to send, and is done.
    if (events === null) {
      frame.stepsDone++;
      if (to === frame.count && frame.stepsUnderWay === 0) host.onFrameDone(frame);
      return;
    }
    const heavy = frame.isRelease && this.#releaseGroup() === RELEASE_GROUP_OTHER;
    this.#pace.take(nowNs, heavy ? RELEASE_WEIGHT_OTHER : 1);
    const isKey = frame.kinds[from] === KEY;
    for (const { keyboard, gauge } of this.#gauges) {
      if (keyboard === isKey || frame.isRelease) gauge.take(to - from + 1);
    }
    host.onStepSending(frame, from, to);
    frame.stepsUnderWay++;
    this.#underWay++;
    const args = this.#display === undefined ? { events } : { device: this.#display, events };
    this.#link.execute(
      "input-send-event",
      args,
      this.#onReply,
      this.#remember({ frame, from, to }),
      ANSWER_NS,
    );
  }

  // One notch of a scroll record: QEMU's wheel is a button. Null when less than a notch has come together.
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
    const button = axis === 0
      ? (forward ? "wheel-up" : "wheel-down")
      : (forward ? "wheel-right" : "wheel-left");
    return [
      { type: "btn", data: { button, down: true } },
      { type: "btn", data: { button, down: false } },
    ];
  }

  #remember(step: StepUnderWay): number {
    let tag = 0;
    while (this.#steps[tag] !== undefined) tag++;
    this.#steps[tag] = step;
    return tag;
  }

  #onStep(reply: QmpReply, tag: number): void {
    const step = this.#steps[tag];
    this.#steps[tag] = undefined;
    const host = this.#host;
    if (step === undefined || host === null) return;
    const { frame } = step;
    this.#underWay--;
    frame.stepsUnderWay--;
    const outcome = outcomeOf(reply);
    if (outcome === "applied") frame.stepsDone++;
    else if (frame.code === CODE.ok) frame.code = codeOf(reply);
    host.onStepDone(frame, step.from, step.to, outcome);
    if (frame.stepsUnderWay === 0 && frame !== this.#frame) host.onFrameDone(frame);
    else if (!this.#up) return;
    this.poke();
  }

  // The frame that was being sent will not be.
  #endFrame(code: number): void {
    const frame = this.#frame;
    this.#frame = null;
    this.#notches = NaN;
    if (frame === null) return;
    if (frame.code === CODE.ok) frame.code = code;
    this.#host?.onFrameDone(frame);
  }

  // Which of QEMU's devices are virtio ones. A QEMU without the query has none that can be gauged.
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
      0,
      ANSWER_NS,
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
      0,
      ANSWER_NS,
    );
  }
}

function outcomeOf(reply: QmpReply): StepOutcome {
  switch (reply.outcome) {
    case "done":
      return "applied";
    case "error":
    case "unsent":
      return "refused";
    default:
      return "uncertain";
  }
}

function eventsOf(frame: InputFrame, from: number, to: number): object[] {
  const events: object[] = [];
  for (let i = from; i < to; i++) {
    const code = frame.codes[i] ?? 0;
    const value = frame.values[i] ?? 0;
    switch (frame.kinds[i]) {
      case KEY:
        events.push({
          type: "key",
          data: { key: { type: "qcode", data: QCODE_OF_KEY[code] }, down: value === 1 },
        });
        break;
      case BTN:
        events.push({ type: "btn", data: { button: QEMU_BUTTON_OF[code], down: value === 1 } });
        break;
      case ABS:
        events.push({ type: "abs", data: { axis: AXES[code], value } });
        break;
      case REL:
        events.push({ type: "rel", data: { axis: AXES[code], value } });
        break;
    }
  }
  return events;
}
