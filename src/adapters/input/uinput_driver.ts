/**
 * Input through devices of the host's kernel that are passed to QEMU: created when the seam opens, removed
 * when it closes. A write reaches the kernel at once, so a step is acknowledged when it is written; whether
 * QEMU passes it on is unknown.
 *
 * The pace is that of the readers' buffers in the kernel, 64 events each: steps of a frame follow each other
 * by {@linkcode STEP_GAP_NS}.
 *
 * Buttons go to the device that moved last, initially the pointer; a button is released on the device that
 * pressed it.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { ERRNO, OsError } from "../../../ffi/os_error.ts";
import { CODE } from "../../base/codes.ts";
import { Fault, messageOf } from "../../base/fault.ts";
import type { Log } from "../../base/log.ts";
import type { LoopPort, TimerHandler } from "../../core/adapter_port.ts";
import { INPUT_KIND, SEAM_REASON } from "../../event/body_number.ts";
import type { QmpEvent } from "../../qemu/protocol/qmp_message.ts";
import type { QmpLink, QmpLinkUser } from "../../qemu/monitor/qmp_link.ts";
import type { InputDriver, InputDriverHost } from "./input_driver.ts";
import type { InputFrame } from "./input_frame.ts";
import { stepEnd } from "./input_step.ts";
import { Pace } from "./pace.ts";
import { PumpLoop } from "./pump_loop.ts";
import { STEP_BURST, STEP_GAP_NS } from "./step_pace.ts";
import { deviceLabel, EVDEV, isKeyboardKey, isPointerButton, UinputDevice } from "./uinput_devices.ts";

/** Options of the driver. */
export interface UinputOptions {
  /** Another device node than /dev/uinput. */
  readonly path?: string;
  /**
   * The endpoint's monitor, if there is one: it reports resets, and that a VM is paused and takes no input.
   */
  readonly link?: QmpLink;
}

/** Keys and buttons of one release step: they fit in a step of the devices. */
const RELEASE_GROUP = 256;
const HI_RES = 120;
const { ABS, REL, BTN, KEY, SCROLL } = INPUT_KIND;

/** The driver over three uinput devices. */
export class UinputDriver implements InputDriver, QmpLinkUser, TimerHandler {
  readonly name = "uinput";
  readonly #path: string | undefined;
  readonly #link: QmpLink | undefined;
  #host: InputDriverHost | null = null;
  #loop: LoopPort | null = null;
  #keyboard: UinputDevice | null = null;
  #pointer: UinputDevice | null = null;
  #mouse: UinputDevice | null = null;
  #frame: InputFrame | null = null;
  readonly #stepLoop = new PumpLoop(() => this.#next());
  #running = true;
  #relativeLast = false;
  readonly #pressedOn = new Map<number, UinputDevice>();
  readonly #pace = new Pace(STEP_GAP_NS, STEP_BURST);
  /** Fractions of a notch, and of its 120th parts, by axis. */
  readonly #notches = new Float64Array(2);
  readonly #parts = new Float64Array(2);

  /** Starts without devices, which are made by {@linkcode open}. */
  constructor(options: UinputOptions = {}) {
    this.#path = options.path;
    this.#link = options.link;
  }

  hasKey(code: number): boolean {
    return isKeyboardKey(code);
  }

  hasButton(code: number): boolean {
    return isPointerButton(code);
  }

  open(host: InputDriverHost, loop: LoopPort, log: Log, endpointName: string): void {
    assert(this.#host === null, "a driver is opened once");
    this.#host = host;
    this.#loop = loop;
    const label = deviceLabel(endpointName);
    try {
      this.#keyboard = UinputDevice.keyboard(label, this.#path);
      this.#pointer = UinputDevice.pointer(label, this.#path);
      this.#mouse = UinputDevice.mouse(label, this.#path);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      this.#destroy();
      log.warn("no uinput devices", { vm: endpointName, why: messageOf(error) });
      host.onDriverDown(SEAM_REASON.NO_PERMISSION, CODE.refused, remedyOf(error));
      return;
    }
    log.info("uinput devices created", { vm: endpointName, name: `${label} keyboard, pointer, mouse` });
    host.onDriverUp(0);
    this.#link?.use(this);
  }

  close(): void {
    this.#host = null;
    this.#link?.leave(this);
    this.#loop?.disarm(this);
    this.#destroy();
  }

  forgetFractions(): void {
    this.#notches.fill(0);
    this.#parts.fill(0);
  }

  /** Called by the loop: the pace lets the next step go. */
  onTimer(): void {
    this.poke();
  }

  /** Called by the adapter and the loop: the devices are removed, which releases what they hold. */
  onFault(): void {
    const host = this.#host;
    if (host === null) return;
    this.#destroy();
    const frame = this.#frame;
    if (frame !== null) {
      frame.code = CODE["seam-down"];
      this.#end(host, frame);
    }
    host.onDriverDown(SEAM_REASON.PROTOCOL_ERROR, CODE["seam-down"], "uinput failed");
  }

  poke(): void {
    this.#stepLoop.run();
  }

  /** Called by the link. */
  onLinkUp(status: string): void {
    if (status === "running") this.#run();
    else this.#running = status === "suspended";
  }

  /** Called by the link: losing the monitor does not affect the devices. */
  onLinkDown(): void {
    this.#running = true;
  }

  /** Called by the link. */
  onQmpEvent(event: QmpEvent): void {
    if (event.name === "RESET") this.#host?.onGuestReset();
    else if (event.name === "RESUME") this.#run();
    else if (event.name === "STOP") {
      this.#running = false;
      this.#host?.onGuestStopped();
    }
  }

  #run(): void {
    this.#running = true;
    this.#host?.onGuestRuns();
  }

