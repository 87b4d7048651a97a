/**
 * What a control is told of a command that the guest's agent has not carried out.
 * @module
 */
import { CODE, type Code } from "../../base/codes.ts";
import { printable } from "../../base/printable.ts";
import type { AgentReply } from "../../qemu/agent/agent_client.ts";

/** QEMU's agent around the words of the system (QERR_QGA_COMMAND_FAILED), which have little room. */
const WRAPPER = /^Guest agent command failed, error was '(.*)'$/s;

/** The protocol's code, and the words that go with it. */
export function refusalOf(
  reply: Exclude<AgentReply, { readonly outcome: "done" }>,
): { code: Code; words: string } {
  switch (reply.outcome) {
    case "error":
      return { code: CODE.refused, words: printable(reply.text.replace(WRAPPER, "$1"), 512) };
    case "timed-out":
      return { code: CODE["timed-out"], words: "the guest's agent did not answer in time" };
    case "too-long":
      return {
        code: CODE["too-large"],
        words: "the answer is larger than its limit; have the program write a file, and copy that",
      };
    case "closed":
      return { code: CODE["seam-down"], words: "the guest's agent disconnected before it answered" };
    case "unsent":
      return reply.why === ""
        ? { code: CODE["stale-lease"], words: "" }
        : { code: CODE["timed-out"], words: reply.why };
  }
}
