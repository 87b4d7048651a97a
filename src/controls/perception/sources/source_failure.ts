/**
 * What a display source threw, in the protocol's terms.
 * @module
 */
import { OsError } from "../../../../ffi/os_error.ts";
import { CODE, type Code, type CodeName } from "../../../base/codes.ts";
import { Fault, messageOf } from "../../../base/fault.ts";

/** Its code and its words; anything but a Fault or an OsError is a defect of ours, and thrown again. */
export function failureOf(error: unknown): { readonly code: Code; readonly why: string } {
  if (error instanceof OsError) return { code: CODE.busy, why: messageOf(error) };
  if (!(error instanceof Fault)) throw error;
  return { code: CODE[error.code as CodeName] ?? CODE.refused, why: messageOf(error) };
}
