/**
 * The mode of a std VGA, out of its dispi registers (the "Bochs VBE extensions"): eleven words, as its BAR2
 * shows them from byte 0x500 on. What they say is the guest's word: a mode whose picture does not lie in the
 * card's memory is not accepted.
 *
 * QEMU shows such a mode straight out of video memory. Two things follow from how it does (7.2 to 11): a std
 * VGA's first byte is a multiple of 4, and neither a bank (which only moves the guest's window at 0xa0000)
 * nor double scan (CRTC) changes what is shown.
 * @module
 */
import { MAX_PICTURE_SIDE, MAX_VGPU_SLOT_BYTES } from "../../base/limits.ts";

/** How many registers there are. */
export const DISPI_REGISTERS = 11;
/** The upper twelve bits of the first one. */
export const DISPI_ID = 0xb0c0;

/** The registers, in their order: see {@linkcode DISPI}. */
export type DispiRegisters = Uint16Array<ArrayBuffer>;

/** Which register is which. */
export const DISPI = {
  id: 0,
  width: 1,
  height: 2,
  bits: 3,
  enable: 4,
  bank: 5,
  virtualWidth: 6,
  virtualHeight: 7,
  xOffset: 8,
  yOffset: 9,
  /** Video memory in units of 64 KiB. */
  memory: 10,
} as const;

const ENABLED = 0x01;
const GETCAPS = 0x02;

/** Bits of a pixel that can be shown. */
export type PixelBits = 8 | 15 | 16 | 24 | 32;

/** A picture that lies in video memory row by row. */
export interface LinearMode {
  /** Told apart from {@linkcode OtherMode}. */
  readonly kind: "linear";
  /** Pixels in a row. */
  readonly width: number;
  /** Rows. */
  readonly height: number;
  /** Bits of a pixel; 15 takes two bytes, 8 is an index into the palette. */
  readonly bits: PixelBits;
  /** Bytes from row to row. */
  readonly stride: number;
  /** First byte of the picture in video memory. */
  readonly offset: number;
}

/** No such picture. */
export interface OtherMode {
  /**
   * `vga`: planes, or text whose registers are not known; `off`: no mode at all; `invalid`: registers that
   * name no picture of the card.
   */
  readonly kind: "vga" | "off" | "invalid";
}

/** What the registers do not tell. */
export interface CardRule {
  /** Whether it is a VGA (std, secondary-vga): the start is rounded, and off means a VGA mode. */
  readonly isVga: boolean;
  /** Bytes of its video memory. */
  readonly memoryBytes: number;
}

/** The mode that the registers name; of a VGA's own modes only that it is one. */
export function modeOf(registers: DispiRegisters, card: CardRule): LinearMode | OtherMode {
  const at = (index: number): number => registers[index] as number;
  if ((at(DISPI.enable) & ENABLED) === 0) return { kind: card.isVga ? "vga" : "off" };
  // Asked for its limits, it shows those in place of the mode.
  if ((at(DISPI.enable) & GETCAPS) !== 0) return { kind: "invalid" };
  const bits = at(DISPI.bits);
  if (bits === 4) return { kind: "vga" };
  const [width, height] = [at(DISPI.width), at(DISPI.height)];
  if (!isPixelBits(bits) || width < 1 || height < 1) return { kind: "invalid" };
  const pixelBytes = (bits + 7) >>> 3;
  const stride = Math.max(at(DISPI.virtualWidth), width) * pixelBytes;
  let offset = at(DISPI.xOffset) * pixelBytes + at(DISPI.yOffset) * stride;
  if (card.isVga) offset -= offset % 4;
  const end = offset + (height - 1) * stride + width * pixelBytes;
  const fits = end <= card.memoryBytes && width <= MAX_PICTURE_SIDE && height <= MAX_PICTURE_SIDE &&
    width * height * 4 <= MAX_VGPU_SLOT_BYTES;
  return fits ? { kind: "linear", width, height, bits, stride, offset } : { kind: "invalid" };
}

function isPixelBits(bits: number): bits is PixelBits {
  return bits === 8 || bits === 15 || bits === 16 || bits === 24 || bits === 32;
}
