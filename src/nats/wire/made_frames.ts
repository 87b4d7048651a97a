/**
 * Frames made on this side that look like those of a daemon: the outcome of a command without an answer, the
 * loss of a lease with its host, a roster entry, the number of lost events.
 * @module
 */
import type { Code } from "../../base/codes.ts";
import { type EndpointId, NO_ENDPOINT } from "../../base/ids.ts";
import { INLINE_BYTES } from "../../base/limits.ts";
import { ACT_ACK, ERROR, LEASE, OVERRUN, ROSTER } from "../../event/body_layout.ts";
import type { LeaseClass, LeaseRevocation } from "../../event/body_number.ts";
import { DIR } from "../../event/defaults.ts";
import { textParts, writeText } from "../../event/inline_text.ts";
import { KIND, type Kind } from "../../event/kind.ts";
import { PRIO, type Prio } from "../../event/priority.ts";
import { SOURCE } from "../../event/source.ts";
import { FRAME, FRAME_MAGIC } from "../../protocol/frame.ts";

const ERROR_TEXT_BYTES = 40;
const NAME_BYTES = 32;
const MOST_PARTS = 8;

/** The header fields of such a frame. */
export interface MadeHead {
  /** Its kind. */
  readonly kind: Kind;
  /** The VM; none by default. */
  readonly endpoint?: EndpointId;
  /** The corr of the command that it answers. */
  readonly corr?: number;
  /** Its priority; HIGH by default. */
  readonly prio?: Prio;
}

/** A frame of source CORE without a body. */
export function madeFrame(
  { kind, endpoint = NO_ENDPOINT, corr = 0, prio = PRIO.HIGH }: MadeHead,
  fill: (inline: DataView<ArrayBuffer>, bytes: Uint8Array<ArrayBuffer>) => void,
): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(FRAME.body);
  const view = new DataView(bytes.buffer);
  view.setUint32(FRAME.magic, FRAME_MAGIC, true);
  view.setUint16(FRAME.kind, kind, true);
  view.setUint8(FRAME.source, SOURCE.CORE);
  view.setUint8(FRAME.dir, DIR.UP);
  view.setUint8(FRAME.prio, prio);
  view.setUint32(FRAME.endpoint, endpoint, true);
  view.setUint32(FRAME.corr, corr, true);
  fill(new DataView(bytes.buffer, FRAME.inline, INLINE_BYTES), bytes.subarray(FRAME.inline, FRAME.body));
  return bytes;
}

/** The answer to a command refused here, preceded by its message. */
export function refusalFrames(
  { endpoint, corr, code, words }: {
    readonly endpoint: EndpointId;
    readonly corr: number;
    readonly code: Code;
    readonly words: string;
  },
): Uint8Array<ArrayBuffer>[] {
  const frames = textParts(words, ERROR_TEXT_BYTES, MOST_PARTS).map((text) =>
    madeFrame({ kind: KIND.ERROR, endpoint }, (inline, bytes) => {
      inline.setUint32(ERROR.at.code, code, true);
      inline.setUint32(ERROR.at.detail, corr, true);
      writeText(bytes, ERROR.at.text, ERROR_TEXT_BYTES, text);
    })
  );
  frames.push(ackFrame({ endpoint, corr, code }));
  return frames;
}

/** An answer that has only a code. */
export function ackFrame(
  { endpoint, corr, code, cmdKind = KIND.NONE, detail = 0 }: {
    readonly endpoint: EndpointId;
    readonly corr: number;
    readonly code: Code;
    readonly cmdKind?: Kind;
    readonly detail?: number;
  },
): Uint8Array<ArrayBuffer> {
  return madeFrame({ kind: KIND.ACT_ACK, endpoint, corr }, (inline) => {
    inline.setUint32(ACT_ACK.at.ok, code === 0 ? 1 : 0, true);
    inline.setUint32(ACT_ACK.at.code, code, true);
    inline.setUint32(ACT_ACK.at.cmdKind, cmdKind, true);
    inline.setUint32(ACT_ACK.at.detail, detail, true);
  });
}

/** A lease is lost. */
export function revokedFrame(
  endpoint: EndpointId,
  cls: LeaseClass,
  reason: LeaseRevocation,
): Uint8Array<ArrayBuffer> {
  return madeFrame({ kind: KIND.LEASE_REVOKED, endpoint, prio: PRIO.URGENT }, (inline) => {
    inline.setUint32(LEASE.at.cls, cls, true);
    inline.setUint32(LEASE.at.reason, reason, true);
  });
}

/** A roster entry. A name that is too long is cut. */
export function rosterFrame(
  { endpoint, state, seams, pid, vmid, name }: {
    readonly endpoint: EndpointId;
    readonly state: number;
    readonly seams: number;
    readonly pid: number;
    readonly vmid: number;
    readonly name: string;
  },
): Uint8Array<ArrayBuffer> {
  return madeFrame({ kind: KIND.ROSTER, endpoint }, (inline, bytes) => {
    inline.setUint32(ROSTER.at.state, state, true);
    inline.setUint32(ROSTER.at.seams, seams, true);
    inline.setUint32(ROSTER.at.pid, pid, true);
    inline.setUint32(ROSTER.at.vmid, vmid, true);
    writeText(bytes, ROSTER.at.name, NAME_BYTES, name);
  });
}

/** Events were lost on the way to the server. */
export function overrunFrame(lost: number, highestPrioLost: number): Uint8Array<ArrayBuffer> {
  return madeFrame({ kind: KIND.OVERRUN, prio: PRIO.URGENT }, (inline) => {
    inline.setUint32(OVERRUN.at.lost, lost, true);
    inline.setUint32(OVERRUN.at.highestPrioLost, highestPrioLost, true);
  });
}
