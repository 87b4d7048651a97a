/**
 * The MEMCTX seam's declaration: a VM's RAM, and what runs in it.
 * @module
 */
import { SOURCE } from "../../event/source.ts";
import { SYSTEM_CHOICES, type WantedSystem } from "../../guest/systems.ts";
import type { Seam } from "../seam.ts";

const BACKENDS = ["auto", "memfd", "file", "none"] as const;

/** Its keys in an endpoint's config. */
export interface MemctxConfig {
  /** Where the VM's RAM is to be had; `none`: it has no such seam. */
  readonly memory: "auto" | "memfd" | "file" | "none";
  /** What runs in the VM. */
  readonly guest: WantedSystem | "none";
}

/** The declaration. */
export const MEMCTX_SEAM: Seam<"memctx", MemctxConfig> = {
  name: "memctx",
  source: SOURCE.MEMCTX,
  closing: 2,
  read: (table) => ({
    memory: table.choice("memory", BACKENDS, "auto"),
    guest: table.choice("guest", SYSTEM_CHOICES, "auto"),
  }),
  ofFound: ({ hasMemory }) => ({ memory: hasMemory ? "auto" : "none", guest: "auto" }),
};
