/**
 * What a command has to say beside its output while it goes on: a line on standard error, or with `--json` an
 * object with code and text, as errors are.
 * @module
 */
import { oneLine } from "../../base/printable.ts";

/** What a note is about: a code of the protocol, or nothing that has one. */
export type NoteCode = "note" | "dropped" | "unreachable";

/** The line of a note, without its end. */
export function noteLine(json: boolean, text: string, code: NoteCode = "note"): string {
  if (json) return JSON.stringify({ code, text: oneLine(text) });
  return code === "note" ? `vmsig: ${oneLine(text)}` : `vmsig: ${code}: ${oneLine(text)}`;
}

/** Writes a note to standard error. Nobody may read it: then there is nowhere to say so. */
export function note({ json }: { readonly json: boolean }, text: string, code: NoteCode = "note"): void {
  const bytes = new TextEncoder().encode(`${noteLine(json, text, code)}\n`);
  try {
    for (let done = 0; done < bytes.length;) done += Deno.stderr.writeSync(bytes.subarray(done));
  } catch (error) {
    if (!(error instanceof Error)) throw error;
  }
}
