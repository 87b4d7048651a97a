/** Unpacking of dumps' pages: what our packers and the real libraries make, and blocks that are cut. */
import { assert, assertEquals } from "@std/assert";
import { bytesOfHex } from "../../../src/base/hex.ts";
import { CODECS } from "../../../src/ram/dumps/codecs.ts";
import { unpackLzo } from "../../../src/ram/dumps/lzo.ts";
import { unpackSnappy } from "../../../src/ram/dumps/snappy.ts";
import { PACKERS } from "../../fixtures/dump_writers.ts";
import { type SeededRandom, withSeed } from "../../fixtures/seeded_random.ts";

const PAGE = 4096;

/** Pages of zeros, of text, of pointers, of noise, and of runs. */
function pageOf(random: SeededRandom): Uint8Array<ArrayBuffer> {
  const page = new Uint8Array(PAGE);
  const kind = random.below(5);
  if (kind === 0) return page.fill(random.oneIn(2) ? 0 : 0x6b);
  for (let at = 0; at < PAGE;) {
    if (kind === 1) page[at++] = random.u32();
    else if (kind === 2) page[at++] = 97 + random.below(4);
    else {
      const n = 1 + random.below(kind === 3 ? 12 : 600);
      page.fill(random.u32(), at, at + n);
      at += n;
    }
  }
  return page;
}

for (const { name, flag, unpack } of CODECS) {
  Deno.test({
    name: `${name}: what is packed comes out again, and nothing else does`,
    // node:zlib of the oldest Deno has no zstd.
    ignore: unpack === undefined,
    fn: () =>
      withSeed((random) => {
        const pack = PACKERS.find(([of]) => of === flag)![1]!;
        const out = new Uint8Array(PAGE);
        for (let i = 0; i < 200; i++) {
          const page = pageOf(random);
          const packed = Uint8Array.from(pack(page));
          assert(unpack!(packed, out.fill(0xee)), `page ${i}`);
          assertEquals(out, page);
          assert(!unpack!(packed, new Uint8Array(PAGE - 1)), "a block that is longer than a page");
          assert(!unpack!(packed, new Uint8Array(PAGE + 1)), "a block that is shorter than a page");
          const cut = packed.subarray(0, random.below(packed.length));
          assert(!unpack!(cut, out), "a block that is cut short");
        }
      }),
  });
}

/** A page, and what liblzo2 2.10 (both compressors) and libsnappy 1.1.9 make of it. */
const KNOWN = Uint8Array.from(
  { length: PAGE },
  (_, i) => i % 1024 < 90 ? i % 97 : Math.floor(i / 40) % 3 + 65,
);
const LZO_1 =
  "004c000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d" +
  "2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f5051525354555657585943434343" +
  "3809004120060100422006000038a4012c64002006d901412006d901422c740138340020000079dc012003240f045a5b" +
  "5c5d5e5f60200ea810a45e200000c91c0d2e9c0b3824182c6400b464200114002e7c01363c002c7401383400e40e202e" +
  "d01f29a81034ec01fc0e3e1c00367c032e5c003494013054003ebc01fc032e7c01363c00308401344400fc0a3e1c0036" +
  "9c012e5c003494013054003ebc01fc032e7c01363c00308401344400fc0a3e1c00369c012e5c003494013054003ebc01" +
  "fc032e7c01363c00308401344400fc0a3e1c00369c012e5c003494013054003ebc01fc032e7c012e3e00414235f82e29" +
  "250f0420147c302ea401343c00306403344400fc193e1c003494013054003494013054003ebc01fc0330840134440030" +
  "8401344400fc0a3e1c003494013054003494013054003ebc01fc03308401344400308401344400fc0a3e1c0034940130" +
  "54003494013054003ebc01fc03308401344400308401344400fc0a3e1c003494013054003494013054000d4141414141" +
  "4141414141414141414141110000";
const LZO_999 =
  "6c000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e" +
  "2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f50515253545556575859433b010041" +
  "2006010042200601004320060000200000f1dc012003240f045a5b5c5d5e5f60200ea8102000000048fc0e201fdc0120" +
  "2ed01f29a8102000000080dc1fe000202ed01f29a8102000000080dc1fe000110000";
const SNAPPY =
  "8020f05e000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b" +
  "2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758594343" +
  "43434362030000419a010000429a01006269003a01009a7700fe7800fe7800fe7800fe7800fe7800fe7800fe7800fe78" +
  "00fe7800fe7800fe7800a2780000368aca03185a5b5c5d5e5f60ba2b04696a9abf03fec003fec003fec003fec003fec0" +
  "03fec003fec003fec003fec003fec003fec003fec003e2c0033e01003aef06620100699e044141fef5073af5079d2b56" +
  "7b0011787e01003ed8005e01005666004601007e700011015e68003e010046620056010011587e01003e60005e010056" +
  "66004601007e700011015e68003e010046620056010011587e01003e60005e01005666004601007e700011015e68003e" +
  "010046620056010011587e01003e60005e01005666004601007e700011015e6800110162bf0b7dcad6200c1162760100" +
  "46da0056010011d07e0100766e0019015666004601007e70001101195a76010046620056010011587e0100766e001901" +
  "5666004601007e70001101195a76010046620056010011587e0100766e0019015666004601007e70001101195a760100" +
  "46620056010011587e0100766e0019015666004601003e7000";

Deno.test("blocks of the libraries that dumps are packed by", () => {
  const blocks = [[LZO_1, unpackLzo], [LZO_999, unpackLzo], [SNAPPY, unpackSnappy]] as const;
  for (const [hex, unpack] of blocks) {
    const out = new Uint8Array(PAGE);
    assert(unpack(bytesOfHex(hex)!, out));
    assertEquals(out, KNOWN);
  }
});
