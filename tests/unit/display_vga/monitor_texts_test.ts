/** Texts of QEMU's human monitor about display cards, as 7.2 and 11 print them, and wrong ones. */
import { assertEquals } from "@std/assert";
import {
  isLinearCard,
  MAX_DISPLAY_CARDS,
  parseDisplayCards,
  parseHostPlace,
  parseRegisters,
  registersCommand,
} from "../../../src/display/vga/monitor_texts.ts";

const PCI = `  Bus  0, device   0, function 0:
    Host bridge: PCI device 8086:1237
      PCI subsystem 1af4:1100
      id ""
  Bus  0, device   2, function 0:
    VGA controller: PCI device 1234:1111
      PCI subsystem 1af4:1100
      BAR0: 32 bit prefetchable memory at 0xfb000000 [0xfbffffff].
      BAR2: 32 bit memory at 0xfebf8000 [0xfebf8fff].
      BAR6: 32 bit memory at 0xffffffffffffffff [0x0000fffe].
      id ""
  Bus  0, device   3, function 0:
    Display controller: PCI device 1234:1111
      BAR0: 32 bit prefetchable memory at 0xffffffffffffffff [0x00fffffe].
      BAR2: 32 bit memory at 0xffffffffffffffff [0x00000ffe].
      id "second"
  Bus  1, device  31, function 7:
    VGA controller: PCI device 1013:00b8
      BAR0: 64 bit prefetchable memory at 0x383800000000 [0x383801ffffff].
      BAR1: 32 bit memory at 0xfebf9000 [0xfebf9fff].
      id ""
`;

Deno.test("monitor texts: the display cards of info pci, with what is not placed yet, and other cards", () => {
  // From 10 on a BAR's line ends without a full stop, and one that is not mapped is told in words.
  const newer = PCI.replaceAll("].", "]").replaceAll(/memory at 0xf{16} .*/g, "memory (not mapped)");
  for (const text of [PCI, PCI.replaceAll("\n", "\r\n"), newer]) {
    const cards = parseDisplayCards(text);
    assertEquals(cards, [
      {
        place: "0:2.0",
        vendor: 0x1234,
        device: 0x1111,
        isVga: true,
        memory: { gpa: 0xfb00_0000, sizeBytes: 16 << 20 },
        registers: { gpa: 0xfebf_8000, sizeBytes: 4096 },
      },
      {
        place: "0:3.0",
        vendor: 0x1234,
        device: 0x1111,
        isVga: false,
        memory: undefined,
        registers: undefined,
      },
      {
        place: "1:31.7",
        vendor: 0x1013,
        device: 0xb8,
        isVga: true,
        memory: { gpa: 0x3838_0000_0000, sizeBytes: 32 << 20 },
        registers: undefined,
      },
    ]);
    assertEquals(cards.map(isLinearCard), [true, true, false]);
  }
  assertEquals(parseDisplayCards(""), []);
  assertEquals(parseDisplayCards("unknown command: 'info pci'\r\n"), []);
  assertEquals(parseDisplayCards(PCI.repeat(20)).length, MAX_DISPLAY_CARDS);
});

Deno.test("monitor texts: the host address of a card's memory, and the ways of saying that there is none", () => {
  assertEquals(
    parseHostPlace("Host virtual address for 0xfb000000 (vga.vram) is 0x7f338d200000\r\n"),
    { region: "vga.vram", address: 0x7f33_8d20_0000 },
  );
  assertEquals(
    parseHostPlace("Host virtual address for 0xfb000000 (0000:00:02.0/vga.vram) is 0x7f338d200000\n"),
    { region: "0000:00:02.0/vga.vram", address: 0x7f33_8d20_0000 },
  );
  for (
    const text of [
      "No memory is mapped at address 0xdeadbeef00\r\n",
      "Memory at address 0xfebf8500 is not RAM\r\n",
      "Host virtual address for 0xfb000000 (vga.vram) is 0xffff8d200000\r\n",
      "Host virtual address for 0xfb000000 (vga.vram) is 0x0\r\n",
      "",
    ]
  ) assertEquals(parseHostPlace(text), undefined, text);
});

Deno.test("monitor texts: a card's registers with addresses of 16 and of 8 digits, and anything else", () => {
  const registers = { gpa: 0xfebf_8000, sizeBytes: 4096 };
  assertEquals(registersCommand(registers), "xp /11hx 0xfebf8500");
  const words = Uint16Array.of(0xb0c5, 0x500, 0x320, 0x20, 0x41, 0, 0x500, 0xccc, 0, 0, 0x100);
  const lines = [
    ": 0xb0c5 0x0500 0x0320 0x0020 0x0041 0x0000 0x0500 0x0ccc\r\n",
    ": 0x0000 0x0000 0x0100\r\n",
  ];
  assertEquals(parseRegisters(`00000000febf8500${lines[0]}00000000febf8510${lines[1]}`), words);
  assertEquals(parseRegisters(`febf8500${lines[0]}febf8510${lines[1]}`), words);
  for (
    const text of [
      "000fffff00000000: Cannot access memory\r\n",
      `febf8500${lines[0]}`,
      `febf8500${lines[0]}febf8510${lines[1]}febf8518: 0x0000\r\n`,
      `febf8500${lines[0]!.replace("b0c5", "ffff")}febf8510${lines[1]}`,
      "",
    ]
  ) assertEquals(parseRegisters(text), undefined, text);
});
