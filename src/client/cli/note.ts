/**
 * Messages of a command besides its output: a line on standard error, or with `--json` an object with code
 * and text, like errors.
 * @module
 */
import { oneLine } from "../../base/printable.ts";

/** The code of a note: one of the protocol, or none. */
export type NoteCode = "note" | "dropped" | "unreachable";

/** The line of a note, without its end. */
export function noteLine(json: boolean, text: string, code: NoteCode = "note"): string {
  if (json) return JSON.stringify({ code, text: oneLine(text) });
  return code === "note" ? `vmsig: ${oneLine(text)}` : `vmsig: ${code}: ${oneLine(text)}`;
}

/** Writes a note. */
export function note(
  { json, err }: { readonly json: boolean; readonly err: (line: string) => void },
  text: string,
  code: NoteCode = "note",
): void {
  err(noteLine(json, text, code));
}
