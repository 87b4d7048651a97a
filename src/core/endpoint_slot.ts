/**
 * One endpoint on the bus: its number, its name and its adapters, one a seam. It knows which seams are up; it routes nothing.
 * @module
 */
import type { EndpointId } from "../base/ids.ts";
import { SOURCE_MAX } from "../event/source.ts";
import type { Adapter } from "./adapter_port.ts";

/** What an endpoint is made of. */
export interface EndpointSpec {
  readonly id: EndpointId;
  readonly name: string;
  readonly vmid: number;
  readonly adapters: readonly Adapter[];
}

/** An attached endpoint. */
export class EndpointSlot {
  readonly id: EndpointId;
  readonly name: string;
  readonly vmid: number;
  /** Adapter by source. */
  readonly adapters: readonly (Adapter | null)[];
  /** Bit 1 << source of each seam that is up. */
  seams = 0;
  /** The VM's process as a seam told it; 0 unknown. */
  pid = 0;
  /** It is being detached: no command reaches it any more. */
  leaving = false;

  /** @param spec its adapters must have distinct sources */
  constructor(spec: EndpointSpec) {
    this.id = spec.id;
    this.name = spec.name;
    this.vmid = spec.vmid;
    const adapters: (Adapter | null)[] = new Array(SOURCE_MAX).fill(null);
    for (const adapter of spec.adapters) adapters[adapter.source] = adapter;
    this.adapters = adapters;
  }
}
