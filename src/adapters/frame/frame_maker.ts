/**
 * Makes the adapter of the FRAME seam: a stub endpoint's cursor, which moves.
 * @module
 */
import type { NoKeys, SeamMaker } from "../seam.ts";
import { StubCursor } from "../stub/stub_cursor.ts";

/** The maker. */
export const FRAME_MAKER: SeamMaker<NoKeys> = {
  make: () => null,
  makeStub: ({ rateHz }) => rateHz > 0 ? new StubCursor(rateHz) : null,
};
