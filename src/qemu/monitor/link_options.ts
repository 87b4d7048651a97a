/**
 * How a link is made, and what its commands have beside name and arguments.
 * @module
 */
import type { Log } from "../../base/log.ts";
import type { ProcessIdentity } from "../process_identity.ts";
import type { MonitorLoop } from "./monitor_loop.ts";
import type { QmpTransport } from "./qmp_transport.ts";
import type { VmWays } from "./vm_ways.ts";

/** How a link is made. */
export interface QmpLinkOptions {
  /** The way to the monitor, or the path of its unix socket. */
  readonly path: string | QmpTransport;
  /** The loop it lives on. */
  readonly loop: MonitorLoop;
  /**
   * The process that must listen there, as the kernel tells (SO_PEERCRED): nobody vouches for a path but the
   * process that names it. Absent: whoever listens is the one, by the word of whoever named the path; under
   * socket activation that is not QEMU itself.
   */
  readonly expected?: ProcessIdentity;
  /**
   * What a manager opens of the VM of a process, where another way than the manager's leads to its monitor.
   * Absent: there is no manager.
   */
  readonly waysOf?: (pid: number) => VmWays | undefined;
  /** Where it tells what happens to it. */
  readonly log?: Log;
  /** False for a peer that need not be watched: no heartbeat, no timer while it is up. */
  readonly heartbeat?: boolean;
}

/** What a command has beside its name and arguments. */
export interface QmpCommandOptions {
  /** Comes back with the reply; 0 unless given. */
  readonly tag?: number;
  /** How long to wait for QEMU's answer, from now. */
  readonly timeoutNs: number;
  /**
   * Descriptors that QEMU gets with the command (getfd, add-fd), borrowed for the call: what goes to QEMU are
   * copies, so the caller may close its own as soon as this returns, whatever becomes of the command. QEMU's
   * commands take the first one and close the others. A command that takes none leaves them lying in QEMU for
   * the next one: give them to those two only.
   */
  readonly fds?: readonly number[];
}
