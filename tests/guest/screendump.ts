/**
 * What QEMU itself says is on the screen: its screendump as PPM, to compare sources with.
 * @module
 */
import { assert } from "@std/assert";
import { readPpmHead } from "../../src/vgpu/ppm.ts";
import type { Qemu } from "./qemu.ts";
import type { TestQmp } from "./test_qmp.ts";

/** A picture: three bytes a pixel, red, green, blue. */
export interface Screendump {
  /** Pixels in a row. */
  readonly width: number;
  /** Rows. */
  readonly height: number;
  /** The pixels. */
  readonly rgb: Uint8Array;
}

/** Dumps the screen. */
export async function screendump(vm: Qemu, qmp: TestQmp): Promise<Screendump> {
  const path = `${vm.dir}/screen.ppm`;
  await qmp.execute("screendump", { filename: path });
  const bytes = await Deno.readFile(path);
  const head = readPpmHead(bytes, bytes.length);
  assert(head.ok, "QEMU writes a PPM");
  const { width, height, dataOffset } = head;
  return { width, height, rgb: bytes.subarray(dataOffset, dataOffset + width * height * 3) };
}
