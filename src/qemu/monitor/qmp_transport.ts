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

/** An attempt to connect. */
export type QmpAttempt =
  | { readonly outcome: "connected"; readonly socket: OwnedFd }
  /** There is no socket of ours in between: the transport carries the stream, and knows whose it is. */
  | { readonly outcome: "carried"; readonly open: OpenQmpStream; readonly peer: QmpPeer }
  /** It is decided when the socket is writable: then {@linkcode QmpTransport.finish} is asked. */
  | { readonly outcome: "connecting"; readonly socket: OwnedFd }
  /** Nobody has connected to {@linkcode QmpTransport.arrivals} yet; the door is told when somebody does. */
  | { readonly outcome: "awaited" }
  /** Somebody else listens at the address, and must not be disturbed often. */
  | { readonly outcome: "occupied"; readonly loss: QmpLoss }
  | { readonly outcome: "failed"; readonly loss: QmpLoss };

/** The peer, according to the kernel. */
export interface QmpPeer {
  /** The process; 0 if unknown. */
  readonly pid: number;
  /** Its user when it began to listen; -1 if unknown. */
  readonly uid: number;
}

/** Stands for an unknown peer. */
export const UNKNOWN_PEER: QmpPeer = { pid: 0, uid: -1 };

/** What a transport to which QEMU connects asks and tells its link. */
export interface QmpDoor {
  /** Whether a new connection would be used: the link has none, or one that has never said anything. */
  readonly isOpen: boolean;
  /** A connection has come, and {@linkcode QmpTransport.connect} returns it. */
  onArrival(): void;
}

/** The part of a transport to which QEMU connects. */
export interface QmpArrivals {
  /** The link has a user: {@linkcode QmpTransport.connect} listens from now on. */
  begin(door: QmpDoor): void;
  /** The link has no user left: nothing listens any more. */
  end(): void;
}

/** A way to connect to a monitor. */
export interface QmpTransport {
  /** The address, for logs and messages: "/run/web.qmp", "tcp:127.0.0.1:4444". */
  readonly name: string;
  /** Whether descriptors can be sent with a command (SCM_RIGHTS). */
  readonly passesDescriptors: boolean;
  /** Whether it can connect again, after a loss or for the next user. */
  readonly canReconnect: boolean;
  /** The access of the VM's manager besides the monitor; omitted if there is no manager. */
  readonly ways?: VmWays;
  /** If QEMU connects, and vmsig listens; omitted if vmsig connects. */
  readonly arrivals?: QmpArrivals;
  /** Starts to connect. It never blocks, and does not throw for anything that the other end does. */
  connect(): QmpAttempt;
  /**
   * Continues with a connection that has become writable.
   *
   * @param socket from the attempt, owned by the transport
   */
  finish(socket: OwnedFd): QmpAttempt;
  /**
   * The peer of a connection.
   *
   * @param fd a connected socket of this transport, borrowed
   */
  peerOf(fd: number): QmpPeer;
  /**
   * Why a connection was closed by the other end, if the transport knows; undefined: by QEMU itself. Omitted:
   * it never knows.
   */
  lossNow?(): QmpLoss | undefined;
  /**
   * The meaning of silence, if the transport knows, before the greeting and later. Omitted: another client
   * uses the monitor, or QEMU is stuck.
   */
  silenceNow?(): QmpLoss;
  /**
   * Silence after which a heartbeat is sent, ns, for a transport on which a heartbeat costs more than on
   * QEMU's own monitor. Omitted: see `link_pulse.ts`.
   */
  quietNs?(): number;
}
