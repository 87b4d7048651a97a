/**
 * Aligned columns for a person. Control characters in names from outside are made visible and never sent to
 * the terminal.
 * @module
 */
import { printableName } from "../../base/printable.ts";
import type { Output, Tone } from "./output.ts";

/** A cell: text, or text with a tone. */
export type Cell = string | { readonly text: string; readonly tone: Tone };

/** Prints rows below a heading, each column as wide as its widest cell. */
export function printTable(out: Output, head: readonly string[], rows: readonly (readonly Cell[])[]): void {
  const widths = head.map((title, i) =>
    Math.max(title.length, ...rows.map((row) => textOf(row[i] ?? "").length))
  );
  out.line(line(out, head.map((text) => ({ text, tone: "dim" })), widths));
  for (const row of rows) out.line(line(out, row, widths));
}

/** One row. The last column is not padded. */
export function line(out: Output, row: readonly Cell[], widths: readonly number[]): string {
  let text = "";
  row.forEach((cell, i) => {
    const plain = textOf(cell);
    const last = i === row.length - 1;
    const pad = last ? "" : " ".repeat(Math.max(0, (widths[i] ?? 0) - plain.length) + 2);
    text += out.paint(typeof cell === "string" ? "plain" : cell.tone, plain) + pad;
  });
  return text.trimEnd();
}

/**
 * Text that is safe to show on a terminal, in the reversible form of `printable.ts` for names; not cut,
 * because the user has asked for it. A guest's names have this form under `--json` as well, where bytes that
 * are not text have no other.
 */
export function visible(text: string): string {
  return printableName(text);
}

function textOf(cell: Cell): string {
  return visible(typeof cell === "string" ? cell : cell.text);
}
