/**
 * What a seam is, in one entry: the source whose events cross it, its place in the order in which an
 * endpoint's adapters close, the keys that it has in an endpoint's config, and how its adapter is made. The
 * list of entries is seams.ts; each entry lies beside its adapter.
 *
 * An entry has two halves. The declaration ({@linkcode Seam}) is read by every thread and command that reads
 * a config; the maker ({@linkcode SeamMaker}) brings the adapter's code along, which only the loop's thread
 * loads, when the first VM comes: a declaration imports nothing of its adapter but types.
 * @module
 */
import type { WriteExtent } from "../access/write_extent.ts";
import type { Log } from "../base/log.ts";
import type { Adapter, LoopPort } from "../core/adapter_port.ts";
import type { Source, SourceName } from "../event/source.ts";
import type { TableReader } from "../toml/table_reader.ts";
import type { ScanPort } from "./memctx/scan_port.ts";
import type { QmpLink } from "../qemu/monitor/qmp_link.ts";

/** What every endpoint's config has, whatever its seams. */
export interface EndpointBasics {
  /** What it is called. */
  readonly name: string;
  /** Its number among the host's VMs; 0 = none. */
  readonly vmid: number;
  /** Path of a QMP socket of our own; undefined = none. */
  readonly qmp: string | undefined;
}

/** What the host probe knows of a VM that no config names. */
export interface FoundFacts {
  /** Whether its RAM can be shared. */
  readonly hasMemory: boolean;
}

/** No key of its own in an endpoint's config. */
export type NoKeys = Record<never, never>;

/**
 * A seam's declaration.
 *
 * @typeParam N its name
 * @typeParam C the keys that it adds to an endpoint's config: plain data that postMessage can carry
 */
export interface Seam<N extends string, C extends object> {
  /** What the roster, the metrics and the commands call it: its source's name in lower case. */
  readonly name: N & Lowercase<SourceName>;
  /** Whose events cross it. */
  readonly source: Source;
  /** Its place among the endpoint's seams when they close: 1 closes first. No two have the same. */
  readonly closing: number;
  /**
   * Reads the seam's keys of one endpoint's table.
   *
   * @param basics what was read of it already
   * @throws {Fault} `bad-argument` with file, line and key
   */
  read(table: TableReader, basics: EndpointBasics): C;
  /** The same for a VM that was found: what a config would say of it. */
  ofFound(facts: FoundFacts): C;
}

/** What the daemon offers to an adapter of a real VM. */
export interface SeamParts {
  /** The endpoint's monitor, shared by all of its seams; null when it has none. */
  readonly link: QmpLink | null;
  /** The daemon's log. */
  readonly log: Log;
  /** Where small state files go. */
  readonly runtimeDir: string;
  /** Opens guests' RAM and looks through it, off the loop. */
  readonly scanner: ScanPort;
  /** Where MEMWRITE may land, of all endpoints, as the config says now. */
  readonly extents: () => readonly WriteExtent[];
  /** The loop on which the adapter will live. */
  readonly loop: LoopPort;
  /** Called when somebody wants pictures: whoever makes them should run. Called often. */
  readonly onFrameWanted: () => void;
}

/**
 * Makes the adapter of a seam for one endpoint; null when the endpoint has no such seam. Must not throw: an
 * adapter that cannot work says so when it is opened.
 */
export type SeamMaker<C extends object> = (config: EndpointBasics & C, parts: SeamParts) => Adapter | null;
