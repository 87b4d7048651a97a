/**
 * Aligned columns for a person. Control characters of names that come from elsewhere are made visible, never
 * sent to the terminal.
 * @module
 */
import { printableName } from "../../base/printable.ts";
import type { Output, Tone } from "./output.ts";

/** A cell: text, or text with a tone. */
export type Cell = string | { readonly text: string; readonly tone: Tone };

/** Prints rows below a head, every column as wide as its widest cell. */
export function printTable(out: Output, head: readonly string[], rows: readonly (readonly Cell[])[]): void {
  const widths = head.map((title, i) =>
    Math.max(title.length, ...rows.map((row) => textOf(row[i] ?? "").length))
  );
  out.line(line(out, head.map((text) => ({ text, tone: "dim" })), widths));
  for (const row of rows) out.line(line(out, row, widths));
}

/** One row. Widths beyond the last column are not padded. */
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
 * Text that a terminal shows as it stands, in the reversible form of `printable.ts` for names; not cut,
 * because what a person asked for is shown whole. Names of a guest are in this form under `--json`, too: what
 * is not text has no other there.
 */
export function visible(text: string): string {
  return printableName(text);
}

function textOf(cell: Cell): string {
  return visible(typeof cell === "string" ? cell : cell.text);
}
