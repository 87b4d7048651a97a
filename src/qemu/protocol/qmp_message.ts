/**
 * Parses one line of QMP into one of four messages. The peer's data is checked, never trusted. The format is
 * described in QEMU's docs/interop/qmp-spec.
 * @module
 */

/** A QMP event, such as STOP. */
export interface QmpEvent {
  /** Its name: "STOP". */
  readonly name: string;
  /** Its data; empty when it carries none. */
  readonly data: QmpData;
}

/** An object in a message; its members are not checked. */
export type QmpData = Readonly<Record<string, unknown>>;

/** The id of a reply without one: to a command sent without. */
export const NO_ID = 0;

/**
 * A parsed line; `garbage` says what is wrong with an invalid one. A reply's id is above 0, or {@linkcode
 * NO_ID}.
 */
export type QmpMessage =
  | { readonly kind: "greeting"; readonly version: string }
  | { readonly kind: "return"; readonly id: number; readonly value: unknown }
  | {
    readonly kind: "error";
    readonly id: number;
    readonly errorClass: string;
    readonly errorText: string;
  }
  | { readonly kind: "event"; readonly event: QmpEvent }
  | { readonly kind: "garbage"; readonly why: string };

/** No data, and what a command returns that returns nothing. */
export const NOTHING: QmpData = Object.freeze({});
const ENCODER = new TextEncoder();
const EMPTY_RETURNS = ['{"return": {}', '{"return":{}'].map((text) => ENCODER.encode(text));
const IDS = [', "id": ', ',"id":'].map((text) => ENCODER.encode(text));
const MOST_EMPTY_BYTES = 24;
const [CLOSE = 0, ZERO = 0] = ENCODER.encode("}0");
const decoder = new TextDecoder("utf-8", { fatal: true });

/** Parses one line: `bytes[from..to)`. */
export function parseQmpLine(bytes: Uint8Array, from: number, to: number): QmpMessage {
  let message: unknown;
  try {
    message = JSON.parse(decoder.decode(bytes.subarray(from, to)));
  } catch {
    // The expected outcome of a peer that does not speak QMP.
    return garbage("a line is not JSON");
  }
  if (!isObject(message)) return garbage("a line is not a JSON object");
  if ("return" in message) {
    const id = idOf(message);
    return id === undefined
      ? garbage("a reply's id is not one of ours")
      : { kind: "return", id, value: message["return"] };
  }
  if ("event" in message) return eventOf(message);
  if ("error" in message) return errorOf(message);
  if ("QMP" in message) return { kind: "greeting", version: versionOf(message["QMP"]) };
  return garbage("an object is not a QMP message");
}

/**
 * The id of a reply that is `{"return": {}}` and no more, as most commands have it: it need not be read as
 * JSON. Undefined for every other line, and for one that is spaced otherwise than QEMU or libvirt do it.
 */
export function emptyReturnId(bytes: Uint8Array, from: number, to: number): number | undefined {
  const length = to - from;
  if (length > MOST_EMPTY_BYTES) return undefined;
  for (const start of EMPTY_RETURNS) {
    if (!isAt(bytes, from, start)) continue;
    if (length === start.length + 1) return bytes[to - 1] === CLOSE ? NO_ID : undefined;
    for (const id of IDS) {
      // One digit and the last brace follow.
      const at = from + start.length;
      if (length !== start.length + id.length + 2 || !isAt(bytes, at, id)) continue;
      const digit = (bytes[to - 2] ?? 0) - ZERO;
      return digit > NO_ID && digit <= 9 && bytes[to - 1] === CLOSE ? digit : undefined;
    }
  }
  return undefined;
}

function isAt(bytes: Uint8Array, at: number, wanted: Uint8Array): boolean {
  for (let i = 0; i < wanted.length; i++) if (bytes[at + i] !== wanted[i]) return false;
  return true;
}

/** Whether a value is a JSON object. */
export function isObject(value: unknown): value is QmpData {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function eventOf(message: QmpData): QmpMessage {
  const name = message["event"];
  if (typeof name !== "string") return garbage("an event has no name");
  const data = message["data"];
  return { kind: "event", event: { name, data: isObject(data) ? data : NOTHING } };
}

function errorOf(message: QmpData): QmpMessage {
  const id = idOf(message);
  const error = message["error"];
  if (!isObject(error)) return garbage("an error is not an object");
  const errorClass = typeof error["class"] === "string" ? error["class"] : "";
  const errorText = typeof error["desc"] === "string" ? error["desc"] : "";
  if (id === undefined) return garbage(`an error's id is not one of ours: ${errorText.slice(0, 80)}`);
  return { kind: "error", id, errorClass, errorText };
}

/** "7.2.22" from a greeting; empty if not given. */
function versionOf(greeting: unknown): string {
  const version = isObject(greeting) ? greeting["version"] : undefined;
  const qemu = isObject(version) ? version["qemu"] : undefined;
  if (!isObject(qemu)) return "";
  const parts = [qemu["major"], qemu["minor"], qemu["micro"]];
  return parts.every((part) => typeof part === "number") ? parts.join(".") : "";
}

/** A reply's id; undefined if we cannot have sent it. */
function idOf(message: QmpData): number | undefined {
  if (!("id" in message)) return NO_ID;
  const id = message["id"];
  return typeof id === "number" && Number.isSafeInteger(id) && id > NO_ID ? id : undefined;
}

function garbage(why: string): QmpMessage {
  return { kind: "garbage", why };
}
