/**
 * Which body and how many descriptors a control's frame may have, by its kind, made from the catalogue:
 * further input records, the source of a memory write, and none for anything else. What a body says is for
 * whoever carries the command out; here it is only kept from being carried around for nothing.
 * @module
 */
import { CODE, type Code } from "../base/codes.ts";
import { ROWS } from "./catalogue.ts";
import { type Kind, KIND_MAX } from "./kind.ts";
import { BODY } from "./transfer_event.ts";

/** Kind that a control sends or publishes to the bytes of its body at most. */
const MOST_BYTES = new Uint32Array(KIND_MAX);
/** The same to the format of its body. */
const FORMAT = new Uint8Array(KIND_MAX);
/**
 * Kind to the descriptors that a control sends with it: as many with what it publishes, at most so many with
 * a command.
 */
export const FDS_OF_KIND: Uint8Array = new Uint8Array(KIND_MAX);
for (const [, row] of ROWS) {
  if (row.publishable || row.way === "down") FDS_OF_KIND[row.number] = row.fds;
  if (row.way !== "down" && !row.publishable) continue;
  MOST_BYTES[row.number] = row.bodyBytes;
  FORMAT[row.number] = row.body === "none" ? BODY.NONE : row.body === "cbor" ? BODY.CBOR : BODY.RAW;
}

/** How many descriptors a control's frame of this kind brings; see {@linkcode FDS_OF_KIND}. */
export function fdsOfKind(kind: Kind): number {
  return FDS_OF_KIND[kind] ?? 0;
}

/**
 * Judges the body of a frame that a control sends.
 *
 * @returns 0, bad-argument for one that the kind does not have or in a form that it does not have, too-large
 */
export function judgeBody(kind: Kind, format: number, bytes: number): Code {
  if (bytes === 0) return CODE.ok;
  const most = MOST_BYTES[kind] ?? 0;
  if (most === 0 || format !== FORMAT[kind]) return CODE["bad-argument"];
  return bytes > most ? CODE["too-large"] : CODE.ok;
}
