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
import { PRIO, PRIO_COUNT } from "../../../src/event/priority.ts";
import { ALL_SOURCES, SOURCE, SOURCE_MAX, sourceByName, sourceName } from "../../../src/event/source.ts";
import { BODY, PAYLOAD } from "../../../src/event/transfer_event.ts";
import * as limits from "../../../src/base/limits.ts";

const KINDS = {
  NONE: 0,
  SEAM_UP: 1,
  SEAM_DOWN: 2,
  ERROR: 3,
  CURSOR_STATE: 37,
  ACT_ACK: 48,
  VM_LIFECYCLE: 49,
  LEASE_GRANTED: 50,
  LEASE_DENIED: 51,
  LEASE_RELEASED: 52,
  LEASE_REVOKED: 53,
  LEASE_STATUS: 54,
  INPUT_HELD: 55,
  CMD_INPUT: 64,
  CMD_LIFECYCLE: 65,
  CMD_VM: 70,
  CMD_ACQUIRE: 73,
  CMD_RELEASE: 74,
  CMD_LEASE_STATUS: 75,
  CMD_QUERY_INPUT: 76,
  MEMCTX: 77,
  MEMCTX_INVALIDATED: 78,
  CMD_MEMWRITE: 79,
  ROSTER: 80,
  FRAME_INFO: 81,
  VGPU_STATUS: 82,
  FRAME_RING: 83,
  AUDIT: 84,
  HELLO: 96,
  WELCOME: 97,
  REFUSED: 98,
  OVERRUN: 99,
  CMD_BARRIER: 112,
  RECONNECTED: 113,
  CMD_FRAME: 114,
  FRAME_DEMAND: 115,
  CMD_DISPLAY: 116,
  DISPLAY: 117,
  SCREEN_TEXT: 118,
  CONSOLE_OUT: 124,
  CONSOLE_LIST: 125,
  CMD_CONSOLE: 126,
  CMD_CONSOLE_WRITE: 127,
  AGENT_REPLY: 128,
  CMD_AGENT: 129,
  VCPU_STATE: 130,
  CMD_VCPU: 131,
  SNAPSHOT: 140,
  SNAPSHOT_LIST: 141,
  CMD_SNAPSHOT: 142,
  MIGRATION: 143,
};
const RETIRED = [16, 17, 18, 19, 32, 33, 34, 35, 36, 66, 67, 68, 69, 71, 72];

Deno.test("kinds", () => {
  assertEquals({ ...KIND }, KINDS as typeof KIND);
  assertEquals(KIND_MAX, 144);
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
  const down = [64, 65, 70, 73, 74, 75, 76, 79, 112, 114, 116, 126, 127, 129, 131, 142];
  const handshake = [96, 97, 98];
  for (let kind = 0; kind < 300; kind++) {
    const isKind = kind !== 0 && Object.values(KINDS).includes(kind);
    const expected = !isKind
      ? CLASS.UNKNOWN
      : down.includes(kind)
      ? CLASS.DOWN
      : handshake.includes(kind)
      ? CLASS.HANDSHAKE
      : kind === 113
      ? CLASS.LOCAL
      : CLASS.UP;
    assertEquals(kindClass(kind), expected, `kind ${kind}`);
  }
  assertEquals(kindClass(0xffff), CLASS.UNKNOWN);
});

