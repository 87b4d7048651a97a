/**
 * The INPUT seam's declaration: the driver that delivers input to a VM.
 * @module
 */
import { SOURCE } from "../../event/source.ts";
import type { Seam } from "../seam.ts";

const DRIVERS = ["qmp", "uinput", "none"] as const;

/** Its key in an endpoint's config. */
export interface InputConfig {
  /** The driver; `none`: the VM has no such seam. */
  readonly input: "qmp" | "uinput" | "none";
}

/** The declaration. */
export const INPUT_SEAM: Seam<"input", InputConfig> = {
  name: "input",
  source: SOURCE.INPUT,
  // Releasing keys needs the monitor, which closing VMHOST may end.
  closing: 1,
  read(table, { qmp }) {
    const input = table.choice("input", DRIVERS, qmp === undefined ? "none" : "qmp");
    if (input === "qmp" && qmp === undefined) {
      throw table.fault("input", 'is "qmp", and there is no qmp socket; add qmp = "/path.sock"');
    }
    return { input };
  },
  ofFound: () => ({ input: "qmp" }),
};
