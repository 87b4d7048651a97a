/**
 * Writes cpio archives of the "newc" format, which is what the kernel unpacks as an initramfs
 * (Documentation/driver-api/early-userspace/buffer-format.rst). Folders, files and symbolic links only:
 * no hard links, no owners but root, no times, so that equal content gives equal bytes.
 * @module
 */

const MODE_FOLDER = 0o040755;
const MODE_FILE = 0o100644;
const MODE_PROGRAM = 0o100755;
const MODE_LINK = 0o120777;
const HEADER_BYTES = 110;

/** Builds one archive in memory. */
export class CpioWriter {
  readonly #parts: Uint8Array<ArrayBuffer>[] = [];
  readonly #folders = new Set<string>();
  readonly #encoder = new TextEncoder();
  #inode = 1;

  /** A folder, with the folders above it; adding one twice is harmless. */
  folder(path: string): void {
    const name = trimmed(path);
    if (name === "" || this.#folders.has(name)) return;
    const slash = name.lastIndexOf("/");
    if (slash > 0) this.folder(name.slice(0, slash));
    this.#folders.add(name);
    this.#entry(name, MODE_FOLDER, new Uint8Array(0));
  }

  /** A regular file, with the folders above it. */
  file(path: string, content: Uint8Array<ArrayBuffer> | string, executable = false): void {
    const bytes = typeof content === "string" ? this.#encoder.encode(content) : content;
    this.#inFolder(path, executable ? MODE_PROGRAM : MODE_FILE, bytes);
  }

  /** A symbolic link to `target`. */
  link(path: string, target: string): void {
    this.#inFolder(path, MODE_LINK, this.#encoder.encode(target));
  }

  /** Ends the archive; its parts are to be written one after another. */
  finish(): Uint8Array<ArrayBuffer>[] {
    this.#entry("TRAILER!!!", 0, new Uint8Array(0));
    return this.#parts;
  }

  #inFolder(path: string, mode: number, bytes: Uint8Array<ArrayBuffer>): void {
    const name = trimmed(path);
    const slash = name.lastIndexOf("/");
    if (slash > 0) this.folder(name.slice(0, slash));
    this.#entry(name, mode, bytes);
  }

  #entry(name: string, mode: number, bytes: Uint8Array<ArrayBuffer>): void {
    const nameBytes = this.#encoder.encode(name);
    // ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
    const fields = [this.#inode++, mode, 0, 0, 1, 0, bytes.length, 0, 0, 0, 0, nameBytes.length + 1, 0];
    const header = `070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}`;
    // Header and name together, and then the content, are each padded to 4 bytes.
    const head = new Uint8Array(align4(HEADER_BYTES + nameBytes.length + 1));
    head.set(this.#encoder.encode(header));
    head.set(nameBytes, HEADER_BYTES);
    this.#parts.push(head, bytes);
    const padding = align4(bytes.length) - bytes.length;
    if (padding > 0) this.#parts.push(new Uint8Array(padding));
  }
}

function align4(length: number): number {
  return Math.ceil(length / 4) * 4;
}

function trimmed(path: string): string {
  return path.replace(/^\/+|\/+$/g, "");
}
