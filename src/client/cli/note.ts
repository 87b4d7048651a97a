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

/** Says a note. */
export function note(
  { json, err }: { readonly json: boolean; readonly err: (line: string) => void },
  text: string,
  code: NoteCode = "note",
): void {
  err(noteLine(json, text, code));
}
