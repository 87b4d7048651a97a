/**
 * The seams that an endpoint may have, one entry each. What the daemon knows of seams follows from this list:
 * in which order an endpoint's adapters close (core/endpoints.ts), which keys it has in the config
 * (daemon/config.ts), what is assumed of a VM that was found, and, by makers.ts, which adapters it gets. An
 * entry that is not in order fails at start, and in the gate; one without a maker does not compile.
 *
 * Their order here is that in which an endpoint's adapters are made and opened, and so the order in which the
 * monitor tells them: whoever must hear of a reset first stands first.
 * @module
 */
import { assert } from "../base/assert.ts";
import { SOURCE, type Source, sourceName } from "../event/source.ts";
import type { TableReader } from "../toml/table_reader.ts";
import { AGENT_SEAM } from "./agent/agent_seam.ts";
import { CONSOLE_SEAM } from "./console/console_seam.ts";
import { FRAME_SEAM } from "./display/display_seam.ts";
import { INPUT_SEAM } from "./input/input_seam.ts";
import { MEMCTX_SEAM } from "./memctx/memctx_seam.ts";
import type { EndpointBasics, FoundFacts, Seam } from "./seam.ts";
import { VMHOST_SEAM } from "./vmhost/vmhost_seam.ts";

/** Every seam, with its own type. */
export const SEAM_LIST = [
  MEMCTX_SEAM,
  INPUT_SEAM,
  VMHOST_SEAM,
  FRAME_SEAM,
  CONSOLE_SEAM,
  AGENT_SEAM,
] as const;

/** One entry of the list. */
export type SeamEntry = (typeof SEAM_LIST)[number];
/** What takes the config of a seam; of several, any one's. */
export type ConfigTaker<S> = S extends Seam<string, infer C> ? (config: C) => void : never;
/** The config that every one of several takers accepts: all their keys. */
export type ConfigOfAll<F> = [F] extends [(config: infer C) => void] ? C : never;
/** The name of a seam. */
export type SeamName = SeamEntry["name"];
/** The keys that one seam adds to an endpoint's config. */
export type ConfigOfSeam<N extends SeamName> = Extract<SeamEntry, { readonly name: N }> extends
  Seam<string, infer C> ? C : never;
/** The keys that all seams together add to an endpoint's config. */
export type SeamConfig = ConfigOfAll<ConfigTaker<SeamEntry>>;
/** Any seam. */
export type AnySeam = Seam<string, object>;

/** Every seam. */
export const SEAMS: readonly (AnySeam & { readonly name: SeamName })[] = SEAM_LIST;

/** Sources in the order in which an endpoint's adapters close. */
export const CLOSING_ORDER: readonly Source[] = [...SEAMS]
  .sort((a, b) => a.closing - b.closing)
  .map(({ source }) => source);

/** Whether adapters of this source are possible; any number may be asked for, for instance a recording's. */
export function isSeam(source: number): source is Source {
  return SEAMS.some((seam) => seam.source === source);
}

/** Keys of an endpoint's config that belong to no seam. */
const BASIC_KEYS = ["name", "vmid", "qmp"];
/** Sources that no adapter has: what several seams emit, the controls' and the core's own. */
const NO_SEAM: readonly Source[] = [SOURCE.NONE, SOURCE.CONTROL, SOURCE.CORE];

/**
 * What is wrong with entries, one line each; empty when they are in order.
 *
 * @param seams the list's, or a test's
 */
export function seamFaults(seams: readonly AnySeam[]): string[] {
  const faults: string[] = [];
  const sources = new Map<number, string>();
  const places = new Map<number, string>();
  const keys = new Map(BASIC_KEYS.map((key) => [key, "every endpoint"]));
  const claim = <K>(taken: Map<K, string>, what: K, of: string, by: string) => {
    const other = taken.get(what);
    if (other !== undefined) faults.push(`${by}: ${of} ${what} is taken by ${other}`);
    taken.set(what, by);
  };
  for (const seam of seams) {
    const { name, source, closing } = seam;
    if (name !== sourceName(source).toLowerCase()) {
      faults.push(`${name}: its source is called ${sourceName(source)}`);
    }
    if (NO_SEAM.includes(source)) faults.push(`${name}: no adapter has source ${source}`);
    if (!Number.isInteger(closing) || closing < 1) {
      faults.push(`${name}: has no place in the closing order: ${closing}`);
    }
    claim(sources, source, "source", name);
    claim(places, closing, "place in the closing order", name);
    for (const key of Object.keys(seam.ofFound({ hasMemory: true }))) claim(keys, key, "config key", name);
  }
  return faults;
}

{
  const faults = seamFaults(SEAMS);
  assert(faults.length === 0, `the seams are in order: ${faults.join("; ")}`);
}

/**
 * Reads the keys of all seams of one endpoint's table.
 *
 * @param basics what was read of it already
 * @throws {Fault} `bad-argument` with file, line and key
 */
export function readSeams(table: TableReader, basics: EndpointBasics): SeamConfig {
  return together((seam) => seam.read(table, basics));
}

/** The same for a VM that was found: what a config would say of it. */
export function seamsOfFound(facts: FoundFacts): SeamConfig {
  return together((seam) => seam.ofFound(facts));
}

function together(part: (seam: AnySeam) => object): SeamConfig {
  return Object.assign({}, ...SEAMS.map(part)) as SeamConfig;
}
