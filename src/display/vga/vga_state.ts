/**
 * The registers of a VGA in QEMU's own heap: found once by their contents, then read with every picture in a
 * microsecond. So a mode change is noticed with the next picture, without asking the monitor. They also
 * contain what nothing else reports: the origin of a text screen, its cursor, the palette.
 *
 * There is another reason not to ask. Reading a std VGA's dispi registers in its BAR2, as `xp` does, changes
 * the index of the guest's own register port (measured on QEMU 7.2): a boot loader that has written the index
 * and not yet the value loses that value. So the registers are searched for first, and the monitor is asked
 * only if they are not found.
 *
 * The layout is that of QEMU's VGACommonState on x86-64. It is used only if it is consistent: a pointer to
 * this very video memory, followed by the dispi registers (equal to those from the monitor, if it was asked;
 * otherwise with valid values), with a matching line length. Otherwise the monitor is asked periodically
 * (vram_source.ts).
 * @module
 */
import { assert } from "../../base/assert.ts";
import { DISPI, DISPI_ID, DISPI_REGISTERS, type DispiRegisters } from "./dispi.ts";
import type { VideoMemory } from "./video_memory.ts";

/** Bytes of QEMU's heap that are looked through at most. */
const MAX_HEAP = 256 * 1024 * 1024;
/** Bytes that one step looks through: about a millisecond. */
const STEP_BYTES = 2 * 1024 * 1024;
/** How far behind the pointer the registers are looked for: it is 2,578 bytes in 7.2. */
const MAX_DISTANCE = 4096;
/** Registers that QEMU stores; the last one it makes up when it is read, and the virtual height too. */
const STORED = 10;
/**
 * From the first CRT register to the first dispi register: the CRT registers, eleven bytes of state, the
 * palette and its width, five pointers and two lists of ports. It has been so since QEMU 2.
 */
const CRT_TO_DISPI = 1197;
/** The palette's first byte, and its flag for eight bits a colour, from the first CRT register. */
const CRT_TO_PALETTE = 271;
const CRT_TO_DAC_WIDTH = 267;
const PALETTE_BYTES = 768;
/**
 * The graphics controller's registers, before the CRT's: 256 of them, index and 21 registers of the attribute
 * controller, its flip-flop, the CRT's index.
 */
const GRAPHICS_TO_CRT = 283;
const ATTRIBUTE_TO_CRT = 26;
/** The sequencer's registers: 256, as many copies for VBE, the graphics controller's index. */
const SEQUENCER_TO_CRT = 796;

/** What QEMU's std VGA takes at most, and the bits of its pixels; 0 before anybody has set a mode. */
const [MAX_X, MAX_Y] = [16_000, 12_000];
const BITS: readonly number[] = [0, 4, 8, 15, 16, 24, 32];

/** Registers as they were at one moment. */
export class VgaRegisters {
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #view: DataView;
  readonly #dispi = new Uint16Array(DISPI_REGISTERS);
  readonly #crt: number;

  /** Takes what {@linkcode VgaState} reads: from the pointer to the end of the dispi registers. */
  constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#crt = bytes.length - 2 * STORED - CRT_TO_DISPI;
  }

  /** The dispi registers; valid until the next read. The memory size is not among them. */
  get dispi(): DispiRegisters {
    const at = this.#bytes.length - 2 * STORED;
    for (let i = 0; i < STORED; i++) this.#dispi[i] = this.#view.getUint16(at + 2 * i, true);
    return this.#dispi;
  }

  /** A register of the CRT controller. */
  crt(index: number): number {
    return this.#bytes[this.#crt + index] as number;
  }

  /** A register of the graphics controller. */
  graphics(index: number): number {
    return this.#bytes[this.#crt - GRAPHICS_TO_CRT + index] as number;
  }

  /** A register of the sequencer. */
  sequencer(index: number): number {
    return this.#bytes[this.#crt - SEQUENCER_TO_CRT + index] as number;
  }

  /** A register of the attribute controller. */
  attribute(index: number): number {
    return this.#bytes[this.#crt - ATTRIBUTE_TO_CRT + index] as number;
  }

  /** Whether colours have eight bits, not six. */
  get isWidePalette(): boolean {
    return this.#view.getInt32(this.#crt + CRT_TO_DAC_WIDTH, true) !== 0;
  }

  /** The palette: 256 times red, green, blue. */
  get palette(): Uint8Array<ArrayBuffer> {
    const at = this.#crt + CRT_TO_PALETTE;
    return this.#bytes.subarray(at, at + PALETTE_BYTES);
  }

  /** Whether the CRT's registers are where they are expected: the timing that every mode has. */
  get hasCrt(): boolean {
    if (this.#crt < SEQUENCER_TO_CRT) return false;
    const [total, shown, blank] = [this.crt(0), this.crt(1), this.crt(2)];
    return total > shown && shown > 0 && blank >= shown && (this.graphics(6) & 0xf0) === 0;
  }
}

/** What a look at a piece of the heap gave. */
export type SearchState = "looking" | "found" | "absent";

let searched: Uint8Array<ArrayBuffer> | undefined;

/** What a piece of a heap is read into: one for all VMs of the thread, because each is looked at at once. */
function sharedPiece(): Uint8Array<ArrayBuffer> {
  return searched ??= new Uint8Array(STEP_BYTES + MAX_DISTANCE);
}

