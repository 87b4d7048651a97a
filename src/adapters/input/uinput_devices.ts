/**
 * A guest's input as devices of the host's kernel: a keyboard, an absolute pointer, and a relative mouse with
 * a wheel. They are separate, because a single device with all of that would not be recognised as any of
 * them.
 *
 * Passed to QEMU with `-object input-linux,id=…,evdev=/dev/input/eventN` for each, or `-device
 * virtio-input-host-pci,evdev=/dev/input/eventN`.
 * @module
 */
import { assert } from "../../base/assert.ts";
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import {
  absSetup,
  createDevice,
  destroyDevice,
  devSetup,
  openUinput,
  setAbsbit,
  setEvbit,
  setKeybit,
  setPropbit,
  setRelbit,
  writeEvents,
} from "../../../ffi/uinput.ts";
import { KEY_MAX, MAX_ABSOLUTE } from "./input_frame.ts";

/** Event types and codes of evdev that are written (linux/input-event-codes.h). */
export const EVDEV = {
  SYN: 0,
  KEY: 1,
  REL: 2,
  ABS: 3,
  REL_HWHEEL: 6,
  REL_WHEEL: 8,
  REL_WHEEL_HI_RES: 11,
  REL_HWHEEL_HI_RES: 12,
} as const;

const INPUT_PROP_POINTER = 0;
const BUS_VIRTUAL = 6;
const VENDOR = 0x1d6b;
const PRODUCT = { keyboard: 0x5601, pointer: 0x5602, mouse: 0x5603 } as const;
const VERSION = 1;
/** BTN_LEFT to BTN_TASK. */
const FIRST_BUTTON = 0x110;
const LAST_BUTTON = 0x117;
/** A device's name has at most 79 bytes, of which the role takes up to 15. */
const MAX_LABEL_BYTES = 60;
/** Events of one step: two axes or a wheel's two, and the SYN_REPORT; or a release of everything. */
const MAX_STEP_EVENTS = 512;

/** Whether a code is a button of the pointers. */
export function isPointerButton(code: number): boolean {
  return code >= FIRST_BUTTON && code <= LAST_BUTTON;
}

/**
 * Whether a code is a key of the keyboard. The codes of buttons, pads and joysticks between the keys are
 * omitted: a keyboard with those would be recognised as a joystick.
 */
export function isKeyboardKey(code: number): boolean {
  return code >= 1 && code <= 0xff || code >= 0x160 && code <= 0x21f || code >= 0x224 && code <= 0x2bf ||
    code >= 0x2e8 && code <= KEY_MAX;
}

/** One device; when it is closed, the kernel releases what it held. */
export class UinputDevice implements Disposable {
  readonly #fd: OwnedFd;
  readonly #events = new Int32Array(3 * MAX_STEP_EVENTS);
  #count = 0;

  private constructor(fd: OwnedFd) {
    this.#fd = fd;
  }

  /** A keyboard. */
  static keyboard(label: string, path?: string): UinputDevice {
    return UinputDevice.#make(path, `${label} keyboard`, PRODUCT.keyboard, (fd) => {
      setEvbit(fd, EVDEV.KEY);
      for (let code = 1; code <= KEY_MAX; code++) if (isKeyboardKey(code)) setKeybit(fd, code);
    });
  }

  /** An absolute pointer with buttons. */
  static pointer(label: string, path?: string): UinputDevice {
    return UinputDevice.#make(path, `${label} pointer`, PRODUCT.pointer, (fd) => {
      setPropbit(fd, INPUT_PROP_POINTER);
      setButtons(fd);
      setEvbit(fd, EVDEV.ABS);
      for (const axis of [0, 1]) {
        setAbsbit(fd, axis);
        absSetup(fd, axis, { minimum: 0, maximum: MAX_ABSOLUTE });
      }
    });
  }

  /** A relative mouse with buttons and wheels. */
  static mouse(label: string, path?: string): UinputDevice {
    return UinputDevice.#make(path, `${label} mouse`, PRODUCT.mouse, (fd) => {
      setPropbit(fd, INPUT_PROP_POINTER);
      setButtons(fd);
      setEvbit(fd, EVDEV.REL);
      const { REL_WHEEL, REL_HWHEEL, REL_WHEEL_HI_RES, REL_HWHEEL_HI_RES } = EVDEV;
      for (const axis of [0, 1, REL_WHEEL, REL_HWHEEL, REL_WHEEL_HI_RES, REL_HWHEEL_HI_RES]) {
        setRelbit(fd, axis);
      }
    });
  }

  static #make(
    path: string | undefined,
    name: string,
    product: number,
    describe: (fd: number) => void,
  ): UinputDevice {
    const fd = openUinput(path);
    try {
      describe(fd.fd);
      devSetup(fd.fd, { name, bus: BUS_VIRTUAL, vendor: VENDOR, product, version: VERSION });
      createDevice(fd.fd);
      return new UinputDevice(fd);
    } catch (error) {
      fd.close();
      throw error;
    }
  }

  /** Adds an event to the step. */
  push(type: number, code: number, value: number): void {
    assert(this.#count < MAX_STEP_EVENTS, "a step fits its buffer");
    const at = 3 * this.#count++;
    this.#events[at] = type;
    this.#events[at + 1] = code;
    this.#events[at + 2] = value;
  }

  /** Writes the step with its SYN_REPORT; does nothing if it is empty. */
  flush(): void {
    if (this.#count === 0) return;
    this.push(EVDEV.SYN, 0, 0);
    const count = this.#count;
    this.#count = 0;
    writeEvents(this.#fd.fd, this.#events, count);
  }

  /** Removes the device. */
  [Symbol.dispose](): void {
    if (this.#fd.closed) return;
    try {
      destroyDevice(this.#fd.fd);
    } finally {
      this.#fd.close();
    }
  }
}

/** The prefix of the names of an endpoint's devices: "vmsig NAME". */
export function deviceLabel(endpointName: string): string {
  const bytes = new TextEncoder().encode(`vmsig ${endpointName}`).subarray(0, MAX_LABEL_BYTES);
  return new TextDecoder().decode(bytes).replace(/\uFFFD+$/, "");
}

function setButtons(fd: number): void {
  setEvbit(fd, EVDEV.KEY);
  for (let code = FIRST_BUTTON; code <= LAST_BUTTON; code++) setKeybit(fd, code);
}
