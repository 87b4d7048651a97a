import { assert, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { Fault } from "../../../src/base/fault.ts";
import { readU64 } from "../../../src/base/layout.ts";
import { parseChord } from "../../../src/client/chord.ts";
import type { Client } from "../../../src/client/client.ts";
import type { ClientEvent } from "../../../src/client/client_event.ts";
import { connect } from "../../../src/client/connect.ts";
import { FRAMES_IN_FLIGHT, takeInput } from "../../../src/client/input_control.ts";
import { type InputRecord, writeInputFrame } from "../../../src/client/input_record.ts";
import { KEY_CODES, keyCode, keyName } from "../../../src/client/key_codes.ts";
import { pointsBetween } from "../../../src/client/mouse_frames.ts";
import { framesOfText, US_LAYOUT } from "../../../src/client/us_layout.ts";
import { KIND } from "../../../src/event/kind.ts";
import { EventPool } from "../../../src/event/transfer_event.ts";
import { FakeDaemon, type Peer, type Script } from "./fake_daemon.ts";

const SHIFT = 42;

/** The records of a CMD_INPUT as it arrived: "kind:code:value" or, of a scroll, "4:axis~notches". */
function recordsOf(event: ClientEvent): string[] {
  const texts: string[] = [];
  const read = (view: DataView, at: number) => {
    const [kind, code, value] = [
      view.getUint32(at, true),
      view.getInt32(at + 4, true),
      view.getInt32(at + 8, true),
    ];
    texts.push(kind === 4 ? `4:${code}~${view.getFloat64(at + 16, true)}` : `${kind}:${code}:${value}`);
  };
  read(event.view, 0);
  const body = new DataView(event.body.buffer, event.body.byteOffset, event.body.byteLength);
  for (let at = 0; at + 24 <= body.byteLength; at += 24) read(body, at);
  return texts;
}

function textOf(records: readonly InputRecord[]): string {
  return records.map(({ code, value }) => `${code}${value === 1 ? "+" : "-"}`).join(" ");
}

/** A daemon that grants leases and acknowledges input, unless `refuse` says otherwise. */
function actuator(
  frames: string[][],
  refuse?: (n: number) => number,
  hold?: (ack: () => void) => void,
): Script {
  return {
    endpoints: ["alpha"],
    onCommand(command, peer) {
      if (command.kind === KIND.CMD_ACQUIRE) peer.reply(command, KIND.LEASE_GRANTED, [0, 0, 5, 0, 0]);
      else if (command.kind === KIND.CMD_RELEASE) peer.reply(command, KIND.LEASE_RELEASED, [0]);
      else if (command.kind === KIND.CMD_QUERY_INPUT) peer.reply(command, KIND.INPUT_HELD, [0, 0]);
      else {
        frames.push(recordsOf(command));
        const n = frames.length;
        const ack = () => peer.ack(command, refuse?.(n) ?? 0);
        if (hold === undefined) ack();
        else hold(ack);
      }
    },
  };
}

async function withActuator(
  script: Script,
  body: (client: Client, peer: Peer) => Promise<void>,
): Promise<void> {
  await using daemon = new FakeDaemon(script);
  await using client = await connect({ socket: daemon.path, name: "tester" });
  await body(client, daemon.peer);
}

Deno.test("keys have the kernel's codes, in any spelling", () => {
  const codes = [["esc", 1], ["KEY_A", 30], ["a", 30], ["leftctrl", 29], ["KEY_LEFTCTRL", 29], ["f12", 88], [
    "page_up",
    104,
  ]];
  for (const [name, code] of codes) assertEquals(keyCode(String(name)), code);
  for (
    const [alias, name] of [["ctrl", "leftctrl"], ["Del", "delete"], ["return", "enter"], ["win", "leftmeta"]]
  ) {
    assertEquals(keyCode(alias as string), keyCode(name as string), alias);
  }
  assertEquals(keyCode("KEY_1"), 2);
  assertEquals(keyCode("nothing"), undefined);
  assertEquals(keyName(30), "a");
  assertEquals(keyName(767), "key-767");
  for (const [name, code] of KEY_CODES) assert(code > 0 && code <= 0x2ff, name);
  assert(KEY_CODES.size > 500, `${KEY_CODES.size}`);
});

Deno.test("the kernel's own header agrees with every key", async () => {
  let header: string;
  try {
    header = await Deno.readTextFile("/usr/include/linux/input-event-codes.h");
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw error;
  }
  let seen = 0;
  for (
    const [, name = "", value = ""] of header.matchAll(/^#define\s+KEY_(\w+)\s+(0x[0-9a-fA-F]+|[0-9]+)\s/gm)
  ) {
    const code = keyCode(name);
    if (code === undefined) continue;
    assertEquals(code, Number(value), name);
    seen++;
  }
  assert(seen > 400, `${seen}`);
});

Deno.test("chords", () => {
  assertEquals(parseChord("ctrl-alt-delete"), [29, 56, 111]);
  assertEquals(parseChord("Ctrl+Shift+Esc"), [29, SHIFT, 1]);
  assertEquals(parseChord("f5"), [63]);
  assertEquals(parseChord("ctrl--"), [29, 12]);
  assertEquals(parseChord("-"), [12]);
  assertEquals(parseChord("ctrl-+"), [29, SHIFT, 13]);
  assertEquals(parseChord("ctrl-?"), [29, SHIFT, 53]);
  assertEquals(parseChord("shift-A"), [SHIFT, 30]);
  assertEquals(parseChord("a-a"), [30]);
  const why = (text: string) => (assertThrows(() => parseChord(text), Fault) as Fault).message;
  assertStringIncludes(why("ctrl-dleete"), "did you mean delete?");
  assertStringIncludes(why("ctrl-"), "missing behind the last -");
  assertStringIncludes(why(""), "names no key");
  assertStringIncludes(why("-a"), "there is no -");
  assertStringIncludes(why("q-w-e-r-t-y-u-i-o-p-a-s-d-f-g-h-j"), "more than 16 keys");
});

Deno.test("every printable ASCII character can be typed, each frame neutral", () => {
  for (let c = 32; c < 127; c++) {
    const [records = []] = framesOfText(String.fromCharCode(c));
    const down = new Set<number>();
    for (const { code, value } of records) {
      assert(code > 0);
      if (value === 1) down.add(code);
      else assert(down.delete(code), `${String.fromCharCode(c)}: released what was not pressed`);
    }
    assertEquals(down.size, 0);
  }
  // No two characters by the same stroke.
  const strokes = new Set([...US_LAYOUT.values()].map(({ code, shift }) => `${code} ${shift}`));
  assertEquals(strokes.size, US_LAYOUT.size);
});

Deno.test("typed text", () => {
  assertEquals(framesOfText("aA1!\n\t ").map(textOf), [
    "30+ 30-",
    "42+ 30+ 30- 42-",
    "2+ 2-",
    "42+ 2+ 2- 42-",
    "28+ 28-",
    "15+ 15-",
    "57+ 57-",
  ]);
  assertEquals(framesOfText("\r\n").length, 1);
  const fault = assertThrows(() => framesOfText("abcé"), Fault) as Fault;
  assertStringIncludes(fault.message, 'character 4 ("é", U+00E9)');
  assertStringIncludes((assertThrows(() => framesOfText("😀"), Fault) as Fault).message, "U+1F600");
});

Deno.test("a frame has 1 to 256 records", () => {
  const event = new EventPool().acquire();
  const record = { kind: 3, code: 30, value: 1, scroll: 0 };
  writeInputFrame(event, new Array(256).fill(record));
  assertEquals(event.bodyBytes, 255 * 24);
  assertEquals(
    (assertThrows(() => writeInputFrame(event, new Array(257).fill(record)), Fault) as Fault).code,
    "too-large",
  );
  assertEquals((assertThrows(() => writeInputFrame(event, []), Fault) as Fault).code, "bad-argument");
});

Deno.test("a straight way ends where it should", () => {
  assertEquals(pointsBetween({ x: 0, y: 100 }, { x: 10, y: 0 }, 4), [
    { x: 3, y: 75 },
    { x: 5, y: 50 },
    { x: 8, y: 25 },
    { x: 10, y: 0 },
  ]);
});

Deno.test("keyboard and mouse arrive as frames under the lease's token", async () => {
  const frames: string[][] = [];
  await withActuator(actuator(frames), async (client, peer) => {
    await using input = await takeInput(client, "alpha");
    await input.key("ctrl-c");
    await input.type("Hi");
    await input.move(0, 0x7fff);
    await input.click("right");
    await input.down();
    await input.up();
    await input.scroll(-3);
    await input.scroll(2, 1);
    await input.drag({ x: 0, y: 0 }, { x: 4, y: 8 }, { steps: 2 });
    await input.hold("shift", () => input.key("a"));
    assertEquals(frames, [
      ["3:29:1", "3:46:1", "3:46:0", "3:29:0"],
      ["3:42:1", "3:35:1", "3:35:0", "3:42:0"],
      ["3:23:1", "3:23:0"],
      ["0:0:0", "0:1:32767"],
      ["2:273:1"],
      ["2:273:0"],
      ["2:272:1"],
      ["2:272:0"],
      ["4:0~-3"],
      ["4:1~2"],
      ["0:0:0", "0:1:0"],
      ["2:272:1"],
      ["0:0:2", "0:1:4"],
      ["0:0:4", "0:1:8"],
      ["2:272:0"],
      ["3:42:1"],
      ["3:30:1", "3:30:0"],
      ["3:42:0"],
    ]);
    const inputs = peer.commands.filter(({ kind }) => kind === KIND.CMD_INPUT);
    for (const event of inputs) assertEquals(readU64(new DataView(event.frame.buffer), 40), 5, "the token");
  });
});

Deno.test("coordinates out of range are refused before anything is sent", async () => {
  const frames: string[][] = [];
  await withActuator(actuator(frames), async (client) => {
    await using input = await takeInput(client, "alpha");
    for (const [x, y] of [[-1, 0], [0, 0x8000], [0.5, 0], [NaN, 0]]) {
      await assertRejects(() => input.move(x as number, y as number), Fault, "whole numbers from 0 to 32767");
    }
    await assertRejects(() => input.drag({ x: 0, y: 0 }, { x: 0, y: 99999 }), Fault);
    assertEquals(frames, []);
  });
});

Deno.test("at most eight frames are in flight, in order, and none follows a refused one", async () => {
  const frames: string[][] = [];
  const acks: (() => void)[] = [];
  let most = 0;
  const script = actuator(frames, (n) => n === 20 ? 4 : 0, (ack) => {
    acks.push(ack);
    most = Math.max(most, acks.length);
  });
  await withActuator(script, async (client) => {
    await using input = await takeInput(client, "alpha");
    const typing = assertRejects(() => input.type("abcdefghijklmnopqrstuvwxyz".repeat(4)), Fault);
    let done = false;
    const settled = typing.finally(() => done = true);
    while (!done) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      // None is acknowledged before as many are under way as may be, however slowly they come.
      if (most >= FRAMES_IN_FLIGHT) { for (const ack of acks.splice(0)) ack(); }
    }
    const fault = await settled as Fault;
    assertEquals(fault.code, "stale-lease");
    assertEquals(most, FRAMES_IN_FLIGHT);
    assert(frames.length >= 20 && frames.length <= 20 + FRAMES_IN_FLIGHT, `${frames.length}`);
    assertEquals(frames.slice(0, 3), [["3:30:1", "3:30:0"], ["3:48:1", "3:48:0"], ["3:46:1", "3:46:0"]]);
  });
});

Deno.test("a drag whose step is refused releases the button", async () => {
  const frames: string[][] = [];
  await withActuator(actuator(frames, (n) => n === 3 ? 10 : 0), async (client) => {
    await using input = await takeInput(client, "alpha");
    await assertRejects(() => input.drag({ x: 0, y: 0 }, { x: 9, y: 9 }, { steps: 1 }), Fault);
    assertEquals(frames.at(-1), ["2:272:0"]);
  });
});

Deno.test("a held chord is released when the signal ends the wait", async () => {
  const frames: string[][] = [];
  await withActuator(actuator(frames), async (client) => {
    const aborter = new AbortController();
    await using input = await takeInput(client, "alpha", { signal: aborter.signal });
    const pressing = input.key("a", 60_000);
    while (frames.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    // The answer to the press has to be here, too: else it is the press that is interrupted. It comes before
    // the answer to what is asked now.
    await client.held("alpha");
    aborter.abort();
    await pressing;
    assertEquals(frames, [["3:30:1"], ["3:30:0"]]);
  });
});

Deno.test("what is held is told", async () => {
  const script: Script = {
    endpoints: ["alpha"],
    onCommand: (command, peer) =>
      peer.reply(command, KIND.INPUT_HELD, [2, 1, (30 << 16) | 3, (0x110 << 16) | 2]),
  };
  await withActuator(script, async (client) => {
    assertEquals(await client.held("alpha"), {
      entries: [{ kind: 3, code: 30 }, { kind: 2, code: 0x110 }],
      truncated: true,
    });
  });
});
