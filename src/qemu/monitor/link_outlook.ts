/**
 * What a VM's adapters know that explains what its monitor does next: QEMU saves or loads a snapshot and says
 * nothing meanwhile; the VM has migrated to another host, and its process here is about to end.
 * @module
 */
import { CODE } from "../../base/codes.ts";
import { SEAM_REASON } from "../../event/body_number.ts";
import type { QmpLoss } from "./qmp_loss.ts";

/** The QEMU process has ended, and its VM runs elsewhere. */
export const MIGRATED: QmpLoss = {
  reason: SEAM_REASON.MIGRATED,
  code: CODE["seam-down"],
  text: "the VM has migrated to another host",
  remedy: "watch it on the host to which it went; it is attached again when it comes back",
};

/** Why a monitor cannot be used before it is known why. */
const NOT_YET = "the VM's monitor has not answered yet: it is being connected to";

/** What is expected of one monitor. */
export class LinkOutlook {
  /** Until when QEMU may say nothing, and lives; 0 = as always. */
  silentUntilNs = 0;
  /** Whether the VM has left this host: what remains is a process without it. */
  hasLeft = false;
  /** Why it cannot be used when it is down, and what to do: for whoever asks something of the VM then. */
  away: string = NOT_YET;

  /**
   * A loss as it is reported: when a VM has left its process, the end of that process is not the end of the
   * VM. It is what `away` says from then on.
   */
  explained(loss: QmpLoss): QmpLoss {
    const told = this.hasLeft && loss.reason === SEAM_REASON.PROCESS_GONE ? MIGRATED : loss;
    this.away = `${told.text}: ${told.remedy}`;
    return told;
  }
}
