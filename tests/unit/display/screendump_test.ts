// Screendumps as a display source: what QEMU writes is painted pixel by pixel, nothing is asked without
// demand, never twice at once, and what is not valid ends the source.
import "../ffi/loaded_shim.ts";
import { assert, assertEquals } from "@std/assert";
import { ftruncate } from "../../../ffi/memfd.ts";
import { openFdCount } from "../../../ffi/owned_fd.ts";
import { pwriteFrom } from "../../../ffi/stream.ts";
import { MS, NEVER, SECOND } from "../../../src/base/clock.ts";
import { CODE } from "../../../src/base/codes.ts";
import { MemoryCanvas } from "../../../src/display/canvas.ts";
import { ScreendumpSource } from "../../../src/display/screendump/screendump_source.ts";
import { withSeed } from "../../fixtures/seeded_random.ts";

/** A QEMU that dumps what it is told to. */
class Scene implements Disposable {
  readonly canvas = new MemoryCanvas();
  readonly lost: string[] = [];
  /** The descriptors that dumps were asked with. */
  readonly asked: number[] = [];
  pictures = 0;
  nowNs = SECOND;
  #file = -1;
  readonly source: ScreendumpSource = new ScreendumpSource(this.canvas, {
    onLost: (code, why) => this.lost.push(`${code}: ${why}`),
    onPicture: () => this.pictures++,
    dump: (fd) => {
      this.asked.push(fd);
      if (fd >= 0) this.#file = fd;
    },
  });

  /** Answers the dump that is under way with a picture. */
  answer(width: number, height: number, rgb: Uint8Array<ArrayBuffer>, cut = 0): void {
    const head = new TextEncoder().encode(`P6\n${width} ${height}\n255\n`);
    const bytes = new Uint8Array(head.length + rgb.length - cut);
    bytes.set(head);
    bytes.set(rgb.subarray(0, rgb.length - cut), head.length);
    this.answerBytes(bytes);
  }

  answerBytes(bytes: Uint8Array<ArrayBuffer>): void {
    ftruncate(this.#file, 0);
    if (bytes.length > 0) assertEquals(pwriteFrom(this.#file, bytes, 0, bytes.length, 0), bytes.length);
    this.source.onDumped(CODE.ok, "", this.nowNs);
  }

  [Symbol.dispose](): void {
    this.source[Symbol.dispose]();
  }
}

Deno.test("screendump: any picture of any size, pixel by pixel; what changed is the damage", () => {
  const before = openFdCount();
  withSeed((random) => {
    using scene = new Scene();
    let width = 1;
    let height = 1;
    let rgb = new Uint8Array(3);
    for (let round = 0; round < 40; round++) {
      const isResized = round === 0 || random.oneIn(4);
      if (isResized) {
        [width, height] = [1 + random.below(600), 1 + random.below(300)];
        rgb = Uint8Array.from({ length: width * height * 3 }, () => random.below(256));
      } else rgb[random.below(rgb.length)]! ^= 0x55;
      scene.source.once();
      scene.source.step(scene.nowNs);
      scene.answer(width, height, rgb);
      const { words } = scene.canvas;
      assertEquals([scene.canvas.width, scene.canvas.height, words.length], [width, height, width * height]);
      for (let i = 0; i < words.length; i++) {
        const want = rgb[3 * i]! << 16 | rgb[3 * i + 1]! << 8 | rgb[3 * i + 2]!;
        if (words[i] !== want) assertEquals(words[i], want, `pixel ${i} of round ${round}`);
      }
      const damage = scene.canvas.lastDamage;
      if (!isResized) assertEquals([damage[2], damage[3]], [1, 1]);
      assertEquals(scene.pictures, round + 1);
    }
    assertEquals(scene.asked.filter((fd) => fd >= 0).length, 1, "QEMU is handed the file once");
  });
  assertEquals(openFdCount(), before);
});

Deno.test("screendump: an unchanged picture is served, and not committed", () => {
  using scene = new Scene();
  const rgb = new Uint8Array(300).fill(9);
  for (let i = 0; i < 3; i++) {
    scene.source.once();
    scene.source.step(scene.nowNs);
    scene.answer(10, 10, rgb);
  }
  assertEquals([scene.pictures, scene.canvas.commits], [3, 1]);
});

Deno.test("screendump: without demand nothing; by rate; never two at once; a request during a dump is served by the next", () => {
  using scene = new Scene();
  const { source } = scene;
  assertEquals(source.nextNs, NEVER);
  source.step(scene.nowNs);
  assertEquals(scene.asked.length, 0);
  source.demand(10);
  source.step(scene.nowNs);
  assertEquals([scene.asked.length, source.nextNs], [1, NEVER]);
  source.step(scene.nowNs + SECOND);
  source.once();
  source.step(scene.nowNs + SECOND);
  assertEquals(scene.asked.length, 1);
  scene.answer(2, 2, new Uint8Array(12));
  assertEquals([scene.pictures, source.nextNs], [0, 0]);
  source.step(scene.nowNs + 1);
  scene.answer(2, 2, new Uint8Array(12));
  assertEquals([scene.pictures, source.nextNs], [1, scene.nowNs + 1 + 100 * MS]);
  source.demand(0);
  assertEquals(source.nextNs, NEVER);
});

Deno.test("screendump: a damaged file is tried again, and the third one in a row ends it", () => {
  using scene = new Scene();
  const { source } = scene;
  const rgb = new Uint8Array(3 * 64).fill(1);
  source.once();
  source.step(scene.nowNs);
  scene.answer(8, 8, rgb);
  for (const [i, bytes] of ["", "P5\n", "P6\n99999 1\n255\n"].entries()) {
    source.once();
    source.step(scene.nowNs);
    scene.answerBytes(new TextEncoder().encode(bytes));
    assertEquals(scene.lost.length, i === 2 ? 1 : 0);
  }
  assertEquals([scene.pictures, source.nextNs], [1, NEVER]);
  assert(scene.lost[0]!.startsWith(`${CODE["protocol-error"]}: QEMU's screendump is not valid`));
  assertEquals(scene.canvas.width, 8, "what it showed stays");
});

Deno.test("screendump: QEMU's refusal ends it, with its words", () => {
  using scene = new Scene();
  scene.source.once();
  scene.source.step(scene.nowNs);
  scene.source.onDumped(CODE.refused, "no display", scene.nowNs);
  assertEquals(scene.lost, [`${CODE.refused}: no display`]);
});

Deno.test("screendump: a file that QEMU has no more, since its monitor was connected anew, is sent once more", () => {
  using scene = new Scene();
  const { source } = scene;
  const rgb = new Uint8Array(3 * 64).fill(1);
  source.once();
  source.step(scene.nowNs);
  scene.answer(8, 8, rgb);
  source.once();
  source.step(scene.nowNs);
  source.onDumped(CODE["bad-argument"], "it came without a file", scene.nowNs);
  const [first, again, file] = scene.asked;
  assertEquals([again, file], [-1, first]);
  scene.answer(8, 8, rgb);
  assertEquals([scene.pictures, scene.lost], [2, []]);
  source.once();
  source.step(scene.nowNs);
  for (let i = 0; i < 2; i++) source.onDumped(CODE["bad-argument"], "no such head", scene.nowNs);
  assertEquals(scene.lost, [`${CODE["bad-argument"]}: no such head`]);
});
