/**
 * What a VM's adapters know about its monitor's further behaviour: QEMU is saving or loading a snapshot and
 * will not respond meanwhile; or the VM has migrated to another host, and its process here is about to end.
 * @module
 */
import { CODE } from "../../base/codes.ts";
import { SEAM_REASON } from "../../event/body_number.ts";
import type { QmpLoss } from "./qmp_loss.ts";

/** The loss when the QEMU process has ended but its VM runs elsewhere. */
export const MIGRATED: QmpLoss = {
  reason: SEAM_REASON.MIGRATED,
  code: CODE["seam-down"],
  text: "the VM has migrated to another host",
  remedy: "watch it on the host to which it went; it is attached again when it comes back",
};

/** The loss before its cause is known. */
const NOT_YET = "the VM's monitor has not answered yet: it is being connected to";

/** The expectations about one monitor. */
export class LinkOutlook {
  /** Time until which QEMU may be silent without being considered stuck, ns; 0 = the normal limits. */
  silentUntilNs = 0;
  /** Whether the VM has left this host, and only its process remains. */
  hasLeft = false;
  /** Why it is down, and what to do, for requests to the VM in that state. */
  away: string = NOT_YET;

  /**
   * A loss as it is reported: if the VM has left its process, the end of the process is not the end of the
   * VM. `away` returns it from then on.
   */
  explained(loss: QmpLoss): QmpLoss {
    const told = this.hasLeft && loss.reason === SEAM_REASON.PROCESS_GONE ? MIGRATED : loss;
    this.away = `${told.text}: ${told.remedy}`;
    return told;
  }
}
