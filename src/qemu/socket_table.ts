/**
 * Parses the kernel's table of unix sockets (/proc/net/unix) to find out which sockets are connected where:
 * an accepted socket has its listener's path.
 *
 * Every process of the host can add entries: a million sockets make the table long, and a path with a line
 * break can forge rows. So it is read piece by piece, only requested paths are kept, and each row keeps its
 * socket's inode, because a forged row cannot have one that belongs to its VM.
 * @module
 */

/** Limit of a row with a path, characters; a real one has at most 170. */
const MIN_ROW = 48;
const MAX_ROW = 512;
/** Limit of rows per path: a monitor has one client, but forged rows may be many. */
const MAX_NUMBERS = 64;
// Num RefCount Protocol Flags Type St Inode Path; a connected socket's state is 03.
const CONNECTED_ROW = /^[0-9a-fA-F]+: [0-9A-F]+ [0-9A-F]+ [0-9A-F]+ [0-9A-F]+ 03 +(\d+) (.+)$/;

/** The sockets connected at some paths. */
export class SocketTable {
  readonly #wanted: ReadonlySet<string>;
  readonly #found = new Map<string, string[]>();
  #rest = "";

  /** Looks for the given paths. */
  constructor(wanted: ReadonlySet<string>) {
    this.#wanted = wanted;
  }

  /** By path, the inodes of the sockets that were accepted there, according to the rows. */
  get connected(): ReadonlyMap<string, readonly string[]> {
    return this.#found;
  }

  /** Takes the next piece of the table; the last one ends with a line break. */
  take(piece: string): void {
    const text = this.#rest + piece;
    let row = 0;
    for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n", row)) {
      if (end - row >= MIN_ROW && end - row <= MAX_ROW) this.#row(text.slice(row, end));
      row = end + 1;
    }
    this.#rest = text.slice(Math.max(row, text.length - MAX_ROW));
  }

  #row(row: string): void {
    const found = CONNECTED_ROW.exec(row);
    const path = found?.[2];
    if (path === undefined || !this.#wanted.has(path)) return;
    const numbers = this.#found.get(path);
    if (numbers === undefined) this.#found.set(path, [found?.[1] as string]);
    else if (numbers.length < MAX_NUMBERS) numbers.push(found?.[1] as string);
  }
}
