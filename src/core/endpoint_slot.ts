/**
 * One endpoint on the bus: its number, its name and its adapters, one a seam. It knows which seams are up and
 * which commands wait behind one that stops the VM; it routes nothing.
 * @module
 */
import { assert } from "../base/assert.ts";
import type { EndpointId } from "../base/ids.ts";
import { EventQueue } from "../event/event_queue.ts";
import { SOURCE_MAX } from "../event/source.ts";
import type { TransferEvent } from "../event/transfer_event.ts";
import type { Adapter } from "./adapter_port.ts";

/** What an endpoint is made of. */
export interface EndpointSpec {
  /** Its number, 0 to 63. */
  readonly id: EndpointId;
  /** What it is called in the roster, the log and on the command line. */
  readonly name: string;
  /** The VM's id; 0 = none. */
  readonly vmid: number;
  /** Its seams; their sources are distinct. */
  readonly adapters: readonly Adapter[];
}

/** An attached endpoint. */
export class EndpointSlot {
  /** Its number. */
  readonly id: EndpointId;
  /** Its name. */
  readonly name: string;
  /** The VM's id; 0 = none. */
  readonly vmid: number;
  /** Its adapters, in the order in which they are opened. */
  readonly inOrder: readonly Adapter[];
  /** Adapter by source. */
  readonly adapters: readonly (Adapter | null)[];
  /** Bit 1 << source of each seam that is up. */
  seams = 0;
  /** The VM's process as a seam told it; 0 unknown. */
  pid = 0;
  /** The epoch of the memory context that is told and not invalidated; -1 = none is. */
  memctxEpoch: number = -1;
  /** It is being detached: no command reaches it any more. */
  leaving = false;
  /**
   * The command that will stop the VM as soon as what is held is released; the slot holds a reference to it.
   */
  stopping: TransferEvent | null = null;
  /** Commands that came after {@linkcode stopping} and must not overtake it. */
  readonly waiting: EventQueue = new EventQueue();

  /**
   * Makes a slot with every seam down.
   *
   * @param spec its adapters must have distinct sources
   */
  constructor(spec: EndpointSpec) {
    this.id = spec.id;
    this.name = spec.name;
    this.vmid = spec.vmid;
    const adapters: (Adapter | null)[] = new Array(SOURCE_MAX).fill(null);
    for (const adapter of spec.adapters) {
      assert(adapters[adapter.source] === null, "an endpoint has one adapter a seam");
      adapters[adapter.source] = adapter;
    }
    this.adapters = adapters;
    this.inOrder = spec.adapters;
  }
}
