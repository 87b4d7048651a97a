/**
 * The FRAME seam's declaration. A real VM's frames are told by controls that publish them
 * (src/vgpu/REGION.md), so only a stub endpoint has an adapter of it.
 * @module
 */
import { SOURCE } from "../../event/source.ts";
import type { NoKeys, Seam } from "../seam.ts";

/** The declaration. */
export const FRAME_SEAM: Seam<"frame", NoKeys> = {
  name: "frame",
  source: SOURCE.FRAME,
  closing: 4,
  read: () => ({}),
  ofFound: () => ({}),
};
