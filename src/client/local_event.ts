/**
 * Events made by the client library itself: what a slow program has lost, and that the client has reconnected
 * to a daemon. They look like other events, but have no sequence number and are never sent.
 * @module
 */
import { monotonicClock } from "../../ffi/clock.ts";
import { type ControlId, NO_ENDPOINT } from "../base/ids.ts";
import { writeU64 } from "../base/layout.ts";
import { INLINE_BYTES } from "../base/limits.ts";
import { OVERRUN, RECONNECTED } from "../event/body_layout.ts";
import { DIR } from "../event/defaults.ts";
import { KIND, type Kind } from "../event/kind.ts";
import { PRIO } from "../event/priority.ts";
import { SOURCE } from "../event/source.ts";
import { FRAME, FRAME_MAGIC } from "../protocol/frame.ts";
import { ClientEvent } from "./client_event.ts";

/** What a program may have missed while there was no daemon. */
export interface Missed {
  /** How long there was none, as far as this client noticed, ns. */
  readonly awayNs: number;
  /** The last sequence number of the former connection; 0 = none. */
  readonly lastSeq: number;
  /** Number of attempts. */
  readonly attempts: number;
  /** This control's number at the new daemon. */
  readonly control: ControlId;
}

/** OVERRUN: events that this client dropped because a stream was not read. */
export function overrunEvent(lost: number, highestPrioLost: number): ClientEvent {
  return localEvent(KIND.OVERRUN, (inline) => {
    inline.setUint32(OVERRUN.at.lost, lost, true);
    inline.setUint32(OVERRUN.at.highestPrioLost, highestPrioLost, true);
  });
}

/** RECONNECTED: there is a daemon again. */
export function reconnectedEvent({ awayNs, lastSeq, attempts, control }: Missed): ClientEvent {
  return localEvent(KIND.RECONNECTED, (inline) => {
    writeU64(inline, RECONNECTED.at.awayNs, awayNs);
    inline.setUint32(RECONNECTED.at.lastSeq, lastSeq, true);
    inline.setUint32(RECONNECTED.at.attempts, attempts, true);
    inline.setUint32(RECONNECTED.at.control, control, true);
  });
}

/**
 * Makes an urgent event without an endpoint.
 *
 * @param fill writes the inline zone
 */
function localEvent(kind: Kind, fill: (inline: DataView) => void): ClientEvent {
  const view = new DataView(new ArrayBuffer(FRAME.body));
  view.setUint32(FRAME.magic, FRAME_MAGIC, true);
  view.setUint16(FRAME.kind, kind, true);
  view.setUint8(FRAME.source, SOURCE.CORE);
  view.setUint8(FRAME.dir, DIR.UP);
  view.setUint8(FRAME.prio, PRIO.URGENT);
  view.setUint32(FRAME.endpoint, NO_ENDPOINT, true);
  writeU64(view, FRAME.tsNs, monotonicClock.nowNs());
  fill(new DataView(view.buffer, FRAME.inline, INLINE_BYTES));
  return new ClientEvent(view, 0);
}
