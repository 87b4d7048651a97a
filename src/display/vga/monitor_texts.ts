/**
 * What QEMU's human monitor says about display cards: `info pci`, `gpa2hva`, and `xp` of a card's registers.
 * Text in, a bounded table out; for QEMU 7.2 to 11 (`xp` prints addresses of 16 digits, then of 8; a BAR's
 * line ends with a full stop, then, from 10 on, without, and tells of one that is not mapped in words).
 * An error is a text like any other there: what does not look right is undefined.
 * @module
 */
import { DISPI_ID, DISPI_REGISTERS, type DispiRegisters } from "./dispi.ts";

/** Cards that one look tells of. */
export const MAX_DISPLAY_CARDS = 16;
/** Characters of `info pci` that are looked at: a machine with 256 devices has 100,000. */
const MAX_PCI_TEXT = 1 << 18;

/** A range of guest-physical addresses. */
export interface PciRange {
  /** First address. */
  readonly gpa: number;
  /** Bytes. */
  readonly sizeBytes: number;
}

/** A display card, as `info pci` shows it. */
export interface DisplayCard {
  /** Bus, device and function: "0:2.0". */
  readonly place: string;
  /** PCI vendor. */
  readonly vendor: number;
  /** PCI device. */
  readonly device: number;
  /** Whether it answers at the VGA's own addresses: of several cards the one with firmware's text on it. */
  readonly isVga: boolean;
  /**
   * Its BAR0, which is the video memory of a std VGA; undefined where the guest has not put it anywhere yet.
   */
  readonly memory: PciRange | undefined;
  /** Its BAR2, which has a std VGA's registers; undefined as above. */
  readonly registers: PciRange | undefined;
}

/**
 * A line that matters: where a device stands (1 to 3), what kind of display card it is (4 to 6), or a BAR of
 * it (7 to 9). One expression over the whole text: cut into lines first, 32 KiB of empty lines took 5 ms.
 */
const LINE = new RegExp(
  "^ *(?:" + [
    "Bus +(\\d{1,3}), device +(\\d{1,2}), function (\\d):",
    "(VGA controller|Display controller|XGA controller|3D controller): PCI device ([0-9a-f]{4}):([0-9a-f]{4})",
    "BAR([02]): (?:32|64) bit (?:prefetchable )?memory at 0x([0-9a-f]{1,16}) \\[0x([0-9a-f]{1,16})\\]\\.?",
  ].join("|") + ")\r?$",
  "gm",
);

/**
 * The display cards in the text of `info pci`, in its order (by address): at most
 * {@linkcode MAX_DISPLAY_CARDS}.
 */
export function parseDisplayCards(text: string): DisplayCard[] {
  const cards: DisplayCard[] = [];
  let place = "";
  let card: { -readonly [key in keyof DisplayCard]: DisplayCard[key] } | undefined;
  for (const line of text.slice(0, MAX_PCI_TEXT).matchAll(LINE)) {
    if (line[1] !== undefined) {
      place = `${line[1]}:${line[2]}.${line[3]}`;
      card = undefined;
    } else if (line[4] !== undefined) {
      if (cards.length === MAX_DISPLAY_CARDS) break;
      card = {
        place,
        vendor: parseInt(line[5] as string, 16),
        device: parseInt(line[6] as string, 16),
        isVga: line[4] === "VGA controller",
        memory: undefined,
        registers: undefined,
      };
      cards.push(card);
    } else if (card !== undefined) {
      const range = rangeOf(line[8] as string, line[9] as string);
      if (line[7] === "0") card.memory = range;
      else card.registers = range;
    }
  }
  return cards;
}

/** A BAR that the guest has not set shows as all ones, or with an end before its start. */
function rangeOf(from: string, to: string): PciRange | undefined {
  const gpa = parseInt(from, 16);
  const sizeBytes = parseInt(to, 16) - gpa + 1;
  const isPlaced = gpa > 0 && gpa < 2 ** 52 && sizeBytes >= 4096 && sizeBytes <= 2 ** 40 && gpa % 4096 === 0;
  return isPlaced ? { gpa, sizeBytes } : undefined;
}

/**
 * Whether a card is one whose memory is its picture: QEMU's std VGA, secondary-vga and bochs-display, which
 * share a PCI id and the dispi registers. Others (cirrus, qxl, vmware, virtio-vga, ati) have a mode that
 * cannot be read, or show another picture than their memory's once the guest has a driver for them.
 */
export function isLinearCard(card: DisplayCard): boolean {
  return card.vendor === 0x1234 && card.device === 0x1111;
}

/** Where a guest-physical address lies in QEMU's own memory. */
export interface HostPlace {
  /** The memory region: "vga.vram", "bochs-display-vram". */
  readonly region: string;
  /** The address in QEMU's process. */
  readonly address: number;
}

const HOST = /^Host virtual address for 0x[0-9a-f]{1,16} \(([^()\r\n]{1,64})\) is 0x([0-9a-f]{1,12})\r?\n?$/;

/** The answer of `gpa2hva ADDRESS`; undefined where no memory is. */
export function parseHostPlace(text: string): HostPlace | undefined {
  const match = HOST.exec(text);
  if (match === null) return undefined;
  const address = parseInt(match[2] as string, 16);
  // User addresses end at 2^47.
  return address >= 4096 && address < 2 ** 47 ? { region: match[1] as string, address } : undefined;
}

/**
 * The command that reads a card's registers: `xp /11hx ADDRESS`.
 *
 * @param registers its BAR2
 */
export function registersCommand(registers: PciRange): string {
  return `xp /${DISPI_REGISTERS}hx 0x${(registers.gpa + 0x500).toString(16)}`;
}

const XP_LINE = /^[0-9a-f]{8,16}:((?: 0x[0-9a-f]{4}){1,8})$/;

/** The answer of {@linkcode registersCommand}; undefined when it shows no registers of such a card. */
export function parseRegisters(text: string): DispiRegisters | undefined {
  if (text.length > 1024) return undefined;
  const words: number[] = [];
  for (const line of text.split(/\r?\n/)) {
    if (line === "") continue;
    const match = XP_LINE.exec(line);
    if (match === null) return undefined;
    for (const word of (match[1] as string).trim().split(" ")) words.push(parseInt(word, 16));
  }
  if (words.length !== DISPI_REGISTERS || ((words[0] as number) & 0xfff0) !== DISPI_ID) return undefined;
  return Uint16Array.from(words);
}
