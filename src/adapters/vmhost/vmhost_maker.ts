/**
 * Makes the adapter of the VMHOST seam.
 * @module
 */
import type { Adapter } from "../../core/adapter_port.ts";
import type { NoKeys, SeamParts } from "../seam.ts";
import { VmhostAdapter } from "./vmhost_adapter.ts";

/** Makes it; null when the endpoint has none. */
export function makeVmhost(_config: NoKeys, { link }: SeamParts): Adapter | null {
  return link === null ? null : new VmhostAdapter(link);
}
