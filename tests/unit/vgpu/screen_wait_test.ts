// Waiting for change and for stillness: by damage where it tells all, by hash where it does not.
import { assertEquals } from "@std/assert";
import { MS } from "../../../src/base/clock.ts";
import { ChangeWait, ScreenPart, StillWait } from "../../../src/vgpu/screen_wait.ts";
import { FrameInfo } from "../../../src/vgpu/snapshots.ts";

class Screen {
  readonly bytes = new Uint8Array(40 * 30 * 4);
  readonly info = new FrameInfo();
  constructor(format = 1) {
    const pixel = format === 5 ? 1 : 4;
    this.info.assign(
      Object.assign(new FrameInfo(), {
        width: 36,
        height: 30,
        stride: 40 * pixel,
        format,
        bytes: 40 * 30 * pixel,
      }),
    );
    if (format === 5) this.info.bytes = 40 * 30 / 2 * 3;
  }
  frame(id: number, damage: readonly number[] = [0, 0, 36, 30]): this {
    this.info.frameId = id;
    [this.info.damageX, this.info.damageY, this.info.damageW, this.info.damageH] = damage as [
      number,
      number,
      number,
      number,
    ];
    return this;
  }
  touch(x: number, y: number): this {
    const at = y * this.info.stride + x * 4;
    this.bytes[at] = this.bytes[at]! ^ 1;
    return this;
  }
  seenBy(part: ScreenPart): boolean {
    return part.see(this.bytes, this.info);
  }
}

Deno.test("the first frame is no change; the same content is none; a pixel is one; padding is none", () => {
  const part = new ScreenPart();
  const screen = new Screen();
  assertEquals(screen.frame(1).seenBy(part), false);
  assertEquals(screen.frame(2).seenBy(part), false);
  assertEquals(screen.touch(35, 29).frame(3).seenBy(part), true);
  assertEquals(screen.touch(37, 5).frame(4).seenBy(part), false);
});

Deno.test("every pixel of a part counts, and none outside it", () => {
  const rectangle = { x: 3, y: 4, width: 7, height: 5 };
  const screen = new Screen();
  const part = new ScreenPart(rectangle);
  let id = 1;
  screen.frame(id).seenBy(part);
  for (let y = 0; y < 30; y++) {
    for (let x = 0; x < 36; x++) {
      const inside = x >= 3 && x < 10 && y >= 4 && y < 9;
      assertEquals(screen.touch(x, y).frame(++id).seenBy(part), inside, `${x},${y}`);
    }
  }
});

Deno.test("damage elsewhere spares the look, but only in the very next frame", () => {
  const part = new ScreenPart({ x: 0, y: 0, width: 5, height: 5 });
  const screen = new Screen();
  screen.frame(1).seenBy(part);
  // A producer that lies about its damage is believed for the next frame: that is what damage is for.
  assertEquals(screen.touch(1, 1).frame(2, [20, 20, 5, 5]).seenBy(part), false);
  assertEquals(screen.frame(4, [20, 20, 5, 5]).seenBy(part), true, "a frame in between was missed");
});

Deno.test("another size is a change, also when nothing of the part is left", () => {
  const part = new ScreenPart();
  const screen = new Screen();
  screen.frame(1).seenBy(part);
  screen.info.width = 30;
  assertEquals(screen.frame(2, [0, 0, 1, 1]).seenBy(part), true);
});

Deno.test("NV12: colour alone is a change", () => {
  const part = new ScreenPart();
  const screen = new Screen(5);
  screen.frame(1).seenBy(part);
  screen.bytes[40 * 30 + 3] = 9;
  assertEquals(screen.frame(2).seenBy(part), true);
});

Deno.test("a wait for change ends with the change or at its deadline", () => {
  const screen = new Screen();
  const wait = new ChangeWait(100 * MS);
  assertEquals(wait.frame(0, screen.frame(1).bytes, screen.info), "waiting");
  assertEquals(wait.tick(99 * MS), "waiting");
  assertEquals(wait.nextNs, 100 * MS);
  assertEquals(wait.frame(99 * MS, screen.frame(2).bytes, screen.info), "waiting");
  assertEquals(wait.frame(100 * MS, screen.touch(1, 1).frame(3).bytes, screen.info), "done");
  assertEquals(new ChangeWait(5).tick(5), "timed-out");
});

Deno.test("a wait for stillness counts from the last change, frames or none", () => {
  const screen = new Screen();
  const wait = new StillWait(0, 50 * MS, 1000 * MS);
  assertEquals(wait.frame(0, screen.frame(1).bytes, screen.info), "waiting");
  assertEquals(wait.frame(40 * MS, screen.touch(1, 1).frame(2).bytes, screen.info), "waiting");
  assertEquals(wait.nextNs, 90 * MS);
  assertEquals(wait.frame(89 * MS, screen.frame(3).bytes, screen.info), "waiting");
  assertEquals(wait.tick(90 * MS), "done");
  const never = new StillWait(0, 50 * MS, 60 * MS);
  for (let t = 0; t < 60; t += 10) never.frame(t * MS, screen.touch(0, 0).frame(10 + t).bytes, screen.info);
  assertEquals(never.tick(60 * MS), "timed-out");
});
