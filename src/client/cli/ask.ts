/**
 * `vmsig ask`: questions from models to a person, and the person's answers.
 * @module
 */
import { localTime } from "../../base/local_time.ts";
import { Asks } from "../asks.ts";
import { defaultSocketPathHere } from "../connect.ts";
import type { CommandModule } from "./command.ts";
import { usage } from "./command_line.ts";
import { printTable, visible } from "./table.ts";

/** The command. */
export const ask: CommandModule = {
  args: { min: 0, max: 3 },
  details:
    `Without an argument, or with list, lists the open questions that models have asked with the tool ask_person, on all
"vmsig mcp" servers of this user. answer answers one; the first answer counts, and a question with choices accepts
only those. To do it yourself instead of answering, take over keyboard and mouse with "vmsig web" or "vmsig vnc":
the model is informed and waits until you give them back.`,
  examples: ["ask", "ask answer 0123456789ab 'yes, reboot it'"],
  async run(call) {
    const [verb = "list", id, words] = call.args;
    if (verb !== "list" && verb !== "answer") {
      throw usage("ask", `there is no action ${visible(verb)}: say list or answer`);
    }
    if (verb === "answer" && (id === undefined || words === undefined)) {
      throw usage("ask", "answer takes a question's id and a text");
    }
    if (verb === "list" && id !== undefined) throw usage("ask", `one argument too many: ${visible(id)}`);
    const asks = await Asks.of(call.socket ?? defaultSocketPathHere());
    if (id !== undefined && words !== undefined) {
      await asks.answer(id, { text: words, by: Deno.env.get("USER") || `uid ${Deno.uid()}` });
      if (call.json) call.out.json({ id, ok: true });
      return;
    }
    const open = await asks.list();
    if (call.json) { for (const each of open) call.out.json(each); }
    else if (open.length === 0) call.out.line("nobody asks anything");
    else {
      printTable(
        call.out,
        ["ID", "ASKED", "VM", "QUESTION", "CHOICES"],
        open.map(({ id, atMs, vm, question, choices }) => [
          id,
          localTime(new Date(atMs)),
          vm,
          question,
          choices.join(" | "),
        ]),
      );
    }
  },
};
