/**
 * `vmsig key`: presses chords.
 * @module
 */
import { parseChord } from "../chord.ts";
import { takeInput } from "../input_control.ts";
import type { CommandModule } from "./command.ts";
import { understood } from "./command_line.ts";
import { done, inputOptions, TIMEOUT_OPTION } from "./input_command.ts";

/** The command. */
export const key: CommandModule = {
  args: { min: 2, max: Infinity },
  options: {
    ...TIMEOUT_OPTION,
    hold: { takes: "number", value: "MS", max: 3_600_000, help: "keep each chord down for this long (0)" },
  },
  details:
    `Presses and releases each chord; the last key is released first. Keys are joined by - or +. A key is named as in the
Linux kernel (f5, leftctrl, kpenter, volumeup), by a common name (ctrl, alt, shift, win, del, esc, pgup), or by the
character that it types on a US keyboard. Acquires the input lease for the command, and fails with "busy" if another
control owns it.`,
  examples: ["key web ctrl-alt-delete", "key web esc : w q enter", "key web --hold 2000 power"],
  async run(call) {
    const [ref = "", ...chords] = call.args;
    // All chords are parsed before the first is pressed.
    for (const chord of chords) understood("key", () => parseChord(chord));
    await using client = await call.connect({ sources: ["CORE"], prioMin: 1 });
    await using input = await takeInput(client, ref, inputOptions(call));
    for (const chord of chords) await input.key(chord, call.number("hold") ?? 0);
    done(call, client, input.lease.endpoint, { chords: chords.length }, `${chords.length} pressed`);
  },
};
