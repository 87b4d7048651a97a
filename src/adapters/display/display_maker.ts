/**
 * Makes the adapter of the FRAME seam: over a VM's monitor, or a stub endpoint's cursor, which moves.
 * @module
 */
import type { SeamMaker } from "../seam.ts";
import { StubCursor } from "../stub/stub_cursor.ts";
import { DisplayAdapter } from "./display_adapter.ts";
import type { DisplayConfig } from "./display_seam.ts";

/** The maker. */
export const FRAME_MAKER: SeamMaker<DisplayConfig> = {
  make: ({ display }, { link, onFrameWanted }) =>
    link === null || display === "none"
      ? null
      : new DisplayAdapter({ link, display, onWanted: onFrameWanted }),
  makeStub: ({ rateHz }) => rateHz > 0 ? new StubCursor(rateHz) : null,
};
