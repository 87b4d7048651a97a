/**
 * The one sanitiser for text that comes from outside (a guest, a peer, a file, the wire) and is shown to
 * somebody: in the log, in a REFUSED, on a terminal. It is bounded, and whatever could move a cursor, hide
 * text or reorder it is escaped. The form is reversible: `\xNN` for a code below 256, `\u{N}` for another,
 * and a backslash is doubled.
 * @module
 */

/** The first byte that is not ASCII, as `byte_text.ts` has one that is not UTF-8. */
const LONE_BYTE = 0xdc80;

/** Characters of one value that are shown, unless the caller says otherwise. */
export const MOST_PRINTED = 512;

// C0, DEL, C1 and the backslash; marks and embeddings that change the direction of text; line and paragraph
// separators; invisible characters; halves of surrogate pairs.
const UNSAFE =
  // deno-lint-ignore no-control-regex
  /[\x00-\x1f\x7f-\x9f\\\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|\p{Surrogate}|[\u{e0000}-\u{e007f}]/gu;

/**
 * Text as it may be shown.
 *
 * @param text from wherever
 * @param most how many of its characters (UTF-16 units) are looked at and shown; what is more is counted
 *   behind
 * @returns one line, at most 10 times `most` characters and a short tail long
 */
export function printable(text: string, most: number = MOST_PRINTED): string {
  if (text.length <= most) return escapeUnsafe(text);
  // No half of a pair at the cut: it would be shown as an escape that the text does not have.
  const unit = text.charCodeAt(most - 1);
  const end = unit >= 0xd800 && unit < 0xdc00 ? most - 1 : most;
  return `${escapeUnsafe(text.slice(0, end))}… (${text.length - end} more characters)`;
}

/**
 * Text of our own making that may hold outside text inside: escaped like {@linkcode printable}, but
 * backslashes stand, because what is inside has been escaped, and nothing is cut.
 */
export function oneLine(text: string): string {
  return text.replace(UNSAFE, (c) => c === "\\" ? c : escapeOf(c));
}

/**
 * A name as it may be shown, where it may have been bytes that are not UTF-8 (`byte_text.ts`): in this form
 * `\xNN` is the byte NN, whether or not it is a character, and what is a character above U+007F is `\u{N}`.
 * Otherwise as {@linkcode printable}: a newline is `\x0a`, a backslash is doubled, and two names that differ
 * are shown differently.
 *
 * @param text a name
 * @param most how many of its characters are shown; all of them unless told
 */
export function printableName(text: string, most: number = Infinity): string {
  const rest = text.length - most;
  return text.slice(0, most).replace(UNSAFE, escapeOfName) + (rest > 0 ? `… (${rest} more characters)` : "");
}

function escapeOfName(c: string): string {
  const code = c.codePointAt(0) as number;
  if (code >= LONE_BYTE && code < LONE_BYTE + 0x80) return `\\x${(code - LONE_BYTE + 0x80).toString(16)}`;
  return code < 0x80 ? escapeOf(c) : `\\u{${code.toString(16)}}`;
}

function escapeUnsafe(text: string): string {
  return text.replace(UNSAFE, escapeOf);
}

function escapeOf(c: string): string {
  if (c === "\\") return "\\\\";
  const code = c.codePointAt(0) as number;
  return code < 256 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u{${code.toString(16)}}`;
}
