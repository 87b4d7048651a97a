/**
 * Kinds of what takes a VM's whole state along: its snapshots, and its migration to another host.
 * @module
 */
import { MAX_BODY_BYTES } from "../../base/limits.ts";
import * as inline from "../body_layout.ts";
import { LEASE_CLASS, SNAPSHOT_OP } from "../body_number.ts";
import { ADDRESSED, anyOf, type KindRow, type Need, PLAIN, same } from "../kind_row.ts";
import { PRIO } from "../priority.ts";
import { SOURCE } from "../source.ts";
import { BASE_CAPS as CAP } from "./base_caps.ts";

const POWER: Need = { caps: CAP.POWER, lease: LEASE_CLASS.POWER };

/** Bytes of a snapshot's name: QEMU's own bound is 255. */
export const MAX_SNAPSHOT_NAME = 128;

/** Rows of the catalogue. */
export const VM_KINDS = {
  SNAPSHOT: {
    // A snapshot is being saved, loaded or deleted, or that has ended.
    number: 140,
    way: "up",
    source: SOURCE.VMHOST,
    prio: same(PRIO.NORMAL),
    inline: inline.SNAPSHOT,
    needs: anyOf(CAP.OBSERVE),
    ...PLAIN,
    body: "cbor",
    bodyBytes: MAX_BODY_BYTES,
  },
  SNAPSHOT_LIST: {
    number: 141,
    way: "up",
    source: SOURCE.VMHOST,
    prio: same(PRIO.NORMAL),
    inline: null,
    needs: ADDRESSED,
    ...PLAIN,
    body: "cbor",
    bodyBytes: MAX_BODY_BYTES,
  },
  CMD_SNAPSHOT: {
    number: 142,
    way: "down",
    source: SOURCE.VMHOST,
    prio: same(PRIO.NORMAL),
    inline: inline.OPERATION,
    needs: {
      by: "operation",
      of: new Map([
        [SNAPSHOT_OP.LIST, { caps: CAP.VM, lease: null }],
        [SNAPSHOT_OP.SAVE, POWER],
        [SNAPSHOT_OP.LOAD, POWER],
        [SNAPSHOT_OP.DELETE, POWER],
      ]),
    },
    ...PLAIN,
    // The snapshot's name.
    body: "raw-or-none",
    bodyBytes: MAX_SNAPSHOT_NAME,
    audited: true,
  },
  MIGRATION: {
    number: 143,
    way: "up",
    source: SOURCE.VMHOST,
    prio: same(PRIO.NORMAL),
    inline: inline.MIGRATION,
    needs: anyOf(CAP.OBSERVE),
    ...PLAIN,
    body: "cbor",
    bodyBytes: MAX_BODY_BYTES,
    newestOnly: true,
  },
} as const satisfies Readonly<Record<string, KindRow>>;
