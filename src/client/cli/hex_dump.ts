/**
 * Memory in readable form: address, sixteen bytes, the same as text. A row equal to the previous one is
 * omitted, as in hexdump.
 * @module
 */
import { hexOfBytes } from "../../base/hex.ts";
import { hexOfGva } from "../../base/ids.ts";
import type { Output } from "./output.ts";

const ROW_BYTES = 16;

/** Prints bytes, the first of which is at `gva`. */
export function printHexDump(out: Output, gva: number, bytes: Uint8Array): void {
  let repeated = "";
  let starred = false;
  for (let at = 0; at < bytes.length; at += ROW_BYTES) {
    const row = bytes.subarray(at, at + ROW_BYTES);
    const hex = hexOfBytes(row);
    const isLast = at + ROW_BYTES >= bytes.length;
    if (hex === repeated && !isLast) {
      if (!starred) out.line(out.paint("dim", "*"));
      starred = true;
      continue;
    }
    repeated = hex;
    starred = false;
    out.line(rowOf(out, gva + at, row));
  }
}

function rowOf(out: Output, gva: number, row: Uint8Array): string {
  const address = hexOfGva(gva).slice(2).padStart(16, "0");
  let hex = "";
  let text = "";
  for (let i = 0; i < ROW_BYTES; i++) {
    const byte = row[i];
    hex += byte === undefined ? "   " : byte.toString(16).padStart(2, "0") + " ";
    if (i === ROW_BYTES / 2 - 1) hex += " ";
    if (byte !== undefined) text += byte >= 32 && byte < 127 ? String.fromCharCode(byte) : ".";
  }
  return `${out.paint("dim", address)}  ${hex} |${text}|`;
}
