/**
 * Why a monitor is not usable, in the protocol's numbers and in words: the reason of SEAM_DOWN, the code and
 * text of the ERROR with it, and what to do, for the log.
 * @module
 */
import { ERRNO, OsError } from "../../../ffi/os_error.ts";
import { CODE, type Code } from "../../base/codes.ts";
import { messageOf } from "../../base/fault.ts";
import { SEAM_REASON, type SeamReason } from "../../event/body_number.ts";

/** The loss of a monitor. */
export interface QmpLoss {
  /** The reason of SEAM_DOWN, one of SEAM_REASON. */
  readonly reason: SeamReason;
  /** The code of the ERROR. */
  readonly code: Code;
  /** The text of the ERROR, at most 40 bytes; the event names the VM. */
  readonly text: string;
  /** What a person should do, for the log. */
  readonly remedy: string;
}

/** Whether the VM's process has ended, at least on this host. */
export function isEndOfProcess({ reason }: QmpLoss): boolean {
  return reason === SEAM_REASON.PROCESS_GONE || reason === SEAM_REASON.MIGRATED;
}

/** The peer has closed the connection and is still running. */
export const PEER_CLOSED: QmpLoss = {
  reason: SEAM_REASON.PEER_CLOSED,
  code: CODE["seam-down"],
  text: "QEMU closed the QMP connection",
  remedy: "look into QEMU's own log; the connection is tried again",
};
/** The QEMU process has ended. */
export const PROCESS_GONE: QmpLoss = {
  reason: SEAM_REASON.PROCESS_GONE,
  code: CODE["seam-down"],
  text: "the QEMU process has ended",
  remedy: "start the VM again; the connection is tried again",
};
/** Connected, but silent. */
export const STALE: QmpLoss = {
  reason: SEAM_REASON.HEARTBEAT_STALE,
  code: CODE["timed-out"],
  text: "QEMU does not answer on QMP",
  remedy: "it is stopped (SIGSTOP) or stuck; it is used again as soon as it answers",
};
/** Connected without a greeting: the monitor serves one client at a time. */
export const HELD: QmpLoss = {
  reason: SEAM_REASON.HEARTBEAT_STALE,
  code: CODE.busy,
  text: "no QMP greeting: another client has it",
  remedy:
    "give vmsig a monitor of its own (-qmp unix:PATH,server=on,wait=off); it is used as soon as it is free",
};

/** vmsig listens, and QEMU has not connected. */
export const AWAITED: QmpLoss = {
  reason: SEAM_REASON.PROCESS_GONE,
  code: CODE["seam-down"],
  text: "QEMU has not connected to its QMP socket",
  remedy:
    "start the VM; one that runs connects again only with reconnect=1 (reconnect-ms=1000 from QEMU 9.2 on) in its -chardev",
};
/** Somebody has connected and does not greet. */
export const MUTE: QmpLoss = {
  reason: SEAM_REASON.HEARTBEAT_STALE,
  code: CODE["timed-out"],
  text: "who connected does not greet as QMP does",
  remedy:
    "QEMU is still starting, or it is another program; the next one that connects to this socket takes its place",
};

/** QEMU sends more events than a healthy machine. */
export const FLOOD: QmpLoss = {
  reason: SEAM_REASON.PROTOCOL_ERROR,
  code: CODE["protocol-error"],
  text: "QEMU floods QMP with events",
  remedy: "look for what this QEMU does; it is connected again after a pause that grows each time",
};

/**
 * Another process listens at the path that a process reported as its monitor.
 *
 * @param pid the listener; 0 if unknown
 */
export function impostorLoss(pid: number, expected: number): QmpLoss {
  return {
    reason: SEAM_REASON.NO_PERMISSION,
    code: CODE.refused,
    text: "another process listens on the QMP path",
    remedy: `process ${expected} names this monitor, and ${
      pid === 0 ? "another" : `process ${pid}`
    } listens there; if that is meant (socket activation), name it by an [[endpoint]]`,
  };
}

