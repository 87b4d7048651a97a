/**
 * Kinds of the QEMU guest agent: what a control asks it, and what it answers.
 * @module
 */
import { MAX_BODY_BYTES } from "../../base/limits.ts";
import { AGENT_OP, type AgentOp, FIRST_CHANGING_OP } from "../agent_op.ts";
import * as inline from "../body_layout.ts";
import { LEASE_CLASS } from "../body_number.ts";
import { ADDRESSED, type KindRow, type Need, PLAIN, same } from "../kind_row.ts";
import { PRIO } from "../priority.ts";
import { SOURCE } from "../source.ts";
import { AGENT_CAPS as CAP } from "./agent_caps.ts";

const ASK: Need = { caps: CAP.AGENT, lease: null };
const CHANGE: Need = { caps: CAP.AGENT_RUN, lease: LEASE_CLASS.AGENT };

/** Rows of the catalogue. */
export const AGENT_KINDS = {
  AGENT_REPLY: {
    number: 128,
    way: "up",
    source: SOURCE.AGENT,
    prio: same(PRIO.NORMAL),
    inline: inline.AGENT_REPLY,
    needs: ADDRESSED,
    ...PLAIN,
    body: "cbor",
    bodyBytes: MAX_BODY_BYTES,
  },
  CMD_AGENT: {
    number: 129,
    way: "down",
    source: SOURCE.AGENT,
    prio: same(PRIO.NORMAL),
    inline: inline.AGENT_REQUEST,
    needs: {
      by: "operation",
      of: new Map(
        Object.values(AGENT_OP).map((op: AgentOp) => [op as number, op < FIRST_CHANGING_OP ? ASK : CHANGE]),
      ),
    },
    ...PLAIN,
    // A program and its arguments, a path, bytes of a file: by the operation.
    body: "raw-or-none",
    bodyBytes: MAX_BODY_BYTES,
    audited: true,
  },
} as const satisfies Readonly<Record<string, KindRow>>;
