/**
 * A manager's access to one of its VMs besides the monitor: the ends of channels that the manager owns or
 * that only it may open. Implemented by a host integration (src/hosts); a VM without a manager has none.
 * @module
 */
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import type { Code } from "../../base/codes.ts";

/** The result of opening a channel. */
export type WayResult =
  | {
    readonly ok: true;
    /** A connected, nonblocking stream socket; the listener owns it. */
    readonly socket: OwnedFd;
  }
  | {
    readonly ok: false;
    /** One of the protocol's codes. */
    readonly code: Code;
    /** The reason, and what to do; escaped. */
    readonly why: string;
  };

/** Called once, possibly before the call returns. */
export type WayHandler = (result: WayResult) => void;

/** The channels of one VM. */
export interface VmWays {
  /** Connects to the VNC server in its QEMU, without its password. */
  openVnc(done: WayHandler): void;
  /**
   * Opens one of its consoles.
   *
   * @param label QEMU's id of the character device
   */
  openConsole(label: string, done: WayHandler): void;
  /** Opens the channel of its guest agent: JSON lines, with guest-sync-delimited. */
  openAgent(done: WayHandler): void;
}
