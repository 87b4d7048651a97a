/**
 * What became of a command that ended without an answer: by its late answer, or else by asking the host that
 * received it.
 * @module
 */
import { CODE, codeName } from "../base/codes.ts";
import { Fault } from "../base/fault.ts";
import type { CommandOutcome } from "../nats/wire/outcome.ts";
import type { ClientLink } from "./link.ts";
import type { PendingCommands } from "./pending_commands.ts";

export type { CommandOutcome };

/**
 * Finds out.
 *
 * @param of the corr of the command, from its fault, or another program's id of a command
 * @throws {Fault} `timed-out`, `unreachable`: it may be tried again; `bad-argument`
 */
export async function outcomeOf(
  pending: PendingCommands,
  link: ClientLink,
  of: number | string,
  timeoutMs: number,
): Promise<CommandOutcome> {
  const late = typeof of === "number" ? pending.late(of) : undefined;
  // "timed-out" means that the outcome was not known when that answer came.
  if (late !== undefined && late !== CODE["timed-out"]) {
    if (late === CODE.ok) return { is: "done" };
    const name = codeName(late);
    return { is: "refused", code: name in CODE ? name as keyof typeof CODE : "refused" };
  }
  if (link.outcome !== undefined) return await link.outcome(of, timeoutMs);
  if (typeof of === "string") {
    throw new Fault("bad-argument", "Cannot tell what became of it: a daemon's commands have no ids");
  }
  if (late !== undefined) return { is: "unknown", why: "the VM did not confirm it in time" };
  if (pending.knows(of)) return { is: "under way" };
  return { is: "unknown", why: "it was answered, or was not this client's" };
}
