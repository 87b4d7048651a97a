/** What is waited for on a screen, frame by frame: matches, places, resets, and what was there before. */
import { assertEquals, assertThrows } from "@std/assert";
import { Fault } from "../../../src/base/fault.ts";
import { type ScreenText, TextBuilder } from "../../../src/display/text/screen_text.ts";
import { checkCondition, type WaitCondition } from "../../../src/client/wait_condition.ts";
import { ProcessSearch } from "../../../src/client/wait_process.ts";
import { differenceOf, ScreenWait } from "../../../src/client/wait_screen.ts";
import type { Picture } from "../../../src/vgpu/picture.ts";

function picture(width: number, height: number, paint: (words: Int32Array) => void = () => {}): Picture {
  const rgba = new Uint8Array(4 * width * height);
  const words = new Int32Array(rgba.buffer).fill(0xff00_0000 | 0);
  paint(words);
  return { width, height, rgba };
}

function textOf(...lines: string[]): ScreenText {
  const text = new TextBuilder(20, lines.length);
  for (const line of lines) for (const character of line.padEnd(20)) text.add(character, 0, 0);
  return text.finish("vga");
}

const BLACK = picture(20, 10);
let frameId = 0;
const frame = (text?: ScreenText, shown: Picture = BLACK) => ({ frameId: ++frameId, picture: shown, text });

Deno.test("wait: a text is told with its place, in one line or over several", () => {
  frameId = 0;
  const wait = new ScreenWait({ text: /login:/u }, false);
  assertEquals([wait.needsText, wait.stillMs], [true, undefined]);
  assertEquals(wait.see(frame(undefined)), "changed");
  assertEquals(wait.see(frame(textOf("booting"))), "same");
  assertEquals(wait.see(frame(textOf("", "web ☺ login: "))), {
    what: "text",
    text: "login:",
    row: 1,
    column: 6,
    frameId: 3,
  });
  const over = new ScreenWait({ text: /end\nnext/gu }, false);
  const match = over.see(frame(textOf("x end", "next")));
  assertEquals(typeof match === "object" && "row" in match && [match.row, match.column], [0, 2]);
});

Deno.test("wait: what was there before a reset counts again once it was gone; so with what is there at first", () => {
  frameId = 0;
  const wait = new ScreenWait({ text: /login:/ }, true);
  const login = textOf("login:");
  assertEquals(wait.see(frame(login)), "changed");
  assertEquals(wait.see(frame(login)), "same", "it does not count");
  assertEquals(wait.see(frame(textOf("firmware"))), "same");
  wait.reset();
  assertEquals(typeof wait.see(frame(login)), "object", "it was gone before the reset");
  wait.reset();
  assertEquals(wait.see(frame(login)), "same", "and held at this one");
  assertEquals(wait.see(frame(undefined)), "same");
  assertEquals(typeof wait.see(frame(login)), "object");
});

Deno.test("wait: a picture within a part, with tolerance", () => {
  const needle = picture(2, 2, (words) => words.fill(0xff00_00ff | 0));
  const shown = picture(20, 10, (words) => {
    for (const at of [5 * 20 + 7, 5 * 20 + 8, 6 * 20 + 7, 6 * 20 + 8]) words[at] = 0xff00_00fe | 0;
  });
  assertEquals(new ScreenWait({ image: needle }, false).see(frame(undefined, shown)), "changed");
  const near = new ScreenWait({ image: needle, tolerance: 4 }, false).see(frame(undefined, shown));
  assertEquals(typeof near === "object" && "x" in near && [near.x, near.y, near.width], [7, 5, 2]);
  const area = { x: 0, y: 0, width: 8, height: 10 };
  const outside = new ScreenWait({ image: needle, tolerance: 4, area }, false).see(frame(undefined, shown));
  assertEquals(outside, "changed", "its right column lies outside");
});

