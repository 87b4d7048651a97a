/**
 * Kinds of a VM's consoles: serial ports and virtio consoles, as bytes. Reading is asked for, a piece at a
 * time: who reads slowly holds up nobody, and who reads again from where it was loses nothing that is still
 * kept.
 * @module
 */
import { MAX_BODY_BYTES } from "../../base/limits.ts";
import * as inline from "../body_layout.ts";
import { LEASE_CLASS } from "../body_number.ts";
import { ADDRESSED, anyOf, type KindRow, PLAIN, same } from "../kind_row.ts";
import { PRIO } from "../priority.ts";
import { SOURCE } from "../source.ts";
import { CONSOLE_CAPS as CAP } from "./console_caps.ts";

/** Bytes of one CMD_CONSOLE_WRITE. */
export const MAX_CONSOLE_WRITE = 16_384;

/** Rows of the catalogue. */
export const CONSOLE_KINDS = {
  CONSOLE_OUT: {
    // The answer to a read: bytes from `offset`, none when nothing came in time.
    number: 124,
    way: "up",
    source: SOURCE.CONSOLE,
    prio: same(PRIO.NORMAL),
    inline: inline.CONSOLE_OUT,
    needs: ADDRESSED,
    ...PLAIN,
    body: "raw-or-none",
    bodyBytes: MAX_BODY_BYTES,
  },
  CONSOLE_LIST: {
    number: 125,
    way: "up",
    source: SOURCE.CONSOLE,
    prio: same(PRIO.NORMAL),
    inline: null,
    needs: ADDRESSED,
    ...PLAIN,
    body: "cbor",
    bodyBytes: MAX_BODY_BYTES,
  },
  CMD_CONSOLE: {
    number: 126,
    way: "down",
    source: SOURCE.CONSOLE,
    prio: same(PRIO.NORMAL),
    inline: inline.CONSOLE_REQUEST,
    needs: anyOf(CAP.CONSOLE),
    ...PLAIN,
  },
  CMD_CONSOLE_WRITE: {
    // What is typed is not news: the lease under which it came is audited.
    number: 127,
    way: "down",
    source: SOURCE.CONSOLE,
    prio: same(PRIO.HIGH),
    inline: inline.CONSOLE_WRITE,
    needs: anyOf(CAP.CONSOLE_WRITE, LEASE_CLASS.CONSOLE),
    ...PLAIN,
    body: "raw",
    bodyBytes: MAX_CONSOLE_WRITE,
  },
} as const satisfies Readonly<Record<string, KindRow>>;
