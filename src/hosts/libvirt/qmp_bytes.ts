/**
 * QMP lines as bytes, whose numbers are exchanged without reading the rest: a link's `,"id":7}` at the end of
 * a command, and libvirt's own, `, "id": "libvirt-12"}`, at the end of QEMU's answer.
 * @module
 */
const ENCODER = new TextEncoder();
const ID = ENCODER.encode(',"id":');
const LIBVIRT_ID = ENCODER.encode('"libvirt-');
const LINE_END = ENCODER.encode("}\r\n");
/** Digits of a number: of a link's, and of libvirt's. */
const LINK_DIGITS = 15;
const LIBVIRT_DIGITS = 12;
const [CLOSE = 0, QUOTE = 0, COLON = 0, COMMA = 0] = ENCODER.encode('}":,');
const [OPEN = 0, NEWLINE = 0, SPACE = 0] = ENCODER.encode("{\n ");
const KEY = ENCODER.encode('"id"');
const NONE = new Uint8Array(0);

/** A line without its closing brace, and without its number. */
export interface CutLine {
  /** A view. */
  readonly rest: Uint8Array;
  /** The number's digits; none: it has none. A view. */
  readonly id: Uint8Array;
}

/** Whether bytes begin with others. */
export function beginsWith(bytes: Uint8Array, start: Uint8Array): boolean {
  return isAt(bytes, 0, start);
}

/** Takes the number off a link's command. */
export function cutCommand(line: Uint8Array): CutLine {
  const last = line.length - 1;
  if (line[last] !== CLOSE) return { rest: line, id: NONE };
  const digits = digitsBefore(line, last, LINK_DIGITS);
  const at = last - digits - ID.length;
  if (digits === 0 || at < 0 || !isAt(line, at, ID)) return { rest: line.subarray(0, last), id: NONE };
  return { rest: line.subarray(0, at), id: line.subarray(last - digits, last) };
}

/** Takes libvirt's number off an answer; undefined for one that does not end so, or is several lines. */
export function cutAnswer(answer: Uint8Array): Uint8Array | undefined {
  let at = answer.length;
  while (at > 0 && isSpace(answer[at - 1])) at--;
  if (answer[0] !== OPEN || answer[at - 1] !== CLOSE || answer[at - 2] !== QUOTE) return undefined;
  at -= 2;
  const digits = digitsBefore(answer, at, LIBVIRT_DIGITS);
  at -= digits + LIBVIRT_ID.length;
  if (digits === 0 || at < 1 || !isAt(answer, at, LIBVIRT_ID)) return undefined;
  at = spacesBefore(answer, at);
  if (answer[at - 1] !== COLON) return undefined;
  at -= 1 + KEY.length;
  if (at < 1 || !isAt(answer, at, KEY)) return undefined;
  at = spacesBefore(answer, at);
  if (answer[at - 1] !== COMMA) return undefined;
  const rest = answer.subarray(0, at - 1);
  return rest.includes(NEWLINE) ? undefined : rest;
}

/** A command as libvirt takes it. */
export function closedCommand({ rest }: CutLine): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(rest.length + 1);
  bytes.set(rest);
  bytes[rest.length] = CLOSE;
  return bytes;
}

/** An answer as a link reads it: with its own number again. */
export function answerLine(rest: Uint8Array, id: Uint8Array): Uint8Array<ArrayBuffer> {
  const idBytes = id.length === 0 ? 0 : ID.length + id.length;
  const bytes = new Uint8Array(rest.length + idBytes + LINE_END.length);
  bytes.set(rest);
  if (idBytes > 0) {
    bytes.set(ID, rest.length);
    bytes.set(id, rest.length + ID.length);
  }
  bytes.set(LINE_END, rest.length + idBytes);
  return bytes;
}

function isAt(bytes: Uint8Array, at: number, wanted: Uint8Array): boolean {
  for (let i = 0; i < wanted.length; i++) if (bytes[at + i] !== wanted[i]) return false;
  return true;
}

function digitsBefore(bytes: Uint8Array, end: number, most: number): number {
  let count = 0;
  while (count < most && isDigit(bytes[end - 1 - count])) count++;
  return count;
}

function spacesBefore(bytes: Uint8Array, end: number): number {
  let at = end;
  while (at > 0 && bytes[at - 1] === SPACE) at--;
  return at;
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 0x30 && byte <= 0x39;
}

function isSpace(byte: number | undefined): boolean {
  return byte === SPACE || byte === NEWLINE || byte === 13;
}
