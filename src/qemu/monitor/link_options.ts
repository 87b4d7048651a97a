/**
 * The options of a link and of its commands.
 * @module
 */
import type { Log } from "../../base/log.ts";
import type { ProcessIdentity } from "../process_identity.ts";
import type { MonitorLoop } from "./monitor_loop.ts";
import type { QmpTransport } from "./qmp_transport.ts";
import type { VmWays } from "./vm_ways.ts";

/** The options of a link. */
export interface QmpLinkOptions {
  /** The transport, or the path of the monitor's unix socket. */
  readonly path: string | QmpTransport;
  /** The loop that it runs on. */
  readonly loop: MonitorLoop;
  /**
   * The process that must listen there, according to the kernel (SO_PEERCRED), because only the process that
   * reported a path can confirm it. Omitted: any listener is accepted on the word of whoever configured the
   * path; with socket activation it is not QEMU itself.
   */
  readonly expected?: ProcessIdentity;
  /**
   * A manager's access to the VM of a process, if the monitor is reached in another way than through the
   * manager. Omitted: there is no manager.
   */
  readonly waysOf?: (pid: number) => VmWays | undefined;
  /** Its log. */
  readonly log?: Log;
  /** False for a peer that need not be watched: no heartbeat, no timer while it is up. */
  readonly heartbeat?: boolean;
}

/** The options of a command. */
export interface QmpCommandOptions {
  /** Returned with the reply; 0 by default. */
  readonly tag?: number;
  /** Time limit of QEMU's answer, ns. */
  readonly timeoutNs: number;
  /**
   * Descriptors for QEMU (getfd, add-fd), borrowed for the call: copies are sent, so the caller may close its
   * own when this returns, whatever becomes of the command. QEMU's commands take the first one and close the
   * others. A command that takes none leaves them in QEMU for the next one, so they must be passed to those
   * two commands only.
   */
  readonly fds?: readonly number[];
}