Deno.test("wait: a change and its place; a part that stands still while the rest does not", () => {
  frameId = 0;
  const dot = (x: number, y: number) => picture(20, 10, (words) => words[y * 20 + x] = -1);
  const change = new ScreenWait({ change: true }, false);
  assertEquals(change.see(frame(undefined, BLACK)), "changed", "the first frame is no change");
  assertEquals(change.see(frame(undefined, picture(20, 10))), "same");
  assertEquals(change.see(frame(undefined, dot(3, 4))), {
    what: "change",
    x: 3,
    y: 4,
    width: 1,
    height: 1,
    frameId: 3,
  });
  const resized = change.see(frame(undefined, picture(30, 10)));
  assertEquals(typeof resized === "object" && "width" in resized && resized.width, 30);

  const still = new ScreenWait({ stillMs: 500, area: { x: 0, y: 0, width: 5, height: 5 } }, false);
  assertEquals(still.stillMs, 500);
  assertEquals(still.see(frame(undefined, BLACK)), "changed");
  assertEquals(still.see(frame(undefined, dot(10, 9))), "same");
  assertEquals(still.see(frame(undefined, dot(4, 4))), "changed");
  assertEquals(still.stoodStill(), { what: "still", stillMs: 500, frameId: 7 });
  assertEquals(differenceOf(dot(1, 1), dot(18, 8), { x: 0, y: 0, width: 99, height: 99 }), {
    x: 1,
    y: 1,
    width: 18,
    height: 8,
  });
});

Deno.test("wait: conditions that cannot be", () => {
  const wrong: WaitCondition[] = [
    { text: new RegExp("a".repeat(5000)) },
    { stillMs: 0 },
    { stillMs: NaN },
    { state: "flying" },
    { process: "" },
    { image: BLACK, tolerance: 256 },
    { change: true, area: { x: 0, y: 0, width: 0, height: 1 } },
    { change: true, area: { x: -1, y: 0, width: 1, height: 1 } },
  ];
  for (const condition of wrong) {
    assertEquals(assertThrows(() => checkCondition(condition), Fault, "Cannot wait").code, "bad-argument");
  }
  checkCondition({ ready: true });
});

Deno.test("wait: processes are listed when the kernel has forked, and a while after that", () => {
  let births: number | undefined = 1;
  let lists = 0;
  const names = ["init", "kthreadd"];
  const os = {
    births: () => births,
    processes: () => {
      lists++;
      const items = names.map((name, i) => ({ name, pid: i + 1, ppid: 0, root: 0, kernelThread: false }));
      return { items, end: { complete: true } };
    },
  } as unknown as ConstructorParameters<typeof ProcessSearch>[0];
  const search = new ProcessSearch(os, "a-name-that-is-longer");
  assertEquals([search.look(0), search.look(1000), lists], [undefined, undefined, 2]);
  assertEquals(
    [search.look(2001), search.look(60_000), lists],
    [undefined, undefined, 2],
    "nothing was forked",
  );
  births = 2;
  names.push("sh");
  assertEquals([search.look(60_050), lists], [undefined, 3]);
  names[2] = "a-name-that-is-";
  assertEquals([search.look(60_100), lists], [3, 4], "it has its name by now, as far as Linux keeps it");
  births = undefined;
  assertEquals(search.look(99_000), 3, "a system that counts nothing");
});

Deno.test("wait: why a frame could not match whatever it showed", () => {
  const misfit = (
    condition: Exclude<WaitCondition, { process: string } | { state: string } | { ready: true }>,
  ) => {
    const wait = new ScreenWait(condition, false);
    assertEquals(wait.misfit, "", "nothing was seen");
    wait.see(frame());
    return wait.misfit;
  };
  const area = (x: number, y: number, width: number, height: number) => ({ x, y, width, height });
  assertEquals(misfit({ text: /x/u }), "");
  assertEquals(misfit({ stillMs: 1, area: area(19, 9, 100, 100) }), "");
  assertEquals(
    misfit({ stillMs: 1, area: area(20, 0, 1, 1) }),
    "the area was outside of the screen of 20x10",
  );
  assertEquals(
    misfit({ change: true, area: area(0, 10, 1, 1) }),
    "the area was outside of the screen of 20x10",
  );
  const image = picture(8, 4);
  assertEquals(misfit({ image, area: area(2, 3, 8, 4) }), "");
  assertEquals(misfit({ image, area: area(2, 3, 8, 3) }), "the picture of 8x4 did not fit into the area");
  assertEquals(misfit({ image, area: area(13, 0, 8, 4) }), "the picture of 8x4 did not fit into the area");
  assertEquals(
    misfit({ image: picture(20, 11) }),
    "the picture of 20x11 did not fit into the screen of 20x10",
  );
});
