/**
 * `vmsig held`: which keys and buttons are down.
 * @module
 */
import { INPUT_KIND } from "../../event/body_number.ts";
import { keyName } from "../key_codes.ts";
import { BUTTONS } from "../mouse_frames.ts";
import type { CommandModule } from "./command.ts";
import { printTable } from "./table.ts";

/** The command. */
export const held: CommandModule = {
  args: { min: 1, max: 1 },
  details:
    `Shows which keys and buttons are held down in the endpoint now, whoever pressed them: at most ten, and whether there
are more.`,
  examples: ["held web", "held web --json"],
  async run({ args, connect, json, out, signal }) {
    await using client = await connect({ sources: ["CORE"], prioMin: 1 });
    const { entries, truncated } = await client.held(args[0] ?? "", { signal });
    if (json) {
      for (const { kind, code } of entries) {
        out.json({ kind: kindName(kind), code, name: nameOf(kind, code) });
      }
      if (truncated) out.json({ truncated: true });
      return;
    }
    if (entries.length === 0) out.line("nothing is held");
    else {
      printTable(
        out,
        ["KIND", "CODE", "NAME"],
        entries.map(({ kind, code }) => [kindName(kind), String(code), nameOf(kind, code)]),
      );
    }
    if (truncated) out.line("and more");
  },
};

function kindName(kind: number): string {
  return kind === INPUT_KIND.BTN ? "button" : "key";
}

function nameOf(kind: number, code: number): string {
  if (kind !== INPUT_KIND.BTN) return keyName(code);
  return Object.entries(BUTTONS).find(([, button]) => button === code)?.[0] ?? `button-${code}`;
}
