/**
 * The AGENT seam's declaration: whether a guest's agent is used.
 * @module
 */
import { SOURCE } from "../../event/source.ts";
import type { Seam } from "../seam.ts";

/** `auto`: it is spoken to while somebody asks something, because QEMU serves one client of its channel. */
export const AGENT_CHOICES = ["auto", "none"] as const;
/** One of them. */
export type AgentChoice = (typeof AGENT_CHOICES)[number];

/** Its key in an endpoint's config. */
export interface AgentConfig {
  /** Whether the guest's agent is used; `none`: the endpoint has no such seam. */
  readonly agent: AgentChoice;
}

/** The declaration. */
export const AGENT_SEAM: Seam<"agent", AgentConfig> = {
  name: "agent",
  source: SOURCE.AGENT,
  closing: 6,
  read: (table) => ({ agent: table.choice("agent", AGENT_CHOICES, "auto") }),
  ofFound: () => ({ agent: "auto" }),
};
