/**
 * `vmsig version`.
 * @module
 */
import { SHIM_VERSION } from "../../../ffi/symbols.ts";
import { VERSION } from "../../base/version.ts";
import { PROTOCOL } from "../../protocol/version.ts";
import type { CommandModule } from "./command.ts";

/** The command. */
export const version: CommandModule = {
  args: { min: 0, max: 0 },
  isClient: false,
  details: "Prints the versions of vmsig, of the protocol on the control socket, of the C shim, and of Deno.",
  examples: ["version", "version --json"],
  run({ json, out }) {
    const deno = Deno.version.deno;
    const about = { version: VERSION, protocol: PROTOCOL, shim: SHIM_VERSION, deno };
    if (json) out.json(about);
    else out.line(`vmsig ${VERSION} (protocol ${PROTOCOL}, shim ${SHIM_VERSION}, Deno ${deno})`);
    return Promise.resolve();
  },
};
