/**
 * Makes the adapter of the FRAME seam over a VM's monitor.
 * @module
 */
import type { Adapter } from "../../core/adapter_port.ts";
import type { SeamParts } from "../seam.ts";
import { DisplayAdapter } from "./display_adapter.ts";
import type { DisplayConfig } from "./display_seam.ts";

/** Makes it; null when the endpoint has none. */
export function makeDisplay({ display }: DisplayConfig, { link, onFrameWanted }: SeamParts): Adapter | null {
  return link === null || display === "none"
    ? null
    : new DisplayAdapter({ link, display, onWanted: onFrameWanted });
}
