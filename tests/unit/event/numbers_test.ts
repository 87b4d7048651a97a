/**
 * The protocol's numbers, typed from its page as it was first given: nothing here is taken from the code
 * under test.
 */
import { assert, assertEquals } from "@std/assert";
import { CODE, codeName } from "../../../src/base/codes.ts";
import {
  FRAME_INFO,
  FRAME_RING,
  INPUT,
  INPUT_HELD,
  LEASE_GRANTED,
  MEMCTX,
  MEMWRITE,
  ROSTER,
  VGPU_STATUS,
} from "../../../src/event/body_layout.ts";
import { LAYOUT_OF_KIND } from "../../../src/event/kind_layout.ts";
import * as numbers from "../../../src/event/body_number.ts";
import { ALL_CAPS, CAP, capByName, capNames, RETIRED_CAPS } from "../../../src/event/capability.ts";
import { defaultPrio, SOURCE_OF_KIND } from "../../../src/event/defaults.ts";
import { FRAME, FRAME_MAGIC } from "../../../src/protocol/frame.ts";
import {
  CLASS,
  KIND,
  type Kind,
  KIND_MAX,
  kindByName,
  kindClass,
  kindName,
  RETIRED_KINDS,
} from "../../../src/event/kind.ts";
import {
  BULK,
  CAPABILITIES,
  DOWN,
  EVERY_CAPABILITY,
  HANDSHAKE,
  HIGH,
  INLINE,
  KINDS,
  KINDS_OF_SOURCE,
  LOCAL,
  URGENT,
} from "../../fixtures/protocol_page.ts";
import { PRIO, PRIO_COUNT } from "../../../src/event/priority.ts";
import { ALL_SOURCES, SOURCE, SOURCE_MAX, sourceByName, sourceName } from "../../../src/event/source.ts";
import { BODY, PAYLOAD } from "../../../src/event/transfer_event.ts";
import * as limits from "../../../src/base/limits.ts";

const RETIRED = [16, 17, 18, 19, 32, 33, 34, 35, 36, 66, 67, 68, 69, 71, 72];

Deno.test("kinds", () => {
  assertEquals({ ...KIND }, KINDS as typeof KIND);
  assertEquals(KIND_MAX, 1 + Math.max(...Object.values(KINDS)));
  for (const [name, number] of Object.entries(KINDS)) {
    assertEquals(kindName(number), name);
    assertEquals(kindByName(name.toLowerCase().replaceAll("_", "-")), number as never);
  }
  assertEquals(kindName(200), "kind-200");
  assertEquals(kindByName("nonsense"), undefined);
});

Deno.test("retired numbers are nobody's kind, and never will be", () => {
  const listed = RETIRED_KINDS.flatMap(([from, to]) =>
    Array.from({ length: to - from + 1 }, (_, i) => from + i)
  );
  assertEquals(listed, RETIRED);
  for (const number of RETIRED) {
    assert(!Object.values(KIND).includes(number as never), `kind ${number} is retired`);
    assertEquals(kindClass(number), CLASS.UNKNOWN);
    assertEquals(LAYOUT_OF_KIND[number], undefined);
  }
  assertEquals(RETIRED_CAPS, [0x4, 0x10]);
  for (const bit of RETIRED_CAPS) {
    assert(!Object.values(CAP).includes(bit as never), `capability ${bit} is retired`);
    assertEquals(ALL_CAPS & bit, 0);
  }
});

Deno.test("which way each kind travels", () => {
  for (let kind = 0; kind < 300; kind++) {
    const isKind = kind !== 0 && Object.values(KINDS).includes(kind);
    const expected = !isKind
      ? CLASS.UNKNOWN
      : DOWN.includes(kind)
      ? CLASS.DOWN
      : HANDSHAKE.includes(kind)
      ? CLASS.HANDSHAKE
      : LOCAL.includes(kind)
      ? CLASS.LOCAL
      : CLASS.UP;
    assertEquals(kindClass(kind), expected, `kind ${kind}`);
  }
  assertEquals(kindClass(0xffff), CLASS.UNKNOWN);
});

