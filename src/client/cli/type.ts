/**
 * `vmsig type`: types text.
 * @module
 */
import { takeInput } from "../input_control.ts";
import { framesOfText } from "../us_layout.ts";
import type { CommandModule } from "./command.ts";
import { understood } from "./command_line.ts";
import { done, inputOptions, TIMEOUT_OPTION } from "./input_command.ts";

/** The command. */
export const type: CommandModule = {
  args: { min: 2, max: 2 },
  options: TIMEOUT_OPTION,
  details:
    `Types the text on a US keyboard, as fast as the VM confirms; a line end is the enter key. A character that is not on the
layout is refused before anything is sent. Takes the input lease for itself, and fails with "busy" when another
control holds it. A text that begins with - goes behind --.`,
  examples: ["type web 'uname -a'", "type web $'root\\n'", "type web -- -v"],
  async run(call) {
    const [ref = "", text = ""] = call.args;
    const frames = understood("type", () => framesOfText(text));
    await using client = await call.connect({ sources: ["CORE"], prioMin: 1 });
    await using input = await takeInput(client, ref, inputOptions(call));
    const begunMs = performance.now();
    await input.frames(frames);
    const elapsedMs = Math.round(performance.now() - begunMs);
    const fields = { characters: frames.length, elapsedMs };
    done(call, client, input.lease.endpoint, fields, `${frames.length} characters in ${elapsedMs} ms`);
  },
};
