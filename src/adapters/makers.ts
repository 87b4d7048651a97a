/**
 * How the adapter of each seam is made for a real VM. It brings all adapters along: only the loop's thread
 * loads it, when the first VM comes (daemon/endpoint_maker.ts).
 * @module
 */
import type { Adapter } from "../core/adapter_port.ts";
import { makeAgent } from "./agent/agent_maker.ts";
import { makeConsole } from "./console/console_maker.ts";
import { makeDisplay } from "./display/display_maker.ts";
import { makeInput } from "./input/input_maker.ts";
import { makeMemctx } from "./memctx/memctx_maker.ts";
import type { EndpointBasics, SeamMaker, SeamParts } from "./seam.ts";
import { type ConfigOfSeam, type SeamConfig, type SeamName, SEAMS } from "./seams.ts";
import { makeVmhost } from "./vmhost/vmhost_maker.ts";

const MAKERS: { readonly [N in SeamName]: SeamMaker<ConfigOfSeam<N>> } = {
  agent: makeAgent,
  console: makeConsole,
  frame: makeDisplay,
  input: makeInput,
  memctx: makeMemctx,
  vmhost: makeVmhost,
};

/** The adapters of an endpoint, in the order of the seams. */
export function makeAdapters(config: EndpointBasics & SeamConfig, parts: SeamParts): Adapter[] {
  const makers: Readonly<Record<SeamName, SeamMaker<SeamConfig>>> = MAKERS;
  return SEAMS.map(({ name }) => makers[name](config, parts)).filter((adapter) => adapter !== null);
}
