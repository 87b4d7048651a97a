/**
 * The mappings of a host process, as /proc/PID/maps shows them. Text in, a table out.
 * @module
 */

/** A mapping of a host process. */
export interface HostMapping {
  /** First address. */
  readonly start: number;
  /** Its size. */
  readonly sizeBytes: number;
  /** Whether it is shared with others that map the file. */
  readonly shared: boolean;
  /** Whether it is writable. */
  readonly writable: boolean;
  /** Bytes into the file. */
  readonly offset: number;
  /** Device of the file: "254:0"; with `inode`, which file it is. */
  readonly device: string;
  /** Inode of the file; 0 for anonymous memory. */
  readonly inode: number;
  /** Its path, with " (deleted)" behind when it has none any more. The process may have chosen it. */
  readonly path: string;
}

// With `s`: a path may hold what `.` leaves out otherwise (a return, U+2028), and its mapping would not be
// seen.
const LINE =
  /^([0-9a-f]{1,16})-([0-9a-f]{1,16}) (....) ([0-9a-f]{1,16}) ([0-9a-f]{1,8}):([0-9a-f]{1,8}) (\d{1,20}) *(.*)$/s;

/** Reads the text of /proc/PID/maps. */
export function parseHostMaps(text: string): HostMapping[] {
  const out: HostMapping[] = [];
  for (const line of text.split("\n")) {
    const match = LINE.exec(line);
    if (match === null) continue;
    const [, from, to, perms, offset, major, minor, inode, path] = match as unknown as [
      string,
      string,
      string,
      string,
      string,
      string,
      string,
      string,
      string,
    ];
    const start = parseInt(from, 16);
    out.push({
      start,
      sizeBytes: parseInt(to, 16) - start,
      shared: perms[3] === "s",
      writable: perms[1] === "w",
      offset: parseInt(offset, 16),
      device: `${parseInt(major, 16)}:${parseInt(minor, 16)}`,
      inode: Number(inode),
      // A newline in a name is told as \012, and nothing else is escaped.
      path: path.replaceAll("\\012", "\n"),
    });
  }
  return out;
}

/**
 * The part of a file that a range of a process's memory is, whatever number of mappings next to each other it
 * takes (a policy or an advice for a part of it cuts a mapping in two).
 *
 * @param mappings sorted by address, as {@linkcode parseHostMaps} gives them
 * @returns the mapping that holds the first byte; undefined unless all of the range is shared, writable, and
 *   one file in one piece
 */
export function fileBehind(
  mappings: readonly HostMapping[],
  start: number,
  sizeBytes: number,
): { readonly mapping: HostMapping; readonly fileOffset: number } | undefined {
  let i = mappings.findIndex((m) => start >= m.start && start < m.start + m.sizeBytes);
  const mapping = mappings[i];
  if (mapping === undefined || mapping.inode === 0) return undefined;
  const shift = mapping.offset - mapping.start;
  for (let at = start; at < start + sizeBytes; i++) {
    const part = mappings[i];
    const isSame = part !== undefined && part.shared && part.writable && part.inode === mapping.inode &&
      part.device === mapping.device && part.offset - part.start === shift && part.start <= at;
    if (!isSame) return undefined;
    at = part.start + part.sizeBytes;
  }
  return { mapping, fileOffset: start + shift };
}
