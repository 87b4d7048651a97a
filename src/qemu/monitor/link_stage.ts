/**
 * The states of a link, each with its open resources.
 * @module
 */
import { MS, SECOND } from "../../base/clock.ts";
import { HELD, MUTE, type QmpLoss, STALE } from "./qmp_loss.ts";
import type { QmpSession } from "./qmp_session.ts";
import type { QmpDoor, QmpTransport } from "./qmp_transport.ts";

/** The state of a link, with its open resources. */
export type LinkStage =
  /** In `waiting`, QEMU has not connected to the socket on which vmsig listens. */
  | { readonly at: "idle" | "pausing" | "connecting" | "waiting" }
  /** With a connection: in `held` or `stale` the peer is silent, in `ending` the stream has ended. */
  | { readonly at: "opening" | "held" | "up" | "stale" | "ending"; readonly session: QmpSession };

/** The name of the state. */
export type QmpLinkState = LinkStage["at"];

/** The states without resources. */
export const STAGE = {
  /** Without users. */
  IDLE: { at: "idle" },
  /** Until it is time to connect. */
  PAUSING: { at: "pausing" },
  /** A connection is being made. */
  CONNECTING: { at: "connecting" },
  /** Until QEMU connects. */
  WAITING: { at: "waiting" },
} as const satisfies Record<string, LinkStage>;

/** How long a step may take, ns. */
export const LIMIT_NS = {
  /** A connection. */
  CONNECT: 2.75 * SECOND,
  /** The greeting, before it is missed. */
  GREETING: SECOND,
  /** The first answers. */
  FIRST_ANSWER: 2.75 * SECOND,
  /** The end of a process, which is releasing its guest's RAM, after the end of its stream. */
  PROCESS_END: 300 * MS,
} as const;

/** The states in which a connection that QEMU makes is used, at once or after a pause. */
const OPEN_TO_ARRIVALS: readonly QmpLinkState[] = ["waiting", "pausing", "connecting", "held", "ending"];

/**
 * What a transport to which QEMU connects is told of its link. Who has connected and never greets makes room
 * for the next one.
 *
 * @param stateOf the link's state
 */
export function doorOf(
  stateOf: () => QmpLinkState,
  connect: () => void,
  lose: (loss: QmpLoss) => void,
): QmpDoor {
  return {
    get isOpen() {
      return OPEN_TO_ARRIVALS.includes(stateOf());
    },
    onArrival: () => {
      if (stateOf() === "waiting") connect();
      else if (stateOf() === "held") lose(MUTE);
    },
  };
}

/** The meaning of a silence, in general before the greeting (`held`) or after it. */
export function silenceOf(at: "held" | "stale", transport: QmpTransport): QmpLoss {
  const known = transport.silenceNow?.();
  if (known !== undefined) return known;
  if (at === "stale") return STALE;
  return transport.arrivals === undefined ? HELD : MUTE;
}
