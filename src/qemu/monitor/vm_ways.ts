/**
 * What a manager of VMs opens at one of its VMs beside the monitor: the ends of channels that it holds itself
 * or that only it may reach. A host integration implements it (src/hosts); a VM without a manager has none.
 * @module
 */
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import type { Code } from "../../base/codes.ts";

/** The outcome of opening one. */
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
    /** Why, and what to do; escaped. */
    readonly why: string;
  };

/** Told once, maybe before the call returns. */
export type WayHandler = (result: WayResult) => void;

/** The ways to one VM. */
export interface VmWays {
  /** A connection to the VNC server in its QEMU, past any password. */
  openVnc(done: WayHandler): void;
  /**
   * One of its consoles.
   *
   * @param label QEMU's name for the character device
   */
  openConsole(label: string, done: WayHandler): void;
  /** The agent in its guest, as its channel speaks: JSON lines, with guest-sync-delimited. */
  openAgent(done: WayHandler): void;
}
