/**
 * What a core is made of.
 * @module
 */
import type { Log } from "../base/log.ts";
import type { ArbitrationPolicy } from "../access/lease_table.ts";
import type { Source } from "../event/source.ts";
import type { LoopPort } from "./adapter_port.ts";
import type { SeamListener } from "./adapter_seat.ts";
import type { FaultBoundary } from "./fault_boundary.ts";

/** What a core is made of. */
export interface CoreOptions {
  /** The loop that drives it. */
  readonly loop: LoopPort;
  /** Where its parts log. */
  readonly log: Log;
  /** Who wins a contested lease; the higher arb_prio unless told. */
  readonly arbitration?: ArbitrationPolicy;
  /**
   * Sources in the order in which an endpoint's adapters close; each one that is attached must be among them.
   * Left out: the adapter that was opened last closes first.
   */
  readonly closingOrder?: readonly Source[];
  /** Told when a seam comes or goes: the roster. */
  readonly onSeam?: SeamListener;
  /**
   * Contains what controls and adapters throw: the loop's own, so that there is one count; its maker has it
   * tell {@linkcode Core.auditFault}. Left out: one of the core's own.
   */
  readonly faults?: FaultBoundary;
}
