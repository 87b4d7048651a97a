import { assertEquals } from "@std/assert";
import { ERROR, SEAM } from "../../../src/event/body_layout.ts";
import { CAP } from "../../../src/event/capability.ts";
import { CATALOGUE, ROWS } from "../../../src/event/catalogue.ts";
import { catalogueFaults } from "../../../src/event/catalogue_check.ts";
import { anyOf, type KindRow, PLAIN, same } from "../../../src/event/kind_row.ts";
import { PRIO } from "../../../src/event/priority.ts";
import { SOURCE } from "../../../src/event/source.ts";

/** A row that is in order. */
const ROW: KindRow = {
  number: 60,
  way: "up",
  source: SOURCE.FRAME,
  prio: same(PRIO.NORMAL),
  inline: null,
  needs: anyOf(CAP.OBSERVE),
  ...PLAIN,
};

Deno.test("catalogue: what compiles and is wrong all the same is told by its row", () => {
  const cases: [KindRow, string, string][] = [
    [{ ...ROW, number: 3 }, "NEWS", "NEWS: number 3 is taken by ERROR"],
    [{ ...ROW, number: 33 }, "NEWS", "NEWS: number 33 is retired"],
    [{ ...ROW, number: 16 }, "NEWS", "NEWS: number 16 is retired"],
    [{ ...ROW, number: 72 }, "NEWS", "NEWS: number 72 is retired"],
    [{ ...ROW, number: 0 }, "NEWS", "NEWS: number 0 is not from 1 to 1023"],
    [{ ...ROW, number: 70_000 }, "NEWS", "NEWS: number 70000 is not from 1 to 1023"],
    [{ ...ROW, needs: anyOf(0x4) }, "NEWS", "NEWS: 0x4 has a capability that nobody can be granted"],
    [{ ...ROW, needs: anyOf(0) }, "NEWS", "NEWS: 0x0 has a capability that nobody can be granted"],
    [
      {
        ...ROW,
        way: "down",
        needs: { by: "operation", of: new Map([[0, { caps: 0x20000000, lease: null }]]) },
      },
      "CMD_NEWS",
      "CMD_NEWS: 0x20000000 has a capability that nobody can be granted",
    ],
    [{ ...ROW, way: "down" }, "NEWS", "NEWS: a command is named CMD_… and goes down"],
    [ROW, "CMD_NEWS", "CMD_NEWS: a command is named CMD_… and goes down"],
    [
      { ...ROW, source: SOURCE.VMHOST, publishable: true },
      "NEWS",
      "NEWS: only kinds of FRAME are published",
    ],
    [{ ...ROW, body: "raw" }, "NEWS", "NEWS: a body has a bound, and no body has none"],
    [{ ...ROW, way: "handshake", fds: 1 }, "NEWS", "NEWS: a handshake carries no descriptors"],
    [{ ...ROW, fds: 9 }, "NEWS", "NEWS: a frame carries 8 descriptors at most"],
    [{ ...ROW, fds: -1 }, "NEWS", "NEWS: a frame carries 8 descriptors at most"],
    [
      { ...ROW, inline: SEAM, retainedBy: "pid" },
      "NEWS",
      "NEWS: is not kept, and pid separates what is",
    ],
    [
      { ...ROW, inline: SEAM, retained: 8, retainedBy: "head" },
      "NEWS",
      "NEWS: its inline zone has no u32 field head",
    ],
    [
      { ...ROW, inline: ERROR, retained: 8, retainedBy: "text" },
      "NEWS",
      "NEWS: its inline zone has no u32 field text",
    ],
    [{ ...ROW, retained: 8, retainedBy: "pid" }, "NEWS", "NEWS: its inline zone has no u32 field pid"],
  ];
  assertEquals(catalogueFaults(ROWS, CAP), []);
  assertEquals(catalogueFaults([...ROWS, ["NEWS", ROW]], CAP), []);
  const withFds: KindRow = { ...ROW, way: "down", fds: 8 };
  const byPid: KindRow = { ...ROW, inline: SEAM, retained: 8, retainedBy: "pid" };
  assertEquals(catalogueFaults([...ROWS, ["CMD_NEWS", withFds]], CAP), []);
  assertEquals(catalogueFaults([...ROWS, ["NEWS", byPid]], CAP), []);
  assertEquals(catalogueFaults([...ROWS, ["ROSTER", ROW]], CAP), ["ROSTER: two rows have this name"]);
  const bits: [number, string][] = [
    [0x4, "NEWS: capability 0x4 is retired"],
    [0x1000, "NEWS: capability 0x1000 is taken by FRAME"],
    [0x6000, "NEWS: capability 0x6000 is not one bit"],
    [0, "NEWS: capability 0x0 is not one bit"],
  ];
  assertEquals(catalogueFaults(ROWS, { ...CAP, NEWS: 0x20000000 }), []);
  for (const [NEWS, fault] of bits) assertEquals(catalogueFaults(ROWS, { ...CAP, NEWS }), [fault]);
  for (const [row, name, fault] of cases) {
    assertEquals(catalogueFaults([...ROWS, [name, row]], CAP), [fault]);
  }
});

Deno.test("catalogue: what is retained comes to a late subscriber in one order, each place taken once", () => {
  const places = ROWS.filter(([, row]) => row.retained > 0).sort((a, b) => a[1].retained - b[1].retained);
  assertEquals(places.map(([name]) => name), [
    "ROSTER",
    "MEMCTX",
    "FRAME_RING",
    "VGPU_STATUS",
    "FRAME_DEMAND",
    "CURSOR_SHAPE",
    "KEYBOARD_LEDS",
  ]);
  assertEquals(places.map(([, row]) => row.retained), [1, 2, 3, 4, 5, 6, 7]);
});

Deno.test("catalogue: who carries descriptors and bodies", () => {
  const carriers = ROWS.filter(([, row]) => row.fds > 0).map(([name, row]) => [name, row.fds]);
  assertEquals(carriers, [["MEMCTX", 8], ["FRAME_RING", 1], ["CMD_DISPLAY", 1], ["DISPLAY", 1]]);
  const bodies = Object.fromEntries(
    ROWS.filter(([, row]) => row.body !== "none").map(([name, row]) => [name, row.body]),
  );
  assertEquals(bodies, {
    CMD_INPUT: "raw-or-none",
    MEMCTX: "raw",
    CMD_MEMWRITE: "raw-or-none",
    AUDIT: "cbor",
    CMD_DISPLAY: "raw-or-none",
    DISPLAY: "cbor",
    SCREEN_TEXT: "cbor",
    CONSOLE_OUT: "raw-or-none",
    CONSOLE_LIST: "cbor",
    CMD_CONSOLE_WRITE: "raw",
    AGENT_REPLY: "cbor",
    CMD_AGENT: "raw-or-none",
    VCPU_STATE: "raw-or-none",
    SNAPSHOT: "cbor",
    SNAPSHOT_LIST: "cbor",
    CMD_SNAPSHOT: "raw-or-none",
    MIGRATION: "cbor",
    CMD_LEASE_CLAIM: "raw-or-none",
    LEASE_WHO: "cbor",
    CURSOR_SHAPE: "raw-or-none",
    HELLO: "cbor",
    WELCOME: "cbor",
    REFUSED: "cbor",
  });
  assertEquals(CATALOGUE.CMD_MEMWRITE.number, 79);
});
