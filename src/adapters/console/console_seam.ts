/**
 * The CONSOLE seam's declaration: when a VM's serial ports and virtio consoles are opened.
 * @module
 */
import { SOURCE } from "../../event/source.ts";
import type { Seam } from "../seam.ts";

/**
 * `auto`: a console is opened when somebody reads or writes it, and left again when nobody does, because QEMU
 * serves one client. `always`: each is opened as soon as the VM is there, so that nothing it says is lost.
 */
export const CONSOLE_CHOICES = ["auto", "always", "none"] as const;
/** One of them. */
export type ConsoleChoice = (typeof CONSOLE_CHOICES)[number];

/** Its key in an endpoint's config. */
export interface ConsoleConfig {
  /** When consoles are opened; `none`: the endpoint has no such seam. */
  readonly console: ConsoleChoice;
}

/** The declaration. */
export const CONSOLE_SEAM: Seam<"console", ConsoleConfig> = {
  name: "console",
  source: SOURCE.CONSOLE,
  closing: 5,
  read: (table) => ({ console: table.choice("console", CONSOLE_CHOICES, "auto") }),
  ofFound: () => ({ console: "auto" }),
};
