/**
 * How the adapters of each seam are made. Only the loop's thread loads this: it brings all adapters along.
 * @module
 */
import type { Adapter } from "../core/adapter_port.ts";
import { AGENT_MAKER } from "./agent/agent_maker.ts";
import { CONSOLE_MAKER } from "./console/console_maker.ts";
import { FRAME_MAKER } from "./display/display_maker.ts";
import { INPUT_MAKER } from "./input/input_maker.ts";
import { MEMCTX_MAKER } from "./memctx/memctx_maker.ts";
import type { EndpointBasics, SeamMaker, SeamParts, StubParts } from "./seam.ts";
import { type ConfigOfSeam, type SeamConfig, type SeamName, SEAMS } from "./seams.ts";
import { VMHOST_MAKER } from "./vmhost/vmhost_maker.ts";

const MAKERS: { readonly [N in SeamName]: SeamMaker<ConfigOfSeam<N>> } = {
  agent: AGENT_MAKER,
  console: CONSOLE_MAKER,
  frame: FRAME_MAKER,
  input: INPUT_MAKER,
  memctx: MEMCTX_MAKER,
  vmhost: VMHOST_MAKER,
};

/** The adapters of an endpoint, in the order of the seams. */
export function makeAdapters(config: EndpointBasics & SeamConfig, parts: SeamParts): Adapter[] {
  return each((maker) => maker.make(config, parts));
}

/** The adapters of an endpoint without any VM. */
export function makeStubAdapters(parts: StubParts): Adapter[] {
  return each((maker) => maker.makeStub(parts));
}

function each(make: (maker: SeamMaker<SeamConfig>) => Adapter | null): Adapter[] {
  return SEAMS.map(({ name }) => make(MAKERS[name])).filter((adapter) => adapter !== null);
}
