/**
 * CBOR from outside: bounded in bytes and in depth before it is decoded. The decoder itself (cborg) follows
 * nested lists by recursion and puts no bound on them, and what it makes of a deep one cannot even be turned
 * into text.
 *
 * It checks the frame of a single item: how deep it is nested, that every length is definite, that it is
 * whole, and that nothing is behind it. What is in it is the decoder's and the caller's business.
 * @module
 */
import { decode } from "cborg";
import { Fault, messageOf } from "../base/fault.ts";
import { MAX_BODY_BYTES } from "../base/limits.ts";
import { printable } from "../base/printable.ts";

/** What an item may be at most. */
export interface CborBounds {
  /** Its bytes. */
  readonly bytes: number;
  /** Containers and tags within one another; an item that is neither has depth 0. */
  readonly depth: number;
}

/** Any event's body: none of ours is nested deeper than a few levels. */
export const EVENT_CBOR: CborBounds = { bytes: MAX_BODY_BYTES, depth: 16 };

/** As PROTOCOL.md has it: of two keys alike a reader could believe either, so there are none. */
const WITHOUT_DUPLICATES = { rejectDuplicateMapKeys: true };

const MAJOR = { UINT: 0, NEGINT: 1, BYTES: 2, TEXT: 3, ARRAY: 4, MAP: 5, TAG: 6, SIMPLE: 7 } as const;
const INDEFINITE = 31;
const BREAK = 0xff;
const MOST_TEXT = 64;

/**
 * Decodes one item.
 *
 * @throws {Fault} `protocol-error` with a short text when it is not CBOR, or is too large or too deep
 */
export function decodeBounded(bytes: Uint8Array, bounds: CborBounds): unknown {
  if (bytes.length > bounds.bytes) {
    throw new Fault("protocol-error", `it has ${bytes.length} bytes, and ${bounds.bytes} are possible`);
  }
  const defect = frameDefect(bytes, bounds.depth);
  if (defect !== "") throw new Fault("protocol-error", defect);
  try {
    return decode(bytes, WITHOUT_DUPLICATES);
  } catch (error) {
    throw new Fault("protocol-error", printable(messageOf(error), MOST_TEXT), { cause: error });
  }
}

/** What is wrong with an item's frame; "" when nothing is. Takes time by its bytes, and no stack. */
function frameDefect(bytes: Uint8Array, mostDepth: number): string {
  /** How many items each open container still wants. */
  const wanted: number[] = [];
  let at = 0;
  do {
    if (at >= bytes.length) return "it ends too early";
    const head = bytes[at++] as number;
    let value = head & 31;
    const major = head >>> 5;
    if (value >= 24 && value <= 27) {
      const end = at + (1 << (value - 24));
      if (end > bytes.length) return "it ends too early";
      for (value = 0; at < end; at++) value = value * 256 + (bytes[at] as number);
    } else if (value > 27 && value < INDEFINITE) return "it has a length that CBOR does not know";
    else if (value === INDEFINITE) {
      const hasLength = major >= MAJOR.BYTES && major <= MAJOR.MAP;
      if (head === BREAK) return "it has an end without a beginning";
      return hasLength ? "it has an indefinite length" : "it has a length that CBOR does not know";
    }
    let opens = 0;
    switch (major) {
      case MAJOR.BYTES:
      case MAJOR.TEXT:
        at += value;
        if (at > bytes.length) return "it ends too early";
        break;
      case MAJOR.ARRAY:
        opens = value;
        break;
      case MAJOR.MAP:
        opens = 2 * value;
        break;
      case MAJOR.TAG:
        opens = 1;
    }
    if (opens > 0) {
      if (wanted.length >= mostDepth) return `it is nested deeper than ${mostDepth}`;
      wanted.push(opens);
      continue;
    }
    // One item more is whole, and with it perhaps the containers that it is the last of.
    while (wanted.length > 0) {
      const left = (wanted.pop() as number) - 1;
      if (left > 0) {
        wanted.push(left);
        break;
      }
    }
  } while (wanted.length > 0);
  return at === bytes.length ? "" : "something is behind it";
}
