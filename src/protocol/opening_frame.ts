/**
 * Whole frames of the opening, for who has no queue to send them from: the peer is not on the bus yet.
 * @module
 */
import type { Code } from "../base/codes.ts";
import { FRAME_HEADER_BYTES } from "../base/limits.ts";
import { NO_ENDPOINT } from "../base/ids.ts";
import { ERROR } from "../event/body_layout.ts";
import { DIR, type Dir } from "../event/defaults.ts";
import { writeText } from "../event/inline_text.ts";
import { KIND, type Kind } from "../event/kind.ts";
import { PRIO, type Prio } from "../event/priority.ts";
import { SOURCE, type Source } from "../event/source.ts";
import { BODY, EventPool, type TransferEvent } from "../event/transfer_event.ts";
import { encodeFrame } from "./frame.ts";
import { type Hello, helloBody } from "./hello.ts";
import { refusedBody, type Welcome, welcomeBody } from "./welcome.ts";

/** Bytes of an ERROR's text. */
const ERROR_TEXT_BYTES = 40;

/** A frame's bytes, in a buffer of their own. */
export type FrameBytes = Uint8Array<ArrayBuffer>;

/** A HELLO. */
export function helloFrame(hello: Partial<Hello> & Pick<Hello, "name">): FrameBytes {
  return frame({ kind: KIND.HELLO, source: SOURCE.NONE, dir: DIR.DOWN, prio: PRIO.BULK }, helloBody(hello));
}

/** A WELCOME. */
export function welcomeFrame(welcome: Welcome): FrameBytes {
  return frame({ kind: KIND.WELCOME, ...FROM_CORE }, welcomeBody(welcome));
}

/** A REFUSED. */
export function refusedFrame(code: Code, reason: string): FrameBytes {
  return frame({ kind: KIND.REFUSED, ...FROM_CORE }, refusedBody(code, reason));
}

/** An ERROR, for a peer that is not on the bus. */
export function errorFrame(code: Code, text: string): FrameBytes {
  const event = blank({ kind: KIND.ERROR, ...FROM_CORE });
  event.endpoint = NO_ENDPOINT;
  event.view.setUint32(ERROR.at.code, code, true);
  writeText(event.inline, ERROR.at.text, ERROR_TEXT_BYTES, text);
  return encoded(event);
}

interface Head {
  readonly kind: Kind;
  readonly source: Source;
  readonly dir: Dir;
  readonly prio: Prio;
}

const FROM_CORE = { source: SOURCE.CORE, dir: DIR.UP, prio: PRIO.URGENT } as const;

function blank({ kind, source, dir, prio }: Head): TransferEvent {
  const event = new EventPool(0).acquire();
  event.kind = kind;
  event.source = source;
  event.dir = dir;
  event.prio = prio;
  return event;
}

function frame(head: Head, body: Uint8Array): FrameBytes {
  const event = blank(head);
  event.setBody(BODY.CBOR, body);
  return encoded(event);
}

function encoded(event: TransferEvent): FrameBytes {
  const bytes = new Uint8Array(FRAME_HEADER_BYTES + event.bodyBytes);
  encodeFrame(event, 0, new DataView(bytes.buffer), bytes, 0);
  event.release();
  return bytes;
}
