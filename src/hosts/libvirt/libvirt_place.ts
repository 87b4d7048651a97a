/**
 * How a place in libvirt is written (`qmp = "libvirt:NAME"`), and what it leads to where libvirt is not used:
 * all that a daemon without a table [libvirt] loads of it.
 * @module
 */
import { CODE } from "../../base/codes.ts";
import { SEAM_REASON } from "../../event/body_number.ts";
import type { QmpLoss } from "../../qemu/monitor/qmp_loss.ts";
import { type QmpTransport, UNKNOWN_PEER } from "../../qemu/monitor/qmp_transport.ts";

/** What a place in libvirt begins with. */
export const LIBVIRT_PREFIX = "libvirt:";

const NOT_USED: QmpLoss = {
  reason: SEAM_REASON.PEER_CLOSED,
  code: CODE["not-supported"],
  text: "libvirt is not used: no [libvirt]",
  remedy: "add a table [libvirt] to the config, and start the daemon anew",
};

/** The way to a domain where libvirt is not used: there is none. */
export const NO_LIBVIRT: QmpTransport = {
  name: LIBVIRT_PREFIX,
  passesDescriptors: false,
  canReconnect: false,
  connect: () => ({ outcome: "failed", loss: NOT_USED }),
  finish: (socket) => ({ outcome: "connected", socket }),
  peerOf: () => UNKNOWN_PEER,
};
