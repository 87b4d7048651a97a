/**
 * The mappings of a host process, parsed from /proc/PID/maps.
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
  /** Its path, followed by " (deleted)" if it has none any more. The process may have chosen it. */
  readonly path: string;
}

// With the flag `s`, because a path may contain characters that `.` excludes otherwise (a return, U+2028),
// and its mapping would be missed.
const LINE =
  /^([0-9a-f]{1,16})-([0-9a-f]{1,16}) (....) ([0-9a-f]{1,16}) ([0-9a-f]{1,8}):([0-9a-f]{1,8}) (\d{1,20}) *(.*)$/s;

/** Parses /proc/PID/maps. */
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
      // A newline in a name is written as \012; nothing else is escaped.
      path: path.replaceAll("\\012", "\n"),
    });
  }
  return out;
}

/**
 * The part of a file that is mapped at a range of a process's memory, which may consist of several adjacent
 * mappings (a policy or an advice for part of it splits a mapping).
 *
 * @param mappings sorted by address, as returned by {@linkcode parseHostMaps}
 * @returns the mapping with the first byte; undefined unless the whole range is shared, writable, and
 *   contiguous in one file
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
