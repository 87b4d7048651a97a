/**
 * Makes the adapter of the CONSOLE seam over a VM's monitor.
 * @module
 */
import type { Adapter } from "../../core/adapter_port.ts";
import type { SeamParts } from "../seam.ts";
import { ConsoleAdapter } from "./console_adapter.ts";
import type { ConsoleConfig } from "./console_seam.ts";

/** Makes it; null when the endpoint has none. */
export function makeConsole({ console }: ConsoleConfig, { link }: SeamParts): Adapter | null {
  return link === null || console === "none" ? null : new ConsoleAdapter(link, console === "always");
}
