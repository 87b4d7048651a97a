/**
 * One endpoint on the bus: its number, its name and its adapters, one per seam. It records which seams are up
 * and which commands are queued behind one that stops the VM; it routes nothing.
 * @module
 */
import { assert } from "../base/assert.ts";
import type { EndpointId } from "../base/ids.ts";
import { EventQueue } from "../event/event_queue.ts";
import { SOURCE_MAX } from "../event/source.ts";
import type { TransferEvent } from "../event/transfer_event.ts";
import type { Adapter } from "./adapter_port.ts";

/** The properties of an endpoint. */
export interface EndpointSpec {
  /** Its number, 0 to 63. */
  readonly id: EndpointId;
  /** Its name in the roster, the log and on the command line. */
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
  /** The VM's process as reported by a seam; 0 unknown. */
  pid = 0;
  /** The epoch of the memory context that was announced and not invalidated; -1 = none. */
  memctxEpoch: number = -1;
  /** It is being detached: commands no longer reach it. */
  leaving = false;
  /**
   * The command that will stop the VM as soon as what is held is released; the slot owns a reference to it.
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
