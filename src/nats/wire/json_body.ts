/**
 * JSON received over NATS: limited before it is parsed, and read field by field. Invalid fields are dropped
 * or refused.
 * @module
 */
const DECODER = new TextDecoder("utf-8", { fatal: true });
const ENCODER = new TextEncoder();
/** Maximum nesting depth. */
const MOST_DEPTH = 8;

/** A JSON object. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** Parses an object; undefined if it is too long, too deep or not an object. */
export function readJson(bytes: Uint8Array, mostBytes: number): JsonObject | undefined {
  if (bytes.length > mostBytes || isDeep(bytes)) return undefined;
  try {
    const value: unknown = JSON.parse(DECODER.decode(bytes));
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** An object as bytes. */
export function writeJson(value: object): Uint8Array<ArrayBuffer> {
  return ENCODER.encode(JSON.stringify(value));
}

/** Whether a value is an object and not an array. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A text with at most that many characters; otherwise undefined. */
export function textField(object: JsonObject, key: string, most: number): string | undefined {
  const value = object[key];
  return typeof value === "string" && value.length <= most ? value : undefined;
}

/** A whole number from 0; otherwise undefined. */
export function countField(object: JsonObject, key: string, most: number): number | undefined {
  const value = object[key];
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= most
    ? value
    : undefined;
}

/** Whether brackets nest deeper than any of our messages: the parser is recursive. */
function isDeep(bytes: Uint8Array): boolean {
  let depth = 0;
  let isText = false;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i];
    if (isText) {
      if (byte === 0x5c) i++;
      else if (byte === 0x22) isText = false;
    } else if (byte === 0x22) isText = true;
    else if (byte === 0x5b || byte === 0x7b) {
      if (++depth > MOST_DEPTH) return true;
    } else if (byte === 0x5d || byte === 0x7d) depth--;
  }
  return false;
}
