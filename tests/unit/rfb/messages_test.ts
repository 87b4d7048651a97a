/**
 * What a client says, byte by byte from RFC 6143, and pixel formats that mean nothing.
 * @module
 */
import { assertEquals, assertThrows } from "@std/assert";
import { Fault } from "../../../src/base/fault.ts";
import { hexOfBytes } from "../../../src/base/hex.ts";
import {
  extendedKeyEvent,
  keyEvent,
  pointerEvent,
  setEncodings,
  setPixelFormat,
  updateRequest,
} from "../../../src/rfb/client_messages.ts";
import { BGRX, readPixelFormat } from "../../../src/rfb/pixel_format.ts";

Deno.test("a client's messages are as the RFC has them", () => {
  assertEquals(hexOfBytes(setPixelFormat(BGRX)), "0000000020180001" + "00ff00ff00ff1008" + "00000000");
  assertEquals(hexOfBytes(setEncodings([1, 0, -239])), "02000003" + "00000001" + "00000000" + "ffffff11");
  const area = { x: 1, y: 2, width: 0x320, height: 0x258 };
  assertEquals(hexOfBytes(updateRequest(true, area)), "0301000100020320" + "0258");
  assertEquals(hexOfBytes(updateRequest(false, area)), "0300000100020320" + "0258");
  assertEquals(hexOfBytes(keyEvent(true, 0xff0d)), "040100000000ff0d");
  assertEquals(hexOfBytes(pointerEvent(5, 0x102, 3)), "050501020003");
  assertEquals(hexOfBytes(extendedKeyEvent(false, 0x61, 0x1e)), "ff00000000000061" + "0000001e");
});

Deno.test("a pixel format is read as it was written, and refused when no colour comes out of it", () => {
  const bytes = setPixelFormat(BGRX);
  const view = new DataView(bytes.buffer);
  assertEquals(readPixelFormat(view, 4), BGRX);
  const wrong = [[4, 24], [5, 0], [5, 33], [9, 0xfe], [14, 25], [8, 0xfe]] as const;
  for (const [at, value] of wrong) {
    const copy = bytes.slice();
    copy[at] = value;
    const fault = assertThrows(() => readPixelFormat(new DataView(copy.buffer), 4), Fault, "pixel format");
    assertEquals(fault.code, "protocol-error");
  }
  // With a map of colours nothing is said of them.
  const indexed = bytes.slice();
  indexed.set([8, 8, 0, 0, 0, 0, 0, 0, 0, 0], 4);
  assertEquals(readPixelFormat(new DataView(indexed.buffer), 4).trueColour, false);
});
