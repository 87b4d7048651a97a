/**
 * VMCOREINFO: the note that a Linux kernel keeps in RAM about itself, for readers of its memory from outside.
 *
 * It is an ELF note at a page's start: name size 11, type 0, name "VMCOREINFO", then `KEY=VALUE` lines. The
 * scan compares one word of each page that the host holds; only a matching page is read further. A note need
 * not be current: after a reset the RAM still has that of the previous boot. find_linux.ts decides.
 * @module
 */
import { parseAddress } from "../../base/ids.ts";
import { MAX_NOTES } from "../../base/limits.ts";
import { PAGE_BYTES, type PhysicalMemory } from "../physical_memory.ts";

const NAME_BYTES = 11;
/** "VMCO", "REIN", "FO\0\0" as little-endian words. */
const NAME_WORDS = [0x4f43_4d56, 0x4e49_4552, 0x0000_4f46] as const;
const DESC_AT = 24;
const LATIN1 = new TextDecoder("latin1");

/** The address of a note from a dump's header: it is not in RAM, and does not change. */
export const NOT_IN_RAM: number = -1;

/** The contents of a note. */
export class Vmcoreinfo {
  /** Guest-physical address of its page, or {@linkcode NOT_IN_RAM}. */
  readonly gpa: number;
  /** Its lines as they stand. */
  readonly text: string;

  /**
   * Takes a note's text. It is searched at each query instead of being split: of thousands of lines that a
   * guest may write, three are needed.
   *
   * @param gpa where it was found
   * @param text its lines
   */
  constructor(gpa: number, text: string) {
    this.gpa = gpa;
    this.text = text;
  }

  /** A line's value: `OSRELEASE`, `BUILD-ID`. The last one counts. */
  line(key: string): string | undefined {
    const mark = `\n${key}=`;
    const at = this.text.lastIndexOf(mark);
    const from = at >= 0 ? at + mark.length : this.text.startsWith(`${key}=`) ? mark.length - 1 : -1;
    if (from < 0) return undefined;
    const end = this.text.indexOf("\n", from);
    return this.text.slice(from, end < 0 ? this.text.length : end);
  }

  /** A `NUMBER(…)`: signed decimal. */
  number(name: string): number | undefined {
    const value = this.line(`NUMBER(${name})`);
    return value !== undefined && /^-?[0-9]{1,19}$/.test(value) ? Number(value) : undefined;
  }

  /** A `NUMBER(…)` that arm64 writes in hexadecimal, as a signed 64-bit number. */
  hexNumber(name: string): number | undefined {
    return hex(this.line(`NUMBER(${name})`));
  }

  /** A `SYMBOL(…)`: the address, KASLR included. */
  symbol(name: string): number | undefined {
    return hex(this.line(`SYMBOL(${name})`));
  }

  /** An `OFFSET(…)`: bytes. */
  offset(name: string): number | undefined {
    const value = this.line(`OFFSET(${name})`);
    return value !== undefined && /^[0-9]{1,6}$/.test(value) ? Number(value) : undefined;
  }

  /** `KERNELOFFSET`: how far KASLR moved the image; 0 when the kernel does not say. */
  get kernelOffset(): number {
    return hex(this.line("KERNELOFFSET")) ?? 0;
  }
}

/**
 * The verdict of a search for notes: not a wanted one, a wanted one, or the one after which the search can
 * end.
 */
export type NoteVerdict = "other" | "wanted" | "enough";

/**
 * Finds the notes in the RAM that the host holds, first where a kernel allocates its own, early in its boot.
 * Every process in the guest can write imitations, as many as it has pages: the number of wanted ones is
 * bounded, not that of those seen.
 *
 * @param memory the guest's RAM, refreshed
 * @param judge returns the verdict on each note; it may read the memory
 * @returns number of notes seen
 */
export function findNotes(memory: PhysicalMemory, judge: (note: Vmcoreinfo) => NoteVerdict): number {
  let seen = 0;
  let wanted = 0;
  memory.forEachHeldRunEarly((words, first, count, gpa) => {
    const end = first + count;
    for (let at = first; at < end; at += PAGE_BYTES / 4) {
      if (words[at] !== NAME_BYTES || !isNote(words, at)) continue;
      const note = readNote(memory, gpa + (at - first) * 4);
      if (note === undefined) continue;
      seen++;
      const verdict = judge(note);
      if (verdict === "enough" || verdict === "wanted" && ++wanted >= MAX_NOTES) return true;
    }
    return false;
  });
  return seen;
}

/** Reads the note at a page's start; undefined when there is none (any more). */
export function readNote(memory: PhysicalMemory, gpa: number): Vmcoreinfo | undefined {
  const page = new Uint8Array(PAGE_BYTES);
  if (memory.read(gpa, page) < PAGE_BYTES) return undefined;
  if (!isNote(new Int32Array(page.buffer), 0)) return undefined;
  const size = new DataView(page.buffer).getUint32(4, true);
  const text = LATIN1.decode(page.subarray(DESC_AT, Math.min(PAGE_BYTES, DESC_AT + size)));
  const end = text.indexOf("\0");
  const lines = end < 0 ? text : text.slice(0, end);
  return lines.startsWith("OSRELEASE=") ? new Vmcoreinfo(gpa, lines) : undefined;
}

function isNote(words: Int32Array, at: number): boolean {
  return words[at] === NAME_BYTES && words[at + 2] === 0 && words[at + 3] === NAME_WORDS[0] &&
    words[at + 4] === NAME_WORDS[1] && words[at + 5] === NAME_WORDS[2];
}

function hex(value: string | undefined): number | undefined {
  return value === undefined ? undefined : parseAddress(value.startsWith("0x") ? value : "0x" + value);
}
