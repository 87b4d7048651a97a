/**
 * Makes the adapter of the MEMCTX seam.
 * @module
 */
import type { Adapter } from "../../core/adapter_port.ts";
import type { SeamParts } from "../seam.ts";
import { MemctxAdapter } from "./memctx_adapter.ts";
import type { MemctxConfig } from "./memctx_seam.ts";

/** Makes it; null when the endpoint has none. */
export function makeMemctx(
  { memory, guest }: MemctxConfig,
  { link, scanner, extents }: SeamParts,
): Adapter | null {
  return memory === "none" || link === null
    ? null
    : new MemctxAdapter({ link, scanner, memory, guest, extents });
}
