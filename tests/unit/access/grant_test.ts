import { assertEquals } from "@std/assert";
import {
  ALL_ENDPOINTS,
  fullGrant,
  isEmptyGrant,
  maskAnd,
  maskFromCbor,
  maskHas,
  maskOf,
  maskOr,
  maskToBigInt,
  NO_ENDPOINTS,
} from "../../../src/access/grant.ts";
import { subscriptionOf } from "../../../src/access/subscription.ts";
import { withSeed } from "../../fixtures/seeded_random.ts";

Deno.test("endpoint masks agree with 64-bit integers", () => {
  withSeed((random) => {
    for (let n = 0; n < 500; n++) {
      const pick = () => Array.from({ length: random.below(20) }, () => random.below(64));
      const [a, b] = [pick(), pick()];
      const big = (list: number[]) => list.reduce((mask, e) => mask | (1n << BigInt(e)), 0n);
      const [ma, mb] = [maskOf(a), maskOf(b)];
      assertEquals(maskToBigInt(ma), big(a));
      assertEquals(maskToBigInt(maskAnd(ma, mb)), big(a) & big(b));
      assertEquals(maskToBigInt(maskOr(ma, mb)), big(a) | big(b));
      assertEquals(maskFromCbor(big(a)), ma);
      for (let e = 0; e < 64; e++) assertEquals(maskHas(ma, e), a.includes(e));
    }
  });
  for (const endpoint of [64, 65, 96, 128, 0x80000000, 0xffffffff]) {
    assertEquals(maskHas(ALL_ENDPOINTS, endpoint), false);
    assertEquals(maskOf([endpoint]), NO_ENDPOINTS);
  }
  assertEquals(maskToBigInt(ALL_ENDPOINTS), 2n ** 64n - 1n);
});

Deno.test("a mask from CBOR is an unsigned integer of 64 bits or none", () => {
  assertEquals(maskFromCbor(5), { lo: 5, hi: 0 });
  assertEquals(maskFromCbor(2 ** 40), { lo: 0, hi: 256 });
  for (const value of [-1, -1n, 2n ** 64n, 1.5, NaN, 2 ** 53, "1", null, undefined, [1], true]) {
    assertEquals(maskFromCbor(value), undefined, String(value));
  }
});

Deno.test("an empty grant allows nothing; a subscription's 0 endpoints are all", () => {
  assertEquals(isEmptyGrant(fullGrant(0)), false);
  assertEquals(isEmptyGrant({ ...fullGrant(0), caps: 0 }), true);
  assertEquals(isEmptyGrant({ ...fullGrant(0), endpoints: NO_ENDPOINTS }), true);
  assertEquals(isEmptyGrant({ ...fullGrant(0), endpoints: maskOf([63]) }), false);
  assertEquals(subscriptionOf(0, 0, NO_ENDPOINTS), { sources: 0, prioMin: 0, endpoints: ALL_ENDPOINTS });
  assertEquals(subscriptionOf(3, 2, maskOf([40])).endpoints, maskOf([40]));
});