  #next(): boolean {
    const host = this.#host;
    const loop = this.#loop;
    if (host === null || loop === null || this.#keyboard === null) return false;
    const frame = this.#frame ??= host.nextFrame();
    if (frame === null) return false;
    if (!this.#running) {
      frame.code = CODE.refused;
      frame.words = "the VM is paused: no input reaches its guest";
    }
    if (frame.code !== CODE.ok) return this.#end(host, frame);
    const from = frame.nextRecord;
    const to = stepEnd(frame, from, RELEASE_GROUP);
    const nowNs = loop.clock.nowNs();
    const alone = from === 0 && to === frame.count;
    if (!alone && this.#pace.nextNs() > nowNs) {
      loop.arm(this, this.#pace.nextNs());
      return false;
    }
    this.#pace.take(nowNs);
    host.onStepSending(frame, from, to);
    frame.nextRecord = to;
    try {
      this.#write(frame, from, to);
    } catch (error) {
      if (!(error instanceof OsError)) throw error;
      return this.#fail(host, frame, from, to);
    }
    frame.stepsDone++;
    host.onStepDone(frame, from, to, "applied");
    return to === frame.count ? this.#end(host, frame) : true;
  }

  #end(host: InputDriverHost, frame: InputFrame): boolean {
    this.#frame = null;
    host.onFrameDone(frame);
    return true;
  }

  // The devices are gone, and what they held was released.
  #fail(host: InputDriverHost, frame: InputFrame, from: number, to: number): boolean {
    frame.code = CODE["seam-down"];
    host.onStepDone(frame, from, to, "refused");
    this.#destroy();
    this.#end(host, frame);
    host.onDriverDown(SEAM_REASON.PEER_CLOSED, CODE["seam-down"], "the uinput devices were removed");
    return false;
  }

  #write(frame: InputFrame, from: number, to: number): void {
    for (let i = from; i < to; i++) {
      const code = frame.codes[i] ?? 0;
      const value = frame.values[i] ?? 0;
      switch (frame.kinds[i]) {
        case KEY:
          this.#keyboard?.push(EVDEV.KEY, code, value);
          break;
        case BTN:
          this.#deviceOfButton(code, value)?.push(EVDEV.KEY, code, value);
          break;
        case ABS:
          this.#relativeLast = false;
          this.#pointer?.push(EVDEV.ABS, code, value);
          break;
        case REL:
          this.#relativeLast = true;
          this.#mouse?.push(EVDEV.REL, code, value);
          break;
        case SCROLL:
          this.#scroll(code, frame.scrolls[i] ?? 0);
          break;
      }
    }
    this.#keyboard?.flush();
    this.#pointer?.flush();
    this.#mouse?.flush();
  }

  #deviceOfButton(code: number, value: number): UinputDevice | null {
    const last = this.#relativeLast ? this.#mouse : this.#pointer;
    const device = this.#pressedOn.get(code) ?? last;
    if (value === 0) this.#pressedOn.delete(code);
    else if (device !== null) this.#pressedOn.set(code, device);
    return device;
  }

  // Readers that know 120ths of a notch get those, the others whole notches once these have accumulated.
  #scroll(axis: number, notches: number): void {
    const parts = (this.#parts[axis] ?? 0) + notches * HI_RES;
    const wholeParts = Math.trunc(parts);
    this.#parts[axis] = parts - wholeParts;
    const sum = (this.#notches[axis] ?? 0) + notches;
    const whole = Math.trunc(sum);
    this.#notches[axis] = sum - whole;
    if (wholeParts !== 0) {
      this.#mouse?.push(
        EVDEV.REL,
        axis === 0 ? EVDEV.REL_WHEEL_HI_RES : EVDEV.REL_HWHEEL_HI_RES,
        wholeParts,
      );
    }
    if (whole !== 0) this.#mouse?.push(EVDEV.REL, axis === 0 ? EVDEV.REL_WHEEL : EVDEV.REL_HWHEEL, whole);
  }

  #destroy(): void {
    const devices = [this.#keyboard, this.#pointer, this.#mouse];
    this.#keyboard = this.#pointer = this.#mouse = null;
    this.#pressedOn.clear();
    for (const device of devices) device?.[Symbol.dispose]();
  }
}

/** What to do about it in 40 bytes; the log has the full text. */
function remedyOf(error: Fault): string {
  const cause = error.cause;
  const errno = cause instanceof OsError ? cause.errno : error instanceof OsError ? error.errno : 0;
  switch (errno) {
    case ERRNO.ENOENT:
    case ERRNO.ENODEV:
    case ERRNO.ENXIO:
      return "no /dev/uinput; modprobe uinput";
    case ERRNO.EACCES:
    case ERRNO.EPERM:
      return "no permission to write to /dev/uinput";
    default:
      return "cannot create uinput devices; see log";
  }
}
