/**
 * XT's scan codes, as QEMU's extended key events carry them, to evdev's codes of keys (Linux,
 * input-event-codes.h). Those of one byte are evdev's own up to F12; the others stand here: those of two
 * bytes, 0xe0 NN, as NN | 0x80.
 * @module
 */

/** The last one of the row that evdev took over as it was. */
const LAST_SAME = 0x53;

// SCAN:EVDEV, hexadecimal to decimal.
const OTHERS = `
54:99 56:86 57:87 58:88 59:117 70:93 71:123 72:122 73:89 77:91 78:90 79:92 7b:94 7d:124 7e:121
90:165 99:163 9c:96 9d:97 a0:113 a1:140 a2:164 a4:166 ae:114 b0:115 b2:172 b5:98 b7:99 b8:100 c5:69 c6:119
c7:102 c8:103 c9:104 cb:105 cd:106 cf:107 d0:108 d1:109 d2:110 d3:111 db:125 dc:126 dd:127 de:116 df:142
e3:143 e5:217 e6:156 e7:173 e8:128 e9:159 ea:158 eb:157 ec:155 ed:226
`;

const CODES = new Map(
  OTHERS.trim().split(/\s+/).map((pair) => {
    const [scan = "", code = ""] = pair.split(":");
    return [parseInt(scan, 16), Number(code)] as const;
  }),
);

/** evdev's code of a key; undefined for a number that no key has. */
export function keyOfScanCode(scanCode: number): number | undefined {
  return scanCode >= 1 && scanCode <= LAST_SAME ? scanCode : CODES.get(scanCode);
}
