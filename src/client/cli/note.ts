/**
 * What a command has to say beside its output while it goes on: a line on standard error, or with `--json` an
 * object with the text.
 * @module
 */
import { oneLine } from "../../base/printable.ts";

/** The line of a note, without its end. */
export function noteLine(json: boolean, text: string): string {
  return json ? JSON.stringify({ note: oneLine(text) }) : `vmsig: ${oneLine(text)}`;
}

/** Writes a note to standard error. Nobody may read it: then there is nowhere to say so. */
export function note({ json }: { readonly json: boolean }, text: string): void {
  const bytes = new TextEncoder().encode(`${noteLine(json, text)}\n`);
  try {
    for (let done = 0; done < bytes.length;) done += Deno.stderr.writeSync(bytes.subarray(done));
  } catch (error) {
    if (!(error instanceof Error)) throw error;
  }
}
