/**
 * The catalogue: all that is known of an event kind, in one row. Who may receive or send it, how it is
 * ordered, what it carries, whether it is kept: every table of the house is made from these rows, at start
 * (kind.ts, defaults.ts, kind_layout.ts, capability.ts, access/requirement.ts, core/retained.ts,
 * core/publish_rule.ts, client/typed_body.ts). The rows stand in files by the way that they travel; a new
 * kind, or a family of them, may have a file of its own, with its layout and its capability. A row that lacks
 * a cell does not compile; a number that is taken, retired or out of its range fails at start, and in the
 * gate.
 *
 * Numbers never change and are never used again. New kinds begin at 112, capabilities at 0x2000.
 * @module
 */
import { assert } from "../base/assert.ts";
import { catalogueFaults } from "./catalogue_check.ts";
import type { KindRow } from "./kind_row.ts";
import { BASE_CAPS } from "./kinds/base_caps.ts";
import { DOWN_KINDS } from "./kinds/down_kinds.ts";
import { OTHER_KINDS } from "./kinds/other_kinds.ts";
import { UP_KINDS } from "./kinds/up_kinds.ts";

/** Every kind by its name. */
<<<<<<< HEAD
export const CATALOGUE = {
  SEAM_UP: {
    number: 1,
    way: "up",
    source: SOURCE.NONE,
    prio: same(PRIO.NORMAL),
    inline: inline.SEAM,
    needs: anyOf(CAP.OBSERVE),
    ...PLAIN,
  },
  SEAM_DOWN: {
    number: 2,
    way: "up",
    source: SOURCE.NONE,
    prio: same(PRIO.URGENT),
    inline: inline.SEAM,
    needs: anyOf(CAP.OBSERVE),
    ...PLAIN,
  },
  ERROR: {
    number: 3,
    way: "up",
    source: SOURCE.NONE,
    prio: same(PRIO.URGENT),
    inline: inline.ERROR,
    needs: anyOf(CAP.OBSERVE),
    ...PLAIN,
  },
  CURSOR_STATE: {
    number: 37,
    way: "up",
    source: SOURCE.FRAME,
    prio: same(PRIO.BULK),
    inline: inline.CURSOR,
    needs: anyOf(CAP.OBSERVE | CAP.INPUT),
    ...PLAIN,
    publishable: true,
  },
  ACT_ACK: {
    number: 48,
    way: "up",
    source: SOURCE.NONE,
    prio: same(PRIO.NORMAL),
    inline: inline.ACT_ACK,
    needs: ADDRESSED,
    ...PLAIN,
  },
  VM_LIFECYCLE: {
    // Addressed it is the answer to a query, and no alarm.
    number: 49,
    way: "up",
    source: SOURCE.VMHOST,
    prio: { broadcast: PRIO.URGENT, addressed: PRIO.HIGH },
    inline: inline.VM_STATE,
    needs: anyOf(CAP.OBSERVE),
    ...PLAIN,
  },
  LEASE_GRANTED: {
    number: 50,
    way: "up",
    source: SOURCE.CORE,
    prio: same(PRIO.HIGH),
    inline: inline.LEASE_GRANTED,
    needs: ADDRESSED,
    ...PLAIN,
  },
  LEASE_DENIED: {
    number: 51,
    way: "up",
    source: SOURCE.CORE,
    prio: same(PRIO.HIGH),
    inline: inline.LEASE,
    needs: ADDRESSED,
    ...PLAIN,
  },
  LEASE_RELEASED: {
    number: 52,
    way: "up",
    source: SOURCE.CORE,
    prio: same(PRIO.HIGH),
    inline: inline.LEASE,
    needs: ADDRESSED,
    ...PLAIN,
  },
  LEASE_REVOKED: {
    number: 53,
    way: "up",
    source: SOURCE.CORE,
    prio: same(PRIO.URGENT),
    inline: inline.LEASE,
    needs: ADDRESSED,
    ...PLAIN,
  },
  LEASE_STATUS: {
    number: 54,
    way: "up",
    source: SOURCE.CORE,
    prio: same(PRIO.HIGH),
    inline: inline.LEASE_STATUS,
    needs: ADDRESSED,
    ...PLAIN,
  },
  INPUT_HELD: {
    number: 55,
    way: "up",
    source: SOURCE.INPUT,
    prio: same(PRIO.NORMAL),
    inline: inline.INPUT_HELD,
    needs: ADDRESSED,
    ...PLAIN,
  },
  CMD_INPUT: {
    number: 64,
    way: "down",
    source: SOURCE.INPUT,
    prio: same(PRIO.HIGH),
    inline: inline.INPUT,
    // A single input that was delivered is no news: the lease under which it came is audited.
    needs: anyOf(CAP.INPUT, LEASE_CLASS.INPUT),
    ...PLAIN,
    body: "raw-or-none",
    bodyBytes: (MAX_INPUT_RECORDS - 1) * INPUT_RECORD_BYTES,
  },
  CMD_LIFECYCLE: {
    // The input role's by its history; what carries it out is the VM's host plane.
    number: 65,
    way: "down",
    source: SOURCE.VMHOST,
    prio: same(PRIO.NORMAL),
    inline: inline.OPERATION,
    needs: {
      by: "operation",
      of: new Map([
        [LIFE.POWERDOWN, POWER],
        [LIFE.RESET, POWER],
        [LIFE.WAKEUP, LIFECYCLE],
        [LIFE.PAUSE, LIFECYCLE],
        [LIFE.RESUME, LIFECYCLE],
      ]),
    },
    ...PLAIN,
    audited: true,
  },
  CMD_VM: {
    number: 70,
    way: "down",
    source: SOURCE.VMHOST,
    prio: same(PRIO.NORMAL),
    inline: inline.OPERATION,
    needs: {
      by: "operation",
      of: new Map([
        [VM_OP.QUERY, VM],
        [VM_OP.CONT, VM],
        [VM_OP.STOP, VM],
        [VM_OP.RESET, POWER],
        [VM_OP.POWERDOWN, POWER],
        [VM_OP.QUIT, POWER],
      ]),
    },
    ...PLAIN,
    audited: true,
  },
  CMD_ACQUIRE: {
    number: 73,
    way: "down",
    source: SOURCE.CORE,
    prio: same(PRIO.NORMAL),
    inline: inline.ACQUIRE,
    needs: { by: "lease-class", also: 0 },
    ...PLAIN,
    audited: true,
  },
  CMD_RELEASE: {
    number: 74,
    way: "down",
    source: SOURCE.CORE,
    prio: same(PRIO.NORMAL),
    inline: inline.LEASE,
    needs: { by: "lease-class", also: 0 },
    ...PLAIN,
    audited: true,
  },
  // A lease's status is also for whoever may observe.
  CMD_LEASE_STATUS: {
    number: 75,
    way: "down",
    source: SOURCE.CORE,
    prio: same(PRIO.NORMAL),
    inline: inline.LEASE,
    needs: { by: "lease-class", also: CAP.OBSERVE },
    ...PLAIN,
  },
  CMD_QUERY_INPUT: {
    number: 76,
    way: "down",
    source: SOURCE.INPUT,
    prio: same(PRIO.NORMAL),
    inline: null,
    needs: anyOf(CAP.INPUT),
    ...PLAIN,
  },
  MEMCTX: {
    number: 77,
    way: "up",
    source: SOURCE.MEMCTX,
    prio: same(PRIO.NORMAL),
    inline: inline.MEMCTX,
    needs: anyOf(CAP.MEMCTX),
    ...PLAIN,
    body: "raw",
    bodyBytes: MAX_BODY_BYTES,
    retained: 2,
    fds: 8,
  },
  MEMCTX_INVALIDATED: {
    number: 78,
    way: "up",
    source: SOURCE.MEMCTX,
    prio: same(PRIO.URGENT),
    inline: inline.MEMCTX_INVALIDATED,
    needs: anyOf(CAP.MEMCTX),
    ...PLAIN,
  },
  CMD_MEMWRITE: {
    number: 79,
    way: "down",
    source: SOURCE.MEMCTX,
    prio: same(PRIO.NORMAL),
    inline: inline.MEMWRITE,
    needs: anyOf(CAP.MEMWRITE, LEASE_CLASS.MEMWRITE),
    ...PLAIN,
    body: "raw-or-none",
    bodyBytes: MAX_MEMWRITE_BYTES,
    audited: true,
  },
  ROSTER: {
    number: 80,
    way: "up",
    source: SOURCE.CORE,
    prio: same(PRIO.NORMAL),
    inline: inline.ROSTER,
    needs: anyOf(CAP.ROSTER),
    ...PLAIN,
    retained: 1,
  },
  FRAME_INFO: {
    number: 81,
    way: "up",
    source: SOURCE.FRAME,
    prio: same(PRIO.BULK),
    inline: inline.FRAME_INFO,
    needs: anyOf(CAP.OBSERVE),
    ...PLAIN,
    publishable: true,
    newestOnly: true,
  },
  VGPU_STATUS: {
    // Retained, because there is no question that a late control could ask instead.
    number: 82,
    way: "up",
    source: SOURCE.FRAME,
    prio: same(PRIO.NORMAL),
    inline: inline.VGPU_STATUS,
    needs: anyOf(CAP.OBSERVE),
    ...PLAIN,
    retained: 4,
    publishable: true,
  },
  FRAME_RING: {
    number: 83,
    way: "up",
    source: SOURCE.FRAME,
    prio: same(PRIO.NORMAL),
    inline: inline.FRAME_RING,
    needs: anyOf(CAP.FRAME),
    ...PLAIN,
    retained: 3,
    retainedBy: "head",
    publishable: true,
    fds: 1,
  },
  AUDIT: {
    number: 84,
    way: "up",
    source: SOURCE.CORE,
    prio: same(PRIO.BULK),
    inline: null,
    needs: anyOf(CAP.AUDIT),
    ...PLAIN,
    body: "cbor",
    bodyBytes: MAX_BODY_BYTES,
  },
  HELLO: {
    number: 96,
    way: "handshake",
    source: SOURCE.NONE,
    prio: same(PRIO.NORMAL),
    inline: null,
    needs: NOBODY,
    ...PLAIN,
    body: "cbor",
    bodyBytes: MAX_BODY_BYTES,
  },
  WELCOME: {
    number: 97,
    way: "handshake",
    source: SOURCE.NONE,
    prio: same(PRIO.NORMAL),
    inline: null,
    needs: NOBODY,
    ...PLAIN,
    body: "cbor",
    bodyBytes: MAX_BODY_BYTES,
  },
  REFUSED: {
    number: 98,
    way: "handshake",
    source: SOURCE.NONE,
    prio: same(PRIO.NORMAL),
    inline: null,
    needs: NOBODY,
    ...PLAIN,
    body: "cbor",
    bodyBytes: MAX_BODY_BYTES,
  },
  OVERRUN: {
    number: 99,
    way: "up",
    source: SOURCE.CORE,
    prio: same(PRIO.URGENT),
    inline: inline.OVERRUN,
    needs: ADDRESSED,
    ...PLAIN,
  },
  CMD_BARRIER: {
    // Of no endpoint: it asks about all that the core has for its control.
    number: 112,
    way: "down",
    source: SOURCE.CORE,
    prio: same(PRIO.NORMAL),
    inline: null,
    needs: JOINED,
    ...PLAIN,
  },
  RECONNECTED: {
    // Of a client library to its own program: a daemon is there again, and what came meanwhile was missed.
    number: 113,
    way: "local",
    source: SOURCE.CORE,
    prio: same(PRIO.URGENT),
    inline: inline.RECONNECTED,
    needs: NOBODY,
    ...PLAIN,
  },
  CMD_FRAME: {
    // ONCE and TEXT are answered when they are served; the picture goes to everybody who watches frames.
    number: 114,
    way: "down",
    source: SOURCE.FRAME,
    prio: same(PRIO.NORMAL),
    inline: inline.FRAME_REQUEST,
    needs: anyOf(CAP.FRAME),
    ...PLAIN,
  },
  FRAME_DEMAND: {
    // For whoever makes the pictures: kept, because it says what is wanted now.
    number: 115,
    way: "up",
    source: SOURCE.FRAME,
    prio: same(PRIO.NORMAL),
    inline: inline.FRAME_DEMAND,
    needs: anyOf(CAP.PUBLISH),
    ...PLAIN,
    retained: 5,
    retainedBy: "head",
  },
  CMD_DISPLAY: {
    number: 116,
    way: "down",
    source: SOURCE.FRAME,
    prio: same(PRIO.NORMAL),
    inline: inline.DISPLAY_REQUEST,
    needs: anyOf(CAP.PUBLISH),
    ...PLAIN,
    body: "raw-or-none",
    bodyBytes: MAX_DISPLAY_WORDS,
    fds: 1,
  },
  DISPLAY: {
    number: 117,
    way: "up",
    source: SOURCE.FRAME,
    prio: same(PRIO.NORMAL),
    inline: null,
    needs: ADDRESSED,
    ...PLAIN,
    body: "cbor",
    bodyBytes: MAX_BODY_BYTES,
    fds: 1,
  },
  SCREEN_TEXT: {
    // Not BULK: who asked for it gets it before the answer to the question.
    number: 118,
    way: "up",
    source: SOURCE.FRAME,
    prio: same(PRIO.NORMAL),
    inline: inline.SCREEN_TEXT,
    needs: anyOf(CAP.FRAME),
    ...PLAIN,
    body: "cbor",
    bodyBytes: MAX_BODY_BYTES,
    publishable: true,
  },
} as const satisfies Readonly<Record<string, KindRow>>;
=======
export const CATALOGUE: typeof UP_KINDS & typeof DOWN_KINDS & typeof OTHER_KINDS = {
  ...UP_KINDS,
  ...DOWN_KINDS,
  ...OTHER_KINDS,
};
const FILES: readonly Readonly<Record<string, KindRow>>[] = [UP_KINDS, DOWN_KINDS, OTHER_KINDS];

/** Every capability by its name, as bits travel. */
export const CAPABILITIES: typeof BASE_CAPS = { ...BASE_CAPS };
>>>>>>> h/house

/** A kind's name. */
export type KindName = keyof typeof CATALOGUE;
/** The row of a kind by its name. */
export type RowOf<N extends KindName> = (typeof CATALOGUE)[N];

/** Every row with its name, by number. */
export const ROWS: readonly (readonly [name: KindName, row: KindRow])[] = FILES
  .flatMap((file) => Object.entries(file) as [KindName, KindRow][])
  .sort(([, a], [, b]) => a.number - b.number);

/** One past the largest kind. */
export const KIND_MAX: number = 1 + Math.max(...ROWS.map(([, { number }]) => number));

{
  const faults = catalogueFaults(ROWS, CAPABILITIES);
  assert(faults.length === 0, `the catalogue of kinds is in order: ${faults.join("; ")}`);
}
