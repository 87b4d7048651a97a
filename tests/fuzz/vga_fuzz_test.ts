/**
 * What QEMU's monitor says about display cards, and the registers of a card: texts and words of a QEMU that
 * its guest may have taken over. A mode that comes out of them lies in the card's memory.
 */
import { assert } from "@std/assert";
import { type CardRule, modeOf } from "../../src/display/vga/dispi.ts";
import {
  MAX_DISPLAY_CARDS,
  parseDisplayCards,
  parseHostPlace,
  parseRegisters,
} from "../../src/display/vga/monitor_texts.ts";
import { fuzz } from "./harness.ts";

const decoder = new TextDecoder();
const CARDS = `  Bus  0, device   2, function 0:
    VGA controller: PCI device 1234:1111
      PCI subsystem 1af4:1100
      BAR0: 32 bit prefetchable memory at 0xfb000000 [0xfbffffff].
      BAR2: 32 bit memory at 0xfebf8000 [0xfebf8fff].
      id ""
  Bus  0, device   3, function 0:
    Display controller: PCI device 1234:1111
      BAR0: 64 bit prefetchable memory at 0xffffffffffffffff [0x00fffffe].
`;

fuzz({
  name: "info pci",
  corpus: () => [CARDS, CARDS.replaceAll("\n", "\r\n"), "  Bus  0, device   0, function 0:\n"],
  largest: 32_768,
  words: [
    "  Bus  0, device   2, function 0:\n",
    "    VGA controller: PCI device 1234:1111\n",
    "0x",
    "[0x",
    "BAR0",
  ]
    .concat(["ffffffffffffffff", "      BAR2: 32 bit memory at 0xfebf8000 [0xfebf8fff].\n", "\n", "\r"]),
  decode: (input) => {
    const cards = parseDisplayCards(decoder.decode(input));
    assert(cards.length <= MAX_DISPLAY_CARDS);
    for (const { vendor, device, memory, registers } of cards) {
      assert(vendor >= 0 && vendor <= 0xffff && device >= 0 && device <= 0xffff);
      for (const range of [memory, registers]) {
        if (range === undefined) continue;
        assert(Number.isSafeInteger(range.gpa) && range.gpa > 0 && range.gpa % 4096 === 0);
        assert(Number.isSafeInteger(range.sizeBytes) && range.sizeBytes >= 4096);
      }
    }
    return cards.length === 0 ? "none" : cards.some((card) => card.memory) ? "placed" : "not placed";
  },
  mustMeet: ["none", "placed", "not placed"],
});

fuzz({
  name: "gpa2hva of a card",
  corpus: () => ["Host virtual address for 0xfb000000 (vga.vram) is 0x7f338d200000\r\n"],
  largest: 4096,
  words: ["0x", "(", ")", " is ", "ffffffff"],
  decode: (input) => {
    const place = parseHostPlace(decoder.decode(input));
    if (place === undefined) return "none";
    assert(place.address >= 4096 && place.address < 2 ** 47 && place.region.length <= 64);
    return "there";
  },
  mustMeet: ["none", "there"],
});

fuzz({
  name: "xp of dispi registers, and their mode",
  corpus: () => [
    "00000000febf8500: 0xb0c5 0x0500 0x0320 0x0020 0x0041 0x0000 0x0500 0x0ccc\r\n" +
    "00000000febf8510: 0x0000 0x0000 0x0100\r\n",
    "febf8500: 0xb0c5 0x0280 0x01e0 0x0008 0x0041 0x0000 0x0280 0x0ccc\nfebf8510: 0x0004 0x0003 0x0100\n",
    "febf8500: 0xb0c5 0x0280 0x01e0 0x0008 0x0000 0x0000 0x0280 0x0ccc\nfebf8510: 0x0004 0x0003 0x0100\n",
  ],
  largest: 2048,
  words: [" 0xffff", " 0x0000", " 0x0018", " 0x0010", " 0x0041", "\r\n"],
  decode: (input, random) => {
    const registers = parseRegisters(decoder.decode(input));
    if (registers === undefined) return "none";
    const card: CardRule = { isVga: random.oneIn(2), memoryBytes: 4096 << random.below(18) };
    const mode = modeOf(registers, card);
    if (mode.kind !== "linear") return mode.kind;
    const { width, height, bits, stride, offset } = mode;
    const rowBytes = width * ((bits + 7) >> 3);
    assert(width >= 1 && height >= 1 && stride >= rowBytes && offset >= 0);
    assert(offset + (height - 1) * stride + rowBytes <= card.memoryBytes, "a picture lies in its memory");
    return "linear";
  },
  mustMeet: ["none", "linear", "vga", "off", "invalid"],
});
