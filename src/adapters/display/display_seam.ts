/**
 * The FRAME seam's declaration: how a VM's display is read.
 * @module
 */
import { SOURCE } from "../../event/source.ts";
import type { Seam } from "../seam.ts";
import { DISPLAY_CHOICES, type DisplayChoice } from "./display_choice.ts";

/** Its key in an endpoint's config. */
export interface DisplayConfig {
  /** How its display is read; `none`: it has no such seam, and only a guest's own producer is shown. */
  readonly display: DisplayChoice;
}

/** The declaration. */
export const FRAME_SEAM: Seam<"frame", DisplayConfig> = {
  name: "frame",
  source: SOURCE.FRAME,
  closing: 4,
  read: (table) => ({ display: table.choice("display", DISPLAY_CHOICES, "auto") }),
  ofFound: () => ({ display: "auto" }),
};
