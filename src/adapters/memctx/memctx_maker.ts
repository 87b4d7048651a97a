/**
 * Makes the adapter of the MEMCTX seam.
 * @module
 */
import type { SeamMaker } from "../seam.ts";
import { MemctxAdapter } from "./memctx_adapter.ts";
import type { MemctxConfig } from "./memctx_seam.ts";

/** The maker. A stub endpoint has no memory. */
export const MEMCTX_MAKER: SeamMaker<MemctxConfig> = {
  make: ({ memory, guest }, { link, scanner, extents }) =>
    memory === "none" || link === null ? null : new MemctxAdapter({ link, scanner, memory, guest, extents }),
  makeStub: () => null,
};
