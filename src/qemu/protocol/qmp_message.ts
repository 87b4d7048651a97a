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

const NOTHING: QmpData = Object.freeze({});
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
