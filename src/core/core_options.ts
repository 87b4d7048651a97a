/**
 * The options of a core.
 * @module
 */
import type { Log } from "../base/log.ts";
import type { ArbitrationPolicy } from "../access/lease_table.ts";
import type { Source } from "../event/source.ts";
import type { LoopPort } from "./adapter_port.ts";
import type { SeamListener } from "./adapter_seat.ts";
import type { FaultBoundary } from "./fault_boundary.ts";

/** The options of a core. */
export interface CoreOptions {
  /** The loop that drives it. */
  readonly loop: LoopPort;
  /** The log of its parts. */
  readonly log: Log;
  /** Decides who gets a contested lease; by default the control with the higher arb_prio. */
  readonly arbitration?: ArbitrationPolicy;
  /**
   * Sources in the order in which an endpoint's adapters close; it must include each one that is attached.
   * Omitted: the adapter that was opened last closes first.
   */
  readonly closingOrder?: readonly Source[];
  /** Called when a seam comes up or goes down, for the roster. */
  readonly onSeam?: SeamListener;
  /**
   * Contains what controls and adapters throw. Normally the loop's boundary, so that there is one count; its
   * maker connects it to {@linkcode Core.auditFault}. Omitted: the core makes its own.
   */
  readonly faults?: FaultBoundary;
}
