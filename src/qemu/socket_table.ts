/**
 * The kernel's table of unix sockets (/proc/net/unix), read for who is connected where: an accepted socket
 * carries its listener's path.
 *
 * Every process of the host writes into it: a million sockets make it long, and a path with a line break in
 * it makes up rows of its own. So it is read piece by piece, only what was asked for is kept, and with each
 * row goes the number of its socket, which a made-up row cannot make its VM's.
 * @module
 */

/** Characters of a row with a path; a real one has at most 170. */
const MIN_ROW = 48;
const MAX_ROW = 512;
/** Rows of one path that are kept: a monitor has one client, and whoever makes rows up makes many. */
const MAX_NUMBERS = 64;
// Num RefCount Protocol Flags Type St Inode Path; a connected socket's state is 03.
const CONNECTED_ROW = /^[0-9a-fA-F]+: [0-9A-F]+ [0-9A-F]+ [0-9A-F]+ [0-9A-F]+ 03 +(\d+) (.+)$/;

/** Who is connected at some paths. */
export class SocketTable {
  readonly #wanted: ReadonlySet<string>;
  readonly #found = new Map<string, string[]>();
  #rest = "";

  /** Looks for these paths. */
  constructor(wanted: ReadonlySet<string>) {
    this.#wanted = wanted;
  }

  /** By path, the numbers (inodes) of the sockets that say they were accepted there. */
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
