/**
 * Which body a control's frame may have, by its kind (contract, section 1): further input records, the source of a memory write, and none for anything else. What a body
 * says is for whoever carries the command out; here it is only kept from being carried around for nothing.
 * @module
 */
import { CODE } from "../base/codes.ts";
import { INPUT_RECORD_BYTES, MAX_INPUT_RECORDS, MAX_MEMWRITE_BYTES } from "../base/limits.ts";
import { KIND } from "./kind.ts";
import { BODY } from "./transfer_event.ts";

const MOST_INPUT_BYTES = (MAX_INPUT_RECORDS - 1) * INPUT_RECORD_BYTES;

/**
 * Judges the body of a frame that a control sends.
 *
 * @returns 0, bad-argument for one that the kind does not have or in a form that it does not have, too-large
 */
export function judgeBody(kind: number, format: number, bytes: number): number {
  if (bytes === 0) return CODE.ok;
  const most = kind === KIND.CMD_INPUT
    ? MOST_INPUT_BYTES
    : kind === KIND.CMD_MEMWRITE
    ? MAX_MEMWRITE_BYTES
    : 0;
  if (most === 0 || format !== BODY.RAW) return CODE["bad-argument"];
  return bytes > most ? CODE["too-large"] : CODE.ok;
}