Deno.test("capabilities, sources, priorities, formats, payload flags", () => {
  assertEquals({ ...CAP }, { ...CAPABILITIES });
  assertEquals(ALL_CAPS, EVERY_CAPABILITY);
  assertEquals([capByName("memctx"), capByName("stream")], [0x80, undefined]);
  assertEquals(capNames(0x41), ["OBSERVE", "VM"]);
  assertEquals({ ...SOURCE }, {
    NONE: 0,
    FRAME: 1,
    INPUT: 2,
    CONTROL: 3,
    CORE: 4,
    VMHOST: 5,
    MEMCTX: 6,
    CONSOLE: 7,
    AGENT: 8,
  });
  assertEquals([SOURCE_MAX, ALL_SOURCES], [9, 0x1ff]);
  assertEquals([sourceName(5), sourceName(19), sourceByName("vmhost"), sourceByName("x")], [
    "VMHOST",
    "source-19",
    5,
    undefined,
  ]);
  assertEquals({ ...PRIO }, { BULK: 0, NORMAL: 1, HIGH: 2, URGENT: 3 });
  assertEquals(PRIO_COUNT, 4);
  assertEquals({ ...BODY }, { NONE: 0, RAW: 1, CBOR: 2 });
  assertEquals({ ...PAYLOAD }, { NONE: 0, OWNED: 1, BORROWED: 2, INLINE: 4 });
});

Deno.test("codes", () => {
  const names = [
    "ok",
    "no-capability",
    "outside-grant",
    "no-lease",
    "stale-lease",
    "no-endpoint",
    "seam-down",
    "bad-argument",
    "not-mapped",
    "outside-extent",
    "refused",
    "timed-out",
    "dropped",
    "protocol-error",
    "too-large",
    "not-supported",
    "shutting-down",
    "not-admitted",
    "busy",
  ];
  assertEquals(Object.entries(CODE), names.map((name, number) => [name, number] as never));
  names.forEach((name, number) => assertEquals(codeName(number), name));
  assertEquals([codeName(19), codeName(-1)], ["code-19", "code--1"]);
});

Deno.test("the numbers inside bodies", () => {
  const plain = (table: object) => ({ ...table }) as Record<string, number>;
  assertEquals(plain(numbers.LEASE_CLASS), { INPUT: 0, POWER: 1, MEMWRITE: 2, CONSOLE: 3, AGENT: 4 });
  assertEquals(plain(numbers.LEASE_DENY), {
    HELD: 0,
    NOCAP: 1,
    NOGRANT: 2,
    BADCLASS: 3,
    LOWER_PRIO: 4,
    WITHDRAWN: 5,
  });
  assertEquals(plain(numbers.LEASE_REVOKE), {
    PREEMPTED: 0,
    OWNER_GONE: 1,
    ENDPOINT_GONE: 2,
    NOT_KEPT_ALIVE: 3,
  });
  assertEquals(plain(numbers.LIFE), { POWERDOWN: 0, RESET: 1, WAKEUP: 2, PAUSE: 3, RESUME: 4 });
  assertEquals(plain(numbers.VM_OP), { QUERY: 0, CONT: 1, STOP: 2, RESET: 3, POWERDOWN: 4, QUIT: 5 });
  assertEquals(plain(numbers.VM_STATE_NUMBER), {
    RUNNING: 0,
    PAUSED: 1,
    SHUTDOWN: 2,
    RESET: 3,
    POWERDOWN: 4,
    CRASHED: 5,
    UNKNOWN: 6,
    SUSPENDED: 7,
  });
  assertEquals(Object.values(numbers.VM_DETAIL), [0, 1, 2, 3, 4, 5, 6, 7]);
  assertEquals(numbers.VM_DETAIL_NAMES, [
    "none",
    "host-request",
    "guest-request",
    "host-signal",
    "panic",
    "watchdog",
    "io-error",
    "migration",
  ]);
  assertEquals(Object.values(numbers.SEAM_REASON), [0, 1, 2, 3, 4, 5, 6]);
  assertEquals(plain(numbers.SNAPSHOT_OP), { LIST: 0, SAVE: 1, LOAD: 2, DELETE: 3 });
  assertEquals(plain(numbers.SNAPSHOT_STATE), { RUNNING: 0, DONE: 1, FAILED: 2 });
  assertEquals(plain(numbers.MIGRATION_WAY), { NONE: 0, INCOMING: 1, OUTGOING: 2, LEFT: 3 });
  assertEquals(plain(numbers.INPUT_KIND), { ABS: 0, REL: 1, BTN: 2, KEY: 3, SCROLL: 4 });
  assertEquals([numbers.INPUT_HELD_TRUNC, numbers.INPUT_HELD_ENTRIES], [1, 10]);
  assertEquals(plain(numbers.MEMWRITE_FLAG), { INLINE: 1, PAYLOAD: 2, CR3: 4, SEQLOCK: 8 });
  assertEquals(Object.values(numbers.INVALIDATED), [0, 1, 2, 3, 4]);
  assertEquals(plain(numbers.ROSTER_STATE), { GONE: 0, ATTACHING: 1, UP: 2, DOWN: 3 });
  assertEquals(plain(numbers.VGPU_STATE), { LOST: 0, CANDIDATE: 1, ALIVE: 2 });
  assertEquals(plain(numbers.FRAME_SOURCE), { VGPU: 1, SCREENDUMP: 2, VRAM: 3, DBUS: 4, VNC: 5 });
  assertEquals(plain(numbers.FRAME_OP), { ONCE: 0, WATCH: 1, UNWATCH: 2, TEXT: 3, STATUS: 4 });
  assertEquals(plain(numbers.CONSOLE_OP), { LIST: 0, READ: 1, OPEN: 2, CLOSE: 3 });
  assertEquals([numbers.CONSOLE_FROM_NOW, numbers.CONSOLE_LOSSLESS, numbers.CONSOLE_CLOSED], [1, 2, 1]);
  assertEquals(plain(numbers.DISPLAY_OP), { SERVED: 0, HEADS: 1, DUMP: 2, OPEN: 3, VGA: 4, SOURCE: 5 });
  assertEquals(
    [numbers.FRAME_STOPPED, numbers.DEMAND_STOPPED, numbers.DEMAND_PICTURE, numbers.DEMAND_TEXT],
    [1, 1, 2, 4],
  );
});