/** vmsig cannot listen for QEMU. */
export function listenLoss(error: unknown): QmpLoss {
  const remedy = messageOf(error);
  const refused = { reason: SEAM_REASON.NO_PERMISSION, code: CODE.refused, remedy };
  return {
    ...refused,
    text: error instanceof OsError
      ? `cannot listen for QEMU: ${error.errnoName}`
      : "cannot listen for QEMU at the path",
  };
}

/** A given connection has ended, and cannot be made again. */
export const GIVEN_ENDED: QmpLoss = {
  reason: SEAM_REASON.PEER_CLOSED,
  code: CODE["seam-down"],
  text: "the given QMP connection has ended",
  remedy: "whoever made the connection must make another and attach the VM again",
};

/** A TCP connection was not established in time. */
export const TCP_SILENT: QmpLoss = {
  reason: SEAM_REASON.PROCESS_GONE,
  code: CODE["timed-out"],
  text: "the QMP port does not answer",
  remedy: "the host is away, or a packet filter drops what is sent there; it is tried again",
};

/** A TCP connection failed. */
export function tcpLoss(error: OsError): QmpLoss {
  const remedy = messageOf(error);
  const gone = { reason: SEAM_REASON.PROCESS_GONE, code: CODE["seam-down"], remedy };
  switch (error.errno) {
    case ERRNO.ECONNREFUSED:
      return { ...gone, text: "nobody listens on the QMP port" };
    case ERRNO.ETIMEDOUT:
      return TCP_SILENT;
    case ERRNO.ENETUNREACH:
    case ERRNO.EHOSTUNREACH:
      return { ...gone, text: "there is no way to the QMP port's host" };
    case ERRNO.EAFNOSUPPORT:
      return {
        reason: SEAM_REASON.NO_PERMISSION,
        code: CODE.refused,
        text: "this process may not use TCP",
        remedy:
          "vmsigd.service allows unix sockets alone: use one, or add AF_INET and AF_INET6 to RestrictAddressFamilies= (systemctl edit vmsigd)",
      };
    default:
      return { ...gone, code: CODE.refused, text: `cannot connect to QMP: ${error.reason}` };
  }
}

/** The peer does not speak QMP. */
export function protocolLoss(why: string): QmpLoss {
  return {
    reason: SEAM_REASON.PROTOCOL_ERROR,
    code: CODE["protocol-error"],
    text: "what QMP sends is not QMP",
    remedy: `${why}; is the path a QMP socket (-qmp, or -mon with mode=control)?`,
  };
}

/**
 * A connection failed.
 *
 * @param isSocket false if the path is not a socket: the kernel's error is the same as for a socket without a
 *   listener
 */
export function connectLoss(error: unknown, isSocket = true): QmpLoss {
  const remedy = messageOf(error);
  const gone = { reason: SEAM_REASON.PROCESS_GONE, code: CODE["seam-down"], remedy };
  const wrong = { reason: SEAM_REASON.PROTOCOL_ERROR, code: CODE["bad-argument"], remedy };
  if (!(error instanceof OsError)) return { ...wrong, text: "the QMP path cannot be used" };
  switch (error.errno) {
    case ERRNO.ENOENT:
    case ERRNO.ENOTDIR:
      return { ...gone, text: "there is no QMP socket at its path" };
    case ERRNO.ECONNREFUSED:
      if (!isSocket) return { ...gone, text: "the QMP path is not a socket" };
      return { ...gone, text: "nobody listens on the QMP socket" };
    case ERRNO.EAGAIN:
      return HELD;
    case ERRNO.EACCES:
    case ERRNO.EPERM:
      return {
        reason: SEAM_REASON.NO_PERMISSION,
        code: CODE.refused,
        text: "no permission to use the QMP socket",
        remedy: `${remedy}; give this user write access to the socket and its folder`,
      };
    case ERRNO.EPROTOTYPE:
      return { ...wrong, text: "the QMP path is not a stream socket" };
    default:
      return { ...gone, code: CODE.refused, text: `cannot connect to QMP: ${error.reason}` };
  }
}
