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

/** What is expected of one monitor. */
export class LinkOutlook {
  /** Until when QEMU may say nothing, and lives; 0 = as always. */
  silentUntilNs = 0;
  /** Whether the VM has left this host: what remains is a process without it. */
  hasLeft = false;

  /** A loss as it is told: the end of a process whose VM has left is no end of the VM. */
  explained(loss: QmpLoss): QmpLoss {
    return this.hasLeft && loss.reason === SEAM_REASON.PROCESS_GONE ? MIGRATED : loss;
  }
}
