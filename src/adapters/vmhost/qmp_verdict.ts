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

/**
 * What QEMU says to it, or why QEMU cannot be asked; empty when neither is known. Outside text.
 *
 * @param away why the monitor is not up, when it is not (`LinkOutlook.away`)
 */
export function wordsOf(reply: QmpReply, away = ""): string {
  switch (reply.outcome) {
    case "error":
      return reply.errorText;
    case "closed":
    case "unsent":
      return away;
    default:
      return "";
  }
}
