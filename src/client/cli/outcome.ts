/**
 * `vmsig outcome`: what became of a command on another host whose answer did not arrive.
 * @module
 */
import { commandIdOf } from "../../nats/wire/outcome.ts";
import type { CommandOutcome } from "../command_outcome.ts";
import type { CommandModule } from "./command.ts";
import { usage } from "./command_line.ts";
import { visible } from "./table.ts";

/** The command. */
export const outcome: CommandModule = {
  args: { min: 1, max: 1 },
  options: {
    timeout: {
      takes: "number",
      value: "MS",
      min: 1,
      max: 3_600_000,
      help: "how long to ask, again and again, while the host does not answer (30000)",
    },
  },
  details:
    `A command on another host (--nats) whose answer does not come says "timed-out" and an ID. The host knows under this ID what
became of it, for an hour and for the last 128 sessions of the same user, also after the connection was away.

It is told as "done"; "refused", with the code; "under way"; "never": it did not get there, and will not be done if it
still does; or "unknown": the host cannot tell, look at the VM. The exit code is 0 for done and 1 otherwise.`,
  examples: ["outcome rack1/0123456789abcdef0123456789abcdef/7 --nats nats://10.0.0.5:4222"],
  async run({ args, nats, connect, number, json, out }) {
    const [id = ""] = args;
    if (nats === undefined) {
      throw usage("outcome", "it is a question to another host: pass --nats URL, or set VMSIG_NATS");
    }
    if (commandIdOf(id) === undefined) {
      throw usage("outcome", `${visible(id)} is not the ID of a command, HOST/SESSION/NUMBER`);
    }
    await using client = await connect({ sources: [] });
    const timeoutMs = number("timeout");
    const found = await client.outcome(id, timeoutMs === undefined ? {} : { timeoutMs });
    if (json) out.json({ id, ...found });
    else out.line(`${visible(id)}: ${wordsOf(found)}`);
    return found.is === "done" ? 0 : 1;
  },
};

function wordsOf(found: CommandOutcome): string {
  switch (found.is) {
    case "refused":
      return `refused: ${found.code}`;
    case "unknown":
      return `unknown: ${found.why}`;
    case "never":
      return "never: it did not get there, and will not be done";
    default:
      return found.is;
  }
}
