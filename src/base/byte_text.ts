/**
 * Names that are bytes to their maker (a Linux file, a process) as text, without loss: UTF-8, and each byte
 * that is not valid UTF-8 becomes half of a surrogate pair, U+DC00 + byte, as Python's "surrogateescape" has
 * it. So two names that differ are two texts that differ, and the bytes can be had back. A byte order mark is
 * a character like any other.
 *
 * How such text is shown is `printableName`'s business.
 *
 * Nearly all of them are short and ASCII (a list of processes is hundreds of such): those go past the
 * decoder, a call of which costs more than the name.
 * @module
 */
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const ESCAPE = 0xdc00;
/** Up to here a name is looked at byte by byte: twice the length of Linux's names of processes. */
const SHORT_BYTES = 32;

/** Bytes as text. */
export function textOfBytes(bytes: Uint8Array): string {
  if (bytes.length <= SHORT_BYTES && isAscii(bytes)) {
    return String.fromCharCode.apply(null, bytes as unknown as number[]);
  }
  try {
    return strict.decode(bytes);
  } catch {
    // Not UTF-8: rare.
    return bySequence(bytes);
  }
}

function isAscii(bytes: Uint8Array): boolean {
  for (let i = 0; i < bytes.length; i++) if ((bytes[i] as number) >= 0x80) return false;
  return true;
}

function bySequence(bytes: Uint8Array): string {
  let text = "";
  // What is UTF-8 is decoded in runs: a command line that one byte spoils may be long.
  let run = 0;
  for (let at = 0; at < bytes.length;) {
    const length = sequenceLength(bytes, at);
    if (length === 0) {
      if (run < at) text += strict.decode(bytes.subarray(run, at));
      text += String.fromCharCode(ESCAPE + (bytes[at] as number));
      run = at + 1;
    }
    at += Math.max(1, length);
  }
  return run < bytes.length ? text + strict.decode(bytes.subarray(run)) : text;
}

/**
 * How long the character is that begins there; 0 when none does. Neither longer than need be, nor half of a
 * pair, nor above U+10FFFF (RFC 3629).
 */
function sequenceLength(bytes: Uint8Array, at: number): number {
  const first = bytes[at] as number;
  if (first < 0x80) return 1;
  const length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4) return 0;
  for (let i = 1; i < length; i++) {
    if (((bytes[at + i] ?? 0) & 0xc0) !== 0x80) return 0;
  }
  const second = bytes[at + 1] as number;
  if (first === 0xe0 && second < 0xa0 || first === 0xed && second > 0x9f) return 0;
  return first === 0xf0 && second < 0x90 || first === 0xf4 && second > 0x8f ? 0 : length;
}
