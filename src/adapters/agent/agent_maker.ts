/**
 * Makes the adapter of the AGENT seam over a VM's monitor. A stub endpoint has no agent.
 * @module
 */
import type { SeamMaker } from "../seam.ts";
import { AgentAdapter } from "./agent_adapter.ts";
import type { AgentConfig } from "./agent_seam.ts";

/** The maker. */
export const AGENT_MAKER: SeamMaker<AgentConfig> = {
  make: ({ agent }, { link }) => link === null || agent === "none" ? null : new AgentAdapter(link),
  makeStub: () => null,
};