Deno.test("sizes", () => {
  assertEquals([limits.MAX_ENDPOINTS, limits.INLINE_BYTES, limits.FRAME_HEADER_BYTES], [64, 48, 96]);
  assertEquals([limits.MAX_BODY_BYTES, limits.MAX_FRAME_FDS, limits.HELLO_TIMEOUT_MS], [65_536, 8, 5000]);
  assertEquals([limits.MAX_INPUT_RECORDS, limits.INPUT_RECORD_BYTES, limits.MAX_MEMWRITE_BYTES], [
    256,
    24,
    4096,
  ]);
  assertEquals([limits.DEFAULT_QUEUE_EVENTS, limits.DEFAULT_MAX_CONTROLS], [1024, 1024]);
});

Deno.test("the wire header", () => {
  assertEquals(new TextDecoder().decode(new Uint8Array(new Uint32Array([FRAME_MAGIC]).buffer)), "VSG1");
  assertEquals({ ...FRAME }, {
    magic: 0,
    kind: 4,
    source: 6,
    dir: 7,
    prio: 8,
    bodyFormat: 9,
    fds: 10,
    endpoint: 12,
    seq: 16,
    corr: 20,
    bodyBytes: 24,
    reserved: 28,
    tsNs: 32,
    token: 40,
    inline: 48,
    body: 96,
  });
});

Deno.test("inline layouts", () => {
  for (let kind = 0; kind < KIND_MAX; kind++) {
    const fields = LAYOUT_OF_KIND[kind]?.fields;
    const text = fields === undefined
      ? undefined
      : Object.entries(fields).map(([name, [offset, type, count]]) =>
        `${name}@${offset}:${type}${count === undefined ? "" : `*${count}`}`
      ).join(" ");
    assertEquals(text, INLINE[kind], kindName(kind));
  }
  for (
    const table of [
      FRAME_INFO,
      FRAME_RING,
      INPUT,
      INPUT_HELD,
      LEASE_GRANTED,
      MEMCTX,
      MEMWRITE,
      ROSTER,
      VGPU_STATUS,
    ]
  ) {
    assertEquals(table.sizeBytes, 48);
  }
});

Deno.test("default priorities", () => {
  for (const [name, kind] of Object.entries(KINDS)) {
    // The page says of AUDIT that it is BULK where it introduces it.
    const expected = URGENT.includes(kind) || kind === 49
      ? 3
      : HIGH.includes(kind)
      ? 2
      : BULK.includes(kind) || kind === 84
      ? 0
      : 1;
    assertEquals(defaultPrio(kind as Kind, false), expected, name);
    assertEquals(defaultPrio(kind as Kind, true), kind === 49 ? 2 : expected, `${name}, addressed`);
  }
});

Deno.test("each command belongs to the seam that carries it out", () => {
  for (const [source, kinds] of Object.entries(KINDS_OF_SOURCE)) {
    for (const kind of kinds) assertEquals(SOURCE_OF_KIND[kind], Number(source), `kind ${kind}`);
  }
  for (const kind of [1, 2, 3, 48]) assertEquals(SOURCE_OF_KIND[kind], 0);
});
