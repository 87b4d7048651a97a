/**
 * How a monitor is reached: the port between a link and the ways of getting a connection to a QEMU. A
 * transport gives connected stream sockets, or streams that it carries itself, one after another, and says
 * what is known of who is at the other end. It speaks no QMP.
 * @module
 */
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import type { OpenQmpStream } from "./qmp_stream.ts";
import type { QmpLoss } from "./qmp_loss.ts";
import type { VmWays } from "./vm_ways.ts";

/** A try to connect. */
export type QmpAttempt =
  | { readonly outcome: "connected"; readonly socket: OwnedFd }
  /** There is no socket of ours in between: the transport carries the stream, and knows whose it is. */
  | { readonly outcome: "carried"; readonly open: OpenQmpStream; readonly peer: QmpPeer }
  /** It is decided when the socket is writable: then {@linkcode QmpTransport.finish} is asked. */
  | { readonly outcome: "connecting"; readonly socket: OwnedFd }
  | { readonly outcome: "failed"; readonly loss: QmpLoss };

/** Who is at the other end, by the kernel's word. */
export interface QmpPeer {
  /** The process; 0 when it cannot be known. */
  readonly pid: number;
  /** Its user when it began to listen; -1 when it cannot be known. */
  readonly uid: number;
}

/** Nobody that the kernel could name. */
export const UNKNOWN_PEER: QmpPeer = { pid: 0, uid: -1 };

/** A way to a monitor. */
export interface QmpTransport {
  /** The place, for logs and messages: "/run/web.qmp", "tcp:127.0.0.1:4444". */
  readonly name: string;
  /** Whether descriptors can go with a command (SCM_RIGHTS). */
  readonly passesDescriptors: boolean;
  /** Whether it can be connected again, after a loss or by a next user. */
  readonly canReconnect: boolean;
  /** What the manager of the VM opens beside its monitor; absent: nobody manages it. */
  readonly ways?: VmWays;
  /** Begins to connect. It never waits and never throws for what the other end does. */
  connect(): QmpAttempt;
  /**
   * Goes on with a connection that is writable now.
   *
   * @param socket of the attempt before, which the transport takes over
   */
  finish(socket: OwnedFd): QmpAttempt;
  /**
   * Who is at the other end.
   *
   * @param fd a connected socket of this transport's, borrowed
   */
  peerOf(fd: number): QmpPeer;
  /**
   * Why a connection has ended that the other end closed, when the way itself knows; undefined: it is QEMU's
   * own doing. Absent: it never knows.
   */
  lossNow?(): QmpLoss | undefined;
  /**
   * What it means that nothing comes, when the way itself knows: before the greeting and later. Absent:
   * another client has the monitor, or QEMU is stuck.
   */
  silenceNow?(): QmpLoss;
  /**
   * How long nothing may come before a sign of life is asked for now, ns, where asking costs others more than
   * a QEMU's own monitor. Absent: see `link_pulse.ts`.
   */
  quietNs?(): number;
}
