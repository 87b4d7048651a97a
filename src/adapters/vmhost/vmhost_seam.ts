/**
 * The VMHOST seam's declaration: a VM's state and operations, for every endpoint that has a monitor. It has
 * no key of its own, for an endpoint's `qmp` says it all.
 * @module
 */
import { SOURCE } from "../../event/source.ts";
import type { NoKeys, Seam } from "../seam.ts";

/** The declaration. */
export const VMHOST_SEAM: Seam<"vmhost", NoKeys> = {
  name: "vmhost",
  source: SOURCE.VMHOST,
  closing: 3,
  read: () => ({}),
  ofFound: () => ({}),
};
