/**
 * Kinds of leases as people share them: taken with a word of why, waited for until they are given back, and
 * told to everybody who watches.
 * @module
 */
import { MAX_BODY_BYTES } from "../../base/limits.ts";
import * as inline from "../body_layout.ts";
import { anyOf, type KindRow, PLAIN, same } from "../kind_row.ts";
import { PRIO } from "../priority.ts";
import { SOURCE } from "../source.ts";
import { BASE_CAPS as CAP } from "./base_caps.ts";

/** Bytes of the message of a CMD_LEASE_CLAIM at most, UTF-8. */
export const MAX_LEASE_MESSAGE = 200;

/** Flags of a CMD_LEASE_CLAIM. */
export const CLAIM_FLAG = { WAIT: 1 } as const;

/** Rows of the catalogue. */
export const LEASE_KINDS = {
  CMD_LEASE_CLAIM: {
    // A CMD_ACQUIRE with a message, and which may wait until the lease is given back.
    number: 144,
    way: "down",
    source: SOURCE.CORE,
    prio: same(PRIO.NORMAL),
    inline: inline.LEASE_CLAIM,
    needs: { by: "lease-class", also: 0 },
    ...PLAIN,
    body: "raw-or-none",
    bodyBytes: MAX_LEASE_MESSAGE,
    audited: true,
  },
  CMD_LEASE_WHO: {
    number: 145,
    way: "down",
    source: SOURCE.CORE,
    prio: same(PRIO.NORMAL),
    inline: inline.LEASE,
    needs: { by: "lease-class", also: CAP.OBSERVE },
    ...PLAIN,
  },
  LEASE_WHO: {
    // The answer; and to everybody who observes, when it has changed.
    number: 146,
    way: "up",
    source: SOURCE.CORE,
    prio: same(PRIO.NORMAL),
    inline: inline.LEASE,
    needs: anyOf(CAP.OBSERVE),
    ...PLAIN,
    body: "cbor",
    bodyBytes: MAX_BODY_BYTES,
  },
} as const satisfies Readonly<Record<string, KindRow>>;
