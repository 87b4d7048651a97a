/**
 * Commands: kinds that travel down, from a control to an adapter or the core. See catalogue.ts for what a row
 * is.
 * @module
 */
import {
  INPUT_RECORD_BYTES,
  MAX_DISPLAY_WORDS,
  MAX_INPUT_RECORDS,
  MAX_MEMWRITE_BYTES,
} from "../../base/limits.ts";
import * as inline from "../body_layout.ts";
import { LEASE_CLASS, LIFE, VM_OP } from "../body_number.ts";
import { BASE_CAPS as CAP } from "./base_caps.ts";
import { anyOf, JOINED, type KindRow, type Need, PLAIN, same } from "../kind_row.ts";
import { PRIO } from "../priority.ts";
import { SOURCE } from "../source.ts";

const POWER: Need = { caps: CAP.POWER, lease: LEASE_CLASS.POWER };
const LIFECYCLE: Need = { caps: CAP.LIFECYCLE, lease: null };
const VM: Need = { caps: CAP.VM, lease: null };

/** Rows of the catalogue. */
export const DOWN_KINDS = {
  CMD_INPUT: {
    number: 64,
    way: "down",
    source: SOURCE.INPUT,
    prio: same(PRIO.HIGH),
    inline: inline.INPUT,
    // A single input that was delivered is not news: the lease under which it came is audited.
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
} as const satisfies Readonly<Record<string, KindRow>>;