Deno.test("capabilities, sources, priorities, formats, payload flags", () => {
  assertEquals({ ...CAP }, {
    OBSERVE: 0x1,
    INPUT: 0x2,
    LIFECYCLE: 0x8,
    POWER: 0x20,
    VM: 0x40,
    MEMCTX: 0x80,
    MEMWRITE: 0x100,
    ROSTER: 0x200,
    AUDIT: 0x400,
    PUBLISH: 0x800,
    FRAME: 0x1000,
    CONSOLE: 0x2000,
    CONSOLE_WRITE: 0x4000,
    AGENT: 0x8000,
    AGENT_RUN: 0x1_0000,
  });
  assertEquals(ALL_CAPS, 0x1_ffeb);
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
  assertEquals(plain(numbers.LEASE_DENY), { HELD: 0, NOCAP: 1, NOGRANT: 2, BADCLASS: 3, LOWER_PRIO: 4 });
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

const LEASE_REQ = "cls@0:u32 reason@4:u32";

/** Each kind's inline zone as "name@offset:type", in the page's order. */
const INLINE: Record<number, string> = {
  1: "reason@0:u32 pid@4:u32",
  2: "reason@0:u32 pid@4:u32",
  3: "code@0:u32 detail@4:u32 text@8:bytes*40",
  37:
    "x@0:i32 y@4:i32 visible@8:u32 seq@12:u32 head@16:u32 width@20:u16 height@22:u16 hotX@24:u16 hotY@26:u16",
  48: "ok@0:u32 code@4:u32 cmdKind@8:u32 detail@12:u32 doneNs@16:u64",
  49: "state@0:u32 detail@4:u32 migration@8:u32",
  50: `${LEASE_REQ} token@8:u64 ttlMs@16:u32`,
  51: LEASE_REQ,
  52: LEASE_REQ,
  53: LEASE_REQ,
  54: "cls@0:u32 busy@4:u32 ownerPrincipal@8:u32",
  55: "count@0:u32 flags@4:u32 entries@8:bytes*40",
  64: "kind@0:u32 code@4:i32 value@8:i32 scroll@16:f64",
  65: "op@0:u32",
  70: "op@0:u32",
  73: `${LEASE_REQ} ttlMs@8:u32`,
  74: LEASE_REQ,
  75: LEASE_REQ,
  77:
    "kcr3@0:u64 ramBytes@8:u64 low@16:u64 epoch@24:u32 nseg@28:u32 guestOs@32:u32 levels@36:u32 flags@40:u32 nfd@44:u32",
  78: "epoch@0:u32 reason@4:u32",
  79: "gva@0:u64 len@8:u32 flags@12:u32 tail@16:bytes*32",
  80: "state@0:u32 seams@4:u32 pid@8:u32 vmid@12:u32 name@16:bytes*32",
  81:
    "frameId@0:u64 timestampNs@8:u64 width@16:u32 height@20:u32 stride@24:u32 format@28:u16 flags@30:u16 source@32:u16 head@34:u16 runEpoch@36:u32 damageX@40:u16 damageY@42:u16 damageW@44:u16 damageH@46:u16",
  82:
    "state@0:u32 runEpoch@4:u32 status@8:u32 backend@12:u32 errorCode@16:u32 appliedFps@20:u32 producerPid@24:u32",
  83: "bytes@0:u64 slotCount@8:u32 slotStride@12:u32 runEpoch@16:u32 head@20:u32 device@24:bytes*24",
  99: "lost@0:u32 highestPrioLost@4:u32",
  114: "op@0:u32 head@4:u32 perSecond@8:u32",
  115: "head@0:u32 perSecond@4:u32 onceSerial@8:u32 textSerial@12:u32 watchers@16:u32 flags@20:u32",
  118: "head@0:u32",
  116: "op@0:u32 head@4:u32 serial@8:u32 code@12:u32 frameId@16:u32 source@20:u32",
  124: "port@0:u32 flags@4:u32 offset@8:u64 end@16:u64",
  128: "op@0:u32",
  129: "op@0:u32 mode@4:u32 handle@8:u64 count@16:u32 outOffset@20:u32 errOffset@24:u32 limitMs@28:u32",
  126: "op@0:u32 port@4:u32 offset@8:u64 maxBytes@16:u32 waitMs@20:u32 flags@24:u32",
  127: "port@0:u32",
  130: "cpu@0:u32 count@4:u32",
  131: "op@0:u32 cpu@4:u32",
  140: "op@0:u32 state@4:u32 done@8:u64 total@16:u64",
  142: "op@0:u32",
  143: "way@0:u32 transferredBytes@8:u64 totalBytes@16:u64 remainingBytes@24:u64",
  113: "awayNs@0:u64 lastSeq@8:u32 attempts@12:u32 control@16:u32",
};

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
  const urgent = [2, 3, 78, 53, 99, 113];
  const high = [64, 50, 51, 52, 54, 127];
  const bulk = [81, 37];
  for (const [name, kind] of Object.entries(KINDS)) {
    // The page says of AUDIT that it is BULK where it introduces it.
    const expected = urgent.includes(kind) || kind === 49
      ? 3
      : high.includes(kind)
      ? 2
      : bulk.includes(kind) || kind === 84
      ? 0
      : 1;
    assertEquals(defaultPrio(kind as Kind, false), expected, name);
    assertEquals(defaultPrio(kind as Kind, true), kind === 49 ? 2 : expected, `${name}, addressed`);
  }
});

Deno.test("each command belongs to the seam that carries it out", () => {
  const sources: Record<number, number> = {
    64: 2,
    76: 2,
    65: 5,
    70: 5,
    73: 4,
    74: 4,
    75: 4,
    79: 6,
    112: 4,
    114: 1,
    116: 1,
    126: 7,
    127: 7,
    129: 8,
    131: 5,
  };
  for (const [kind, source] of Object.entries(sources)) assertEquals(SOURCE_OF_KIND[Number(kind)], source);
  for (const kind of [37, 81, 82, 83, 115, 117, 118]) assertEquals(SOURCE_OF_KIND[kind], 1);
  for (const kind of [124, 125]) assertEquals(SOURCE_OF_KIND[kind], 7);
  assertEquals(SOURCE_OF_KIND[128], 8);
  for (const kind of [50, 51, 52, 53, 54, 80, 84, 99, 113]) assertEquals(SOURCE_OF_KIND[kind], 4);
  for (const kind of [1, 2, 3, 48]) assertEquals(SOURCE_OF_KIND[kind], 0);
});
