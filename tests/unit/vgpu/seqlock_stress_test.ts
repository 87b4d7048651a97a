/**
 * A writer on another core, as fast as it can, against the reader. Every frame carries a checksum, every
 * cursor is redundant in itself, so one torn snapshot among a million shows. The same run with the second
 * look taken out must fail: it proves that the writer does get in between.
 * @module
 */
import "../ffi/loaded_shim.ts";
import { assert, assertEquals } from "@std/assert";
import { MappedRegion } from "../../../src/vgpu/mapped_region.ts";
import type { RegionMemory, SlotSpan } from "../../../src/vgpu/region_memory.ts";
import { Cursor, FrameInfo } from "../../../src/vgpu/snapshots.ts";
import { READ, VgpuRegion } from "../../../src/vgpu/vgpu_region.ts";
import { LocalProducer } from "../../fixtures/vgpu_local_producer.ts";
import { checkStamp } from "../../fixtures/vgpu_stamp.ts";

const SAMPLES = 1_000_000;
const OPTIONS = ["width=32", "height=32", "slots=2", "fps=0", "cursor=off"];

interface Counts {
  whole: number;
  torn: number;
  nothing: number;
}

function sampleMany(region: VgpuRegion, samples: number): Counts {
  const info = new FrameInfo();
  const into = new Uint8Array(32 * 32 * 4);
  const words = new Int32Array(into.buffer);
  const counts = { whole: 0, torn: 0, nothing: 0 };
  for (let i = 0; i < samples; i++) {
    // Any frame will do: every sample copies.
    region.forgetFrames();
    const result = region.sampleFrame(into, info);
    if (result === READ.NOTHING) counts.nothing++;
    else if (checkStamp(words, info.bytes) === info.frameId) counts.whole++;
    else counts.torn++;
  }
  return counts;
}

function opened(memory: RegionMemory): VgpuRegion {
  const result = VgpuRegion.open(memory);
  assert(result.ok, result.ok ? "" : result.defect);
  return result.region;
}

/**
 * A reader's memory whose header is a copy taken at the first look: the second look sees what the first one
 * saw.
 */
class NoSecondLook implements RegionMemory {
  readonly gva = 0;
  readonly root = 0;
  readonly roomBytes: number;
  readonly words = new Int32Array(2048);
  wordBase = 0;
  readonly #live: Int32Array;
  readonly #inner: MappedRegion;
  #copied = false;
  constructor(buffer: ArrayBuffer) {
    this.#inner = new MappedRegion(buffer);
    this.roomBytes = this.#inner.roomBytes;
    this.#live = new Int32Array(buffer, 0, 2048);
  }
  locate(pageOffset: number): boolean {
    if (!this.#copied) this.words.set(this.#live);
    this.#copied = true;
    this.wordBase = pageOffset / 4;
    return true;
  }
  span(slot: number, offset: number, sizeBytes: number): SlotSpan | undefined {
    return this.#inner.span(slot, offset, sizeBytes);
  }
  forget(slot: number): void {
    this.#inner.forget(slot);
  }
  again(): void {
    this.#copied = false;
  }
}

Deno.test("a million frames sampled from a writer that never pauses: none is torn", async () => {
  await using producer = await LocalProducer.start(...OPTIONS);
  const counts = sampleMany(opened(new MappedRegion(producer.mapping.buffer)), SAMPLES);
  assertEquals(counts.torn, 0);
  assert(counts.whole > SAMPLES / 2, `most attempts succeed: ${JSON.stringify(counts)}`);
});

Deno.test("the same without the second look is torn: the test can fail", async () => {
  await using producer = await LocalProducer.start(...OPTIONS);
  const memory = new NoSecondLook(producer.mapping.buffer);
  const region = opened(memory);
  let torn = 0;
  for (let i = 0; i < SAMPLES && torn < 10; i++) {
    memory.again();
    torn += sampleMany(region, 1).torn;
  }
  assertEquals(torn, 10);
});

Deno.test("a million cursors read from a writer that never pauses: none is torn", async () => {
  await using producer = await LocalProducer.start("width=32", "height=32", "frozen=1", "cursor=fast");
  const region = opened(new MappedRegion(producer.mapping.buffer));
  const cursor = new Cursor();
  let fresh = 0;
  for (let i = 0; i < SAMPLES; i++) {
    // Before its first cursor the producer has none to tell.
    if (region.readCursor(cursor) !== READ.FRESH || cursor.seq === 0) continue;
    fresh++;
    if (
      cursor.y !== ~cursor.x || cursor.hotX !== (cursor.x & 0xffff) || cursor.hotY !== (cursor.y & 0xffff)
    ) {
      throw new Error(`torn: ${JSON.stringify(cursor)}`);
    }
  }
  assert(fresh > 0, "some reads succeed between two writes");
});

Deno.test("a producer that dies in the middle of a frame leaves a slot that is busy, and the last frame whole", async () => {
  await using producer = await LocalProducer.start("width=64", "height=64", "slots=2", "fps=100");
  const region = opened(new MappedRegion(producer.mapping.buffer));
  const info = new FrameInfo();
  const into = new Uint8Array(64 * 64 * 4);
  while (region.sampleFrame(into, info) !== READ.FRESH) {
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  assertEquals(await producer.last("die"), 9);
  region.forgetFrames();
  assertEquals(region.sampleFrame(into, info), READ.FRESH);
  assertEquals(checkStamp(new Int32Array(into.buffer), info.bytes), info.frameId);
  const words = new Int32Array(producer.mapping.buffer, 0x140, 32);
  assert(((words[0]! | words[16]!) & 1) === 1, "one slot is half-written");
});