/** Finds a VGA's registers in QEMU's heap, piece by piece, and reads them. */
export class VgaState {
  readonly #memory: VideoMemory;
  readonly #known: DispiRegisters | undefined;
  #at: number;
  readonly #end: number;
  #address = 0;
  #found = 0;
  #block = new Uint8Array(0);
  #registers: VgaRegisters | undefined;

  /**
   * Begins to look.
   *
   * @param memory the card's
   * @param known its dispi registers as the monitor showed them; undefined: it was not asked
   */
  constructor(memory: VideoMemory, known: DispiRegisters | undefined) {
    this.#memory = memory;
    this.#known = known?.slice();
    this.#at = memory.heap.start;
    this.#end = Math.min(memory.heap.end, memory.heap.start + MAX_HEAP);
  }

  /** Whether these are the registers that it looks for. */
  looksFor(registers: DispiRegisters): boolean {
    return this.#known !== undefined && this.#known.every((value, i) => value === registers[i]);
  }

  /** Looks through the next piece. `found` only when there is one place, and all of the heap was seen. */
  search(): SearchState {
    if (this.#at < this.#end) {
      const piece = sharedPiece().subarray(0, this.#end - this.#at);
      if (!this.#memory.readProcess(this.#at, piece)) return "absent";
      this.#look(piece);
      this.#at += STEP_BYTES;
      if (this.#at < this.#end) return "looking";
    }
    if (this.#found !== 1) return "absent";
    return this.read() === undefined ? "absent" : "found";
  }

  /** The registers as they are now; undefined when they are not there any more. */
  read(): VgaRegisters | undefined {
    assert(this.#found === 1, "registers are read once they are found");
    this.#registers ??= new VgaRegisters(this.#block);
    if (!this.#memory.readProcess(this.#address, this.#block)) return undefined;
    const view = new DataView(this.#block.buffer);
    const isOurs = view.getUint32(0, true) === this.#low && view.getUint32(4, true) === this.#high;
    const isId = ((this.#registers.dispi[DISPI.id] as number) & 0xfff0) === DISPI_ID;
    return isOurs && isId ? this.#registers : undefined;
  }

  get #low(): number {
    return this.#memory.address % 2 ** 32;
  }

  get #high(): number {
    return Math.floor(this.#memory.address / 2 ** 32);
  }

  /** Looks for the pointer in a piece, where its last bytes are the next piece's first ones. */
  #look(piece: Uint8Array<ArrayBuffer>): void {
    const words = new Int32Array(piece.buffer, 0, piece.length >>> 2);
    const [low, high] = [this.#low | 0, this.#high | 0];
    const end = Math.min(STEP_BYTES >>> 2, words.length);
    for (let i = words.indexOf(low); i >= 0 && i < end; i = words.indexOf(low, i + 1)) {
      if (i % 2 !== 0 || words[i + 1] !== high) continue;
      const distance = this.#dispiBehind(piece, 4 * i);
      if (distance === undefined) continue;
      this.#found++;
      this.#address = this.#at + 4 * i;
      this.#block = new Uint8Array(distance + 2 * STORED);
    }
  }

  /** Bytes from the pointer to the dispi registers. */
  #dispiBehind(piece: Uint8Array<ArrayBuffer>, pointer: number): number | undefined {
    const view = new DataView(piece.buffer, 0, piece.length);
    const last = Math.min(pointer + MAX_DISTANCE, piece.length - 2 * STORED - 8);
    for (let at = pointer + 8; at <= last; at += 2) {
      if (this.#isDispi(view, at)) return at - pointer;
    }
    return undefined;
  }

  #isDispi(view: DataView, at: number): boolean {
    const value = (index: number): number => view.getUint16(at + 2 * index, true);
    const known = this.#known;
    if (known === undefined && !isPlausible(value)) return false;
    for (let i = 0; i < STORED && known !== undefined; i++) {
      if (i !== DISPI.virtualHeight && value(i) !== known[i]) return false;
    }
    // The index in front is one of the registers, and the line's length behind follows from them.
    if (view.getUint16(at - 2, true) > STORED) return false;
    if ((value(DISPI.enable) & 1) === 0) return true;
    const bits = value(DISPI.bits);
    const line = value(DISPI.virtualWidth) * (bits === 15 ? 16 : bits) / 8;
    // 2-byte registers end on a multiple of 4 after the index and the ten of them, or 2 bytes later.
    const behind = at + 2 * STORED + (at + 2 * STORED) % 4;
    return view.getUint32(behind + 4, true) === line;
  }
}

/** Whether a card may have such registers: QEMU's own limits, and a mode that has a size when it is on. */
function isPlausible(value: (index: number) => number): boolean {
  const isOn = (value(DISPI.enable) & 1) !== 0;
  const isSized = value(DISPI.width) <= MAX_X && value(DISPI.height) <= MAX_Y;
  return (value(DISPI.id) & 0xfff0) === DISPI_ID && isSized && BITS.includes(value(DISPI.bits)) &&
    value(DISPI.enable) < 256 && (!isOn || (value(DISPI.width) > 0 && value(DISPI.height) > 0 &&
      value(DISPI.virtualWidth) >= value(DISPI.width)));
}
