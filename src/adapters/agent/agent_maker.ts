/**
 * Makes the adapter of the AGENT seam over a VM's monitor.
 * @module
 */
import type { Adapter } from "../../core/adapter_port.ts";
import type { SeamParts } from "../seam.ts";
import { AgentAdapter } from "./agent_adapter.ts";
import type { AgentConfig } from "./agent_seam.ts";

/** Makes it; null when the endpoint has none. */
export function makeAgent({ agent }: AgentConfig, { link }: SeamParts): Adapter | null {
  return link === null || agent === "none" ? null : new AgentAdapter(link);
}
