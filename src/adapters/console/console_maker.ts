/**
 * Makes the adapter of the CONSOLE seam over a VM's monitor. A stub endpoint has no consoles.
 * @module
 */
import type { SeamMaker } from "../seam.ts";
import { ConsoleAdapter } from "./console_adapter.ts";
import type { ConsoleConfig } from "./console_seam.ts";

/** The maker. */
export const CONSOLE_MAKER: SeamMaker<ConsoleConfig> = {
  make: ({ console }, { link }) =>
    link === null || console === "none" ? null : new ConsoleAdapter(link, console === "always"),
  makeStub: () => null,
};
