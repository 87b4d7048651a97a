/**
 * Which pages of a host process are present, from its /proc/PID/pagemap: for RAM whose file cannot tell its
 * holes (huge pages), or without a file. A page that was swapped out counts as present.
 * @module
 */
import { preadInto } from "../../ffi/stream.ts";
import { OPEN } from "../../ffi/memfd.ts";
import type { OwnedFd } from "../../ffi/owned_fd.ts";
import type { HostProcess } from "./host_process.ts";

const PAGE_BYTES = 4096;
const ENTRY_BYTES = 8;
const PRESENT_OR_SWAPPED = 0xc000_0000;
const WINDOW_PAGES = 8192;

/** Presence of a process's pages. */
export class Pagemap implements Disposable {
  readonly #fd: OwnedFd;
  readonly #entries = new Uint8Array(WINDOW_PAGES * ENTRY_BYTES);
  readonly #view = new DataView(this.#entries.buffer);

  /**
   * Opens it.
   *
   * @param process the process; borrowed for the call
   * @throws {Fault} when it may not be accessed, or has ended
   */
  constructor(process: HostProcess) {
    this.#fd = process.openFile("pagemap", OPEN.READ_ONLY);
  }

  /** First page-aligned address in [from, end) that is present (`wanted`) or not; `end` if there is none. */
  next(from: number, end: number, wanted: boolean): number {
    let page = Math.floor(from / PAGE_BYTES);
    const last = Math.ceil(end / PAGE_BYTES);
    // Most calls are about one page, few about a long run: the window grows.
    for (let window = 1; page < last; window = Math.min(window * 8, WINDOW_PAGES)) {
      const count = Math.min(window, last - page);
      const have = preadInto(this.#fd.fd, this.#entries, 0, count * ENTRY_BYTES, page * ENTRY_BYTES);
      const pages = Math.max(0, Math.floor(have / ENTRY_BYTES));
      for (let i = 0; i < pages; i++) {
        const there = (this.#view.getUint32(i * ENTRY_BYTES + 4, true) & PRESENT_OR_SWAPPED) !== 0;
        if (there === wanted) return Math.max(from, (page + i) * PAGE_BYTES);
      }
      // Above the end of its address space nothing is present.
      if (pages === 0) return wanted ? end : Math.max(from, page * PAGE_BYTES);
      page += pages;
    }
    return end;
  }

  /** Closes it. */
  [Symbol.dispose](): void {
    this.#fd.close();
  }
}
