/**
 * Kinds that are not on the bus: those of a socket's handshake, and what a client library tells its own
 * program. See catalogue.ts for what a row is.
 * @module
 */
import { MAX_BODY_BYTES } from "../../base/limits.ts";
import * as inline from "../body_layout.ts";
import { type KindRow, NOBODY, PLAIN, same } from "../kind_row.ts";
import { PRIO } from "../priority.ts";
import { SOURCE } from "../source.ts";

/** Rows of the catalogue. */
export const OTHER_KINDS = {
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
  RECONNECTED: {
    // Of a client library to its own program: a daemon is there again, and the events in between were missed.
    number: 113,
    way: "local",
    source: SOURCE.CORE,
    prio: same(PRIO.URGENT),
    inline: inline.RECONNECTED,
    needs: NOBODY,
    ...PLAIN,
  },
} as const satisfies Readonly<Record<string, KindRow>>;
