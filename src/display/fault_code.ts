/**
 * The protocol's code of a fault that ends a display source.
 * @module
 */
import { CODE, type Code } from "../base/codes.ts";
import type { Fault } from "../base/fault.ts";

/** The code of a fault; `seam-down` for codes that only commands use. */
export function faultCode({ code }: Fault): Code {
  return code in CODE ? CODE[code as keyof typeof CODE] : CODE["seam-down"];
}
