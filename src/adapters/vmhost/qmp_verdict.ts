/**
 * A reply of QEMU's in the protocol's numbers.
 * @module
 */
import { CODE, type Code } from "../../base/codes.ts";
import type { QmpReply } from "../../qemu/protocol/qmp_client.ts";

/** The protocol's code for a reply of QEMU's. */
export function codeOf(reply: QmpReply): Code {
  switch (reply.outcome) {
    case "done":
      return CODE.ok;
    case "error":
      return CODE.refused;
    case "timed-out":
      return CODE["timed-out"];
    case "closed":
    case "unsent":
      return CODE["seam-down"];
  }
}

/** What QEMU says to it; empty when it says nothing. Outside text. */
export function wordsOf(reply: QmpReply): string {
  return reply.outcome === "error" ? reply.errorText : "";
}
