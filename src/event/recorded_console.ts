/**
 * What a recording keeps beside the bytes of a console (CONSOLE_OUT): which console said them. The bytes,
 * their place and the time at which they were read are the event's own.
 * @module
 */
import { readU64 } from "../base/layout.ts";
import { CONSOLE_OUT } from "./body_layout.ts";

/** Consoles of one VM that a recording may have: as many as the seam tells. */
export const MAX_RECORDED_CONSOLES = 32;
const MAX_LABEL = 64;

/** A console, as the daemon listed it. */
export interface RecordedConsole {
  /** QEMU's name of it: "serial0". */
  readonly label: string;
  /** "serial" or "virtio-console". */
  readonly role: string;
}

/** Bytes of a console with their place. */
export interface ConsolePiece {
  /** The console's number. */
  readonly port: number;
  /** Place of the first byte. */
  readonly offset: number;
}

/** Where the bytes of a CONSOLE_OUT stand. */
export function consolePieceOf(inline: Uint8Array): ConsolePiece {
  const view = new DataView(inline.buffer, inline.byteOffset, inline.byteLength);
  return {
    port: view.getUint32(CONSOLE_OUT.at.port, true),
    offset: readU64(view, CONSOLE_OUT.at.offset),
  };
}

/**
 * A console out of a file's map, with the bytes beside it.
 *
 * @returns undefined when it is not valid: no bytes, a number or a place that no console has
 */
export function consoleOf(value: unknown, inline: Uint8Array, bytes: number): RecordedConsole | undefined {
  if (typeof value !== "object" || value === null || bytes === 0) return undefined;
  const { label, role } = value as RecordedConsole;
  if (typeof label !== "string" || label.length > MAX_LABEL) return undefined;
  if (role !== "serial" && role !== "virtio-console") return undefined;
  const { port, offset } = consolePieceOf(inline);
  if (port >= MAX_RECORDED_CONSOLES || !Number.isSafeInteger(offset + bytes)) return undefined;
  return { label, role };
}
