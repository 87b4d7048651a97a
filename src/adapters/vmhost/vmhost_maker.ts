/**
 * Makes the adapter of the VMHOST seam.
 * @module
 */
import type { NoKeys, SeamMaker } from "../seam.ts";
import { StubVmhost } from "../stub/stub_vmhost.ts";
import { VmhostAdapter } from "./vmhost_adapter.ts";

/** The maker. */
export const VMHOST_MAKER: SeamMaker<NoKeys> = {
  make: (_config, { link }) => link === null ? null : new VmhostAdapter(link),
  makeStub: ({ machine }) => new StubVmhost(machine),
};
