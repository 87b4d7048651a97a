/**
 * uinput: an input device of our own making. The ioctls by name, and nothing of what a keyboard or a tablet
 * is: that is the input adapter's.
 *
 * Order: open, set bits, set up, set up each absolute axis, create; then write events. Closing destroys the
 * device, and the kernel releases what it still held down.
 * @module
 */
import { assert } from "../src/base/assert.ts";
import { Fault } from "../src/base/fault.ts";
import { cText, textOfC } from "./c_text.ts";
import { check, OsError } from "./os_error.ts";
import { OwnedFd } from "./owned_fd.ts";
import { shim } from "./shim.ts";

const O_RDWR_NONBLOCK = 0o4002;
const TYPE_BIT = 0;
const PROPERTY_BIT = -1;
const EV_KEY = 1;
const EV_REL = 2;
const EV_ABS = 3;
const SYSNAME_BYTES = 80;
const MAX_NAME_BYTES = 79;
/** Events that one {@linkcode writeEvents} takes at most. */
export const MAX_UINPUT_EVENTS = 520;
/** Numbers of one event in the array for {@linkcode writeEvents}: type, code, value. */
const UINPUT_EVENT_WORDS = 3;

/** What a device says it is. */
export interface UinputIdentity {
  /** Its name, at most 79 bytes. */
  readonly name: string;
  /** BUS_*: 3 USB, 6 virtual. */
  readonly bus: number;
  /** Vendor number. */
  readonly vendor: number;
  /** Product number. */
  readonly product: number;
  /** Version number. */
  readonly version: number;
}

/** An absolute axis. */
export interface UinputAbs {
  /** Least value. */
  readonly minimum: number;
  /** Greatest value. */
  readonly maximum: number;
  /** Where it begins; 0 unless told. */
  readonly value?: number;
  /** Changes smaller than this are noise; 0 unless told. */
  readonly fuzz?: number;
  /** Values this close to the middle are 0, for joysticks; 0 unless told. */
  readonly flat?: number;
  /** Units a mm; 0 unless told. */
  readonly resolution?: number;
}

/**
 * Opens uinput.
 *
 * @param path another node than /dev/uinput
 * @throws {Fault} `missing` when the machine has none or this user may not, with the remedy
 */
export function openUinput(path = "/dev/uinput"): OwnedFd {
  const result = shim().vmsig_open(cText(path), O_RDWR_NONBLOCK, 0);
  if (result >= 0) return new OwnedFd(result);
  const error = new OsError(`open ${path}`, result);
  switch (error.errnoName) {
    case "ENOENT":
    case "ENODEV":
    case "ENXIO":
      throw new Fault("missing", `${error.message}; load the module: modprobe uinput`, { cause: error });
    case "EACCES":
    case "EPERM":
      throw new Fault(
        "missing",
        `${error.message}; give this user the right to write to it, by a udev rule or a group`,
        {
          cause: error,
        },
      );
    default:
      throw error;
  }
}

/** The device has events of a type (EV_KEY 1, EV_REL 2, EV_ABS 3, …). */
export function setEvbit(fd: number, type: number): void {
  check(shim().vmsig_uinput_set_bit(fd, TYPE_BIT, type), "ioctl UI_SET_EVBIT");
}

/** The device has a key or button. */
export function setKeybit(fd: number, code: number): void {
  check(shim().vmsig_uinput_set_bit(fd, EV_KEY, code), "ioctl UI_SET_KEYBIT");
}

/** The device has a relative axis. */
export function setRelbit(fd: number, code: number): void {
  check(shim().vmsig_uinput_set_bit(fd, EV_REL, code), "ioctl UI_SET_RELBIT");
}

/** The device has an absolute axis; {@linkcode absSetup} sets its range. */
export function setAbsbit(fd: number, code: number): void {
  check(shim().vmsig_uinput_set_bit(fd, EV_ABS, code), "ioctl UI_SET_ABSBIT");
}

/** The device has a property (INPUT_PROP_DIRECT 1, …). */
export function setPropbit(fd: number, property: number): void {
  check(shim().vmsig_uinput_set_bit(fd, PROPERTY_BIT, property), "ioctl UI_SET_PROPBIT");
}

/**
 * Says what the device is.
 *
 * @throws {Fault} `bad-argument` when the name is empty or longer than 79 bytes
 */
export function devSetup(fd: number, identity: UinputIdentity): void {
  const name = cText(identity.name);
  if (name.length < 2 || name.length - 1 > MAX_NAME_BYTES) {
    throw new Fault(
      "bad-argument",
      `Cannot name an input device "${identity.name}": 1 to ${MAX_NAME_BYTES} bytes are possible`,
    );
  }
  const id = new Uint32Array([identity.bus, identity.vendor, identity.product, identity.version]);
  check(shim().vmsig_uinput_setup(fd, id, name, 0), "ioctl UI_DEV_SETUP");
}

/** Sets the range of an absolute axis. */
export function absSetup(fd: number, code: number, axis: UinputAbs): void {
  const { value = 0, minimum, maximum, fuzz = 0, flat = 0, resolution = 0 } = axis;
  const info = new Int32Array([value, minimum, maximum, fuzz, flat, resolution]);
  check(shim().vmsig_uinput_abs_setup(fd, code, info), "ioctl UI_ABS_SETUP");
}

/** Makes the device appear; it takes udev and the reader some ms to notice. */
export function createDevice(fd: number): void {
  check(shim().vmsig_uinput_create(fd), "ioctl UI_DEV_CREATE");
}

/** Makes the device go. */
export function destroyDevice(fd: number): void {
  check(shim().vmsig_uinput_destroy(fd), "ioctl UI_DEV_DESTROY");
}

/** The device's name under /sys/devices/virtual/input, such as "input7". */
export function sysname(fd: number): string {
  const out = new Uint8Array(SYSNAME_BYTES);
  check(shim().vmsig_uinput_sysname(fd, out, out.length), "ioctl UI_GET_SYSNAME");
  return textOfC(out);
}

/**
 * Writes events, all with one system call. The caller ends a frame with EV_SYN, SYN_REPORT.
 *
 * @param events type, code, value of each
 * @param count how many events, at most {@linkcode MAX_UINPUT_EVENTS}
 * @throws {OsError} when the device is not created, or gone
 */
export function writeEvents(fd: number, events: Int32Array<ArrayBuffer>, count: number): void {
  assert(count > 0 && count <= MAX_UINPUT_EVENTS, "a write of events is neither empty nor too long");
  assert(count * UINPUT_EVENT_WORDS <= events.length, "the events written are there");
  const written = check(shim().vmsig_uinput_write(fd, events, count), "write to uinput");
  assert(written === count, "uinput takes a write whole");
}
