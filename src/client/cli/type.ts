/**
 * `vmsig type`: types text.
 * @module
 */
import { takeInput, typingOn } from "../input_control.ts";
import type { CommandModule } from "./command.ts";
import { understood } from "./command_line.ts";
import { done, inputOptions, TIMEOUT_OPTION } from "./input_command.ts";

/** The command. */
export const type: CommandModule = {
  args: { min: 2, max: 2 },
  options: {
    ...TIMEOUT_OPTION,
    layout: {
      takes: "text",
      value: "NAME",
      help: "the guest's keyboard layout: us (default), gb, de, fr, es, …",
    },
  },
  details:
    `Types the text as fast as the VM confirms it; a line end presses enter. The guest receives keys and turns them into
characters by its own keyboard layout: --layout says which one it uses. A text with a character that is not on the
layout is refused before anything is sent. Acquires the input lease for the command, and fails with "busy" if
another control owns it. Put -- before a text that begins with -.`,
  examples: ["type web 'uname -a'", "type web $'root\\n'", "type web -- -v", "type web --layout de 'größer'"],
  async run(call) {
    const [ref = "", text = ""] = call.args;
    const framesOf = await typingOn(call.text("layout") ?? "us");
    const frames = understood("type", () => framesOf(text));
    await using client = await call.connect({ sources: ["CORE"], prioMin: 1 });
    await using input = await takeInput(client, ref, inputOptions(call));
    const begunMs = performance.now();
    await input.frames(frames);
    const elapsedMs = Math.round(performance.now() - begunMs);
    const characters = [...text.replaceAll("\r\n", "\n")].length;
    done(
      call,
      client,
      input.lease.endpoint,
      { characters, elapsedMs },
      `${characters} characters in ${elapsedMs} ms`,
    );
  },
};
