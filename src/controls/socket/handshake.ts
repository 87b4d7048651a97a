/**
 * The opening of the control socket (src/event/PROTOCOL.md): HELLO in, WELCOME or REFUSED out. Bodies are
 * CBOR maps; what a peer sends is checked field by field.
 * @module
 */
import { encode } from "cborg";
import { messageOf } from "../../base/fault.ts";
import {
  FRAME_HEADER_BYTES,
  MAX_CONTROL_NAME_BYTES,
  MAX_HELLO_BYTES,
  MAX_HELLO_DEPTH,
} from "../../base/limits.ts";
import { oneLine, printable } from "../../base/printable.ts";
import { type Grant, maskAnd, maskFromCbor, maskToBigInt } from "../../access/grant.ts";
import { type Subscription, subscriptionOf } from "../../access/subscription.ts";
import { ERROR } from "../../event/body_layout.ts";
import { decodeBounded } from "../../event/bounded_cbor.ts";
import { DIR } from "../../event/defaults.ts";
import { encodeFrame } from "../../event/frame.ts";
import { writeText } from "../../event/inline_text.ts";
import { KIND } from "../../event/kind.ts";
import { PRIO, PRIO_COUNT } from "../../event/priority.ts";
import { ALL_SOURCES, SOURCE } from "../../event/source.ts";
import { BODY, EventPool, type TransferEvent } from "../../event/transfer_event.ts";

/** The protocol's version. */
export const PROTOCOL = 1;
/** Characters of what a peer said that are quoted to it or in the log. */
const MOST_QUOTED = 64;
/** Characters of a REFUSED's reason: whatever it quotes, the frame can be sent. */
const MOST_REASON = 512;
const BOUNDS = { bytes: MAX_HELLO_BYTES, depth: MAX_HELLO_DEPTH };

/** A HELLO that is in order, or what is wrong with it. */
export type Hello =
  | { readonly ok: true; readonly name: string; readonly subscription: Subscription }
  | { readonly ok: false; readonly reason: string; readonly unsupported: boolean };

/**
 * Reads a HELLO's body. Absent parts of `sub` want everything; keys that it does not know are left alone.
 * Never throws, whatever the body is.
 */
export function readHello(body: Uint8Array): Hello {
  let map: unknown;
  try {
    map = decodeBounded(body, BOUNDS);
  } catch (error) {
    return bad(`HELLO is no CBOR: ${messageOf(error)}`);
  }
  if (!isRecord(map)) return bad("HELLO is no CBOR map");
  if (map["proto"] !== PROTOCOL) {
    return {
      ok: false,
      unsupported: true,
      reason: `this daemon speaks protocol ${PROTOCOL}, not ${quoted(map["proto"])}`,
    };
  }
  const name = map["name"] ?? "";
  if (typeof name !== "string") return bad("HELLO: name is no text");
  const sub = map["sub"] ?? {};
  if (!isRecord(sub)) return bad("HELLO: sub is no map");
  const sources = sub["sources"] ?? ALL_SOURCES;
  if (!isU32(sources)) return bad("HELLO: sub.sources is no 32-bit mask");
  const prioMin = sub["prio_min"] ?? 0;
  if (!isU32(prioMin) || prioMin >= PRIO_COUNT) return bad("HELLO: sub.prio_min is no priority from 0 to 3");
  const endpoints = maskFromCbor(sub["endpoints"] ?? 0);
  if (endpoints === undefined) return bad("HELLO: sub.endpoints is no 64-bit mask");
  return {
    ok: true,
    name: cut(name, MAX_CONTROL_NAME_BYTES),
    subscription: subscriptionOf(sources, prioMin, endpoints),
  };
}

/** A WELCOME frame: what of the grant the subscription leaves. */
export function welcomeFrame(control: number, grant: Grant, subscription: Subscription): Uint8Array {
  return frame(KIND.WELCOME, {
    proto: PROTOCOL,
    control,
    principal: grant.principal,
    endpoints: maskToBigInt(maskAnd(grant.endpoints, subscription.endpoints)),
    sources: grant.sources & subscription.sources,
    caps: grant.caps,
    arb_prio: grant.arbPrio,
  });
}

/** An ERROR frame with code protocol-error, for a peer that is not on the bus. */
export function errorFrame(code: number, text: string): Uint8Array {
  const event = new EventPool(0).acquire();
  event.kind = KIND.ERROR;
  event.source = SOURCE.CORE;
  event.dir = DIR.UP;
  event.prio = PRIO.URGENT;
  event.endpoint = 0xffffffff;
  event.view.setUint32(ERROR.at.code, code, true);
  writeText(event.inline, ERROR.at.text, 40, text);
  return encoded(event);
}

/** A REFUSED frame. */
export function refusedFrame(code: number, reason: string): Uint8Array {
  return frame(KIND.REFUSED, { code, reason: oneLine(reason).slice(0, MOST_REASON) });
}

function frame(kind: number, body: Record<string, unknown>): Uint8Array {
  const event = new EventPool(0).acquire();
  event.kind = kind;
  event.source = SOURCE.CORE;
  event.dir = DIR.UP;
  event.prio = PRIO.URGENT;
  event.setBody(BODY.CBOR, encode(body));
  return encoded(event);
}

function encoded(event: TransferEvent): Uint8Array {
  const bytes = new Uint8Array(FRAME_HEADER_BYTES + event.bodyBytes);
  encodeFrame(event, 0, new DataView(bytes.buffer), bytes, 0);
  event.release();
  return bytes;
}

function bad(reason: string): Hello {
  return { ok: false, unsupported: false, reason };
}

/**
 * What a peer said in place of a number, as it may be quoted: never its own conversion to text, which may
 * throw or have no end.
 */
function quoted(value: unknown): string {
  switch (typeof value) {
    case "number":
    case "bigint":
    case "boolean":
    case "undefined":
      return String(value);
    case "string":
      return JSON.stringify(printable(value, MOST_QUOTED));
    default:
      return value === null ? "null" : Array.isArray(value) ? "a list" : isRecord(value) ? "a map" : "bytes";
  }
}

/** The beginning of a text, of so many bytes of UTF-8 at most. */
function cut(text: string, bytes: number): string {
  const into = new Uint8Array(bytes);
  return text.slice(0, new TextEncoder().encodeInto(text, into).read);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) &&
    !(value instanceof Uint8Array);
}

function isU32(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= 0xffffffff;
}
