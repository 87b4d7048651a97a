/**
 * What a host without /dev/uinput can tell: arguments, refusals, and that each function is its ioctl and
 * nothing else. A device that works is tested inside a guest.
 * @module
 */
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { AssertionFault } from "../../../src/base/assert.ts";
import { Fault } from "../../../src/base/fault.ts";
import { createMemfd, OPEN, reopen } from "../../../ffi/memfd.ts";
import { OsError } from "../../../ffi/os_error.ts";
import { preadInto } from "../../../ffi/stream.ts";
import {
  absSetup,
  createDevice,
  destroyDevice,
  devSetup,
  MAX_UINPUT_EVENTS,
  openUinput,
  setAbsbit,
  setEvbit,
  setKeybit,
  setPropbit,
  setRelbit,
  sysname,
  writeEvents,
} from "../../../ffi/uinput.ts";
import "./loaded_shim.ts";

const IDENTITY = { name: "vmsig test", bus: 6, vendor: 1, product: 2, version: 3 };

Deno.test("no uinput here: missing, with the remedy", () => {
  const error = assertThrows(() => openUinput("/nonexistent/uinput"), Fault);
  assertEquals(error.code, "missing");
  assertStringIncludes(error.message, "modprobe uinput");
});

Deno.test("each setup call is an ioctl that only uinput knows, told by its name", () => {
  using other = reopen("/dev/null", OPEN.READ_WRITE);
  const fd = other.fd;
  const calls: [name: string, call: () => unknown][] = [
    ["UI_SET_EVBIT", () => setEvbit(fd, 1)],
    ["UI_SET_KEYBIT", () => setKeybit(fd, 30)],
    ["UI_SET_RELBIT", () => setRelbit(fd, 8)],
    ["UI_SET_ABSBIT", () => setAbsbit(fd, 0)],
    ["UI_SET_PROPBIT", () => setPropbit(fd, 1)],
    ["UI_DEV_SETUP", () => devSetup(fd, IDENTITY)],
    ["UI_ABS_SETUP", () => absSetup(fd, 0, { minimum: 0, maximum: 0x7fff })],
    ["UI_DEV_CREATE", () => createDevice(fd)],
    ["UI_DEV_DESTROY", () => destroyDevice(fd)],
    ["UI_GET_SYSNAME", () => sysname(fd)],
  ];
  for (const [name, call] of calls) {
    const error = assertThrows(call, OsError);
    assertEquals(error.errnoName, "ENOTTY");
    assertStringIncludes(error.message, name);
  }
});

Deno.test("events are written as struct input_event, all at once", () => {
  using file = createMemfd("events", 0);
  writeEvents(file.fd, new Int32Array([1, 30, 1, 3, 0, -5, 0, 0, 0]), 3);
  const bytes = new Uint8Array(100);
  assertEquals(preadInto(file.fd, bytes, 0, 100, 0), 72);
  const view = new DataView(bytes.buffer);
  const events = [0, 24, 48].map((at) => {
    assert(bytes.subarray(at, at + 16).every((byte) => byte === 0), "the kernel sets the time");
    return [view.getUint16(at + 16, true), view.getUint16(at + 18, true), view.getInt32(at + 20, true)];
  });
  assertEquals(events, [[1, 30, 1], [3, 0, -5], [0, 0, 0]]);
});

Deno.test("arguments that cannot be are refused", () => {
  using file = createMemfd("arguments", 0);
  for (const name of ["", "x".repeat(80), "a\0b"]) {
    assertEquals(assertThrows(() => devSetup(file.fd, { ...IDENTITY, name }), Fault).code, "bad-argument");
  }
  const events = new Int32Array(3 * (MAX_UINPUT_EVENTS + 1));
  assertThrows(() => writeEvents(file.fd, events, 0), AssertionFault);
  assertThrows(() => writeEvents(file.fd, events, MAX_UINPUT_EVENTS + 1), AssertionFault);
  assertThrows(() => writeEvents(file.fd, new Int32Array(5), 2), AssertionFault);
  writeEvents(file.fd, events, MAX_UINPUT_EVENTS);
});
