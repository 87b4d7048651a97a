/**
 * CMD_MEMWRITE's form: every flag and length, where the source is, and what is refused.
 * @module
 */
import { assertEquals } from "@std/assert";
import { MemwriteRequest } from "../../../../src/adapters/memctx/memwrite_request.ts";
import { codeName } from "../../../../src/base/codes.ts";
import { BODY, EventPool } from "../../../../src/event/transfer_event.ts";

interface Form {
  readonly gva?: bigint;
  readonly len?: number;
  readonly flags?: number;
  readonly cr3?: bigint;
  readonly body?: Uint8Array;
  readonly format?: number;
}

function read({ gva = 0x1000n, len = 8, flags = 1, cr3, body, format = BODY.RAW }: Form) {
  const event = new EventPool().acquire();
  for (let i = 16; i < 48; i++) event.inline[i] = i;
  event.view.setBigUint64(0, gva, true);
  event.view.setUint32(8, len, true);
  event.view.setUint32(12, flags, true);
  if (cr3 !== undefined) event.view.setBigUint64(16, cr3, true);
  if (body !== undefined) event.setBody(format, body);
  const request = new MemwriteRequest();
  const code = codeName(request.read(event));
  const source = request.source.subarray(request.sourceAt, request.sourceAt + request.length);
  return { code, request, source: [...source] };
}

const INLINE = 1, PAYLOAD = 2, CR3 = 4, SEQLOCK = 8;

Deno.test("an inline source is in the tail, behind the root when there is one", () => {
  const plain = read({ gva: 0xffff_8880_1234_5678n, len: 4 });
  assertEquals(plain.code, "ok");
  assertEquals(plain.source, [16, 17, 18, 19]);
  assertEquals([plain.request.hi >>> 0, plain.request.lo >>> 0], [0xffff8880, 0x12345678]);
  assertEquals([plain.request.isKernelHalf, plain.request.hasRoot], [true, false]);
  const rooted = read({ len: 24, flags: INLINE | CR3, cr3: 0x8000_0012_3456_7fffn });
  assertEquals([rooted.code, rooted.source[0], rooted.request.rootFrame], ["ok", 24, 0x1234567]);
  assertEquals(read({ len: 32 }).code, "ok");
  assertEquals(read({ len: 33 }).code, "too-large");
  assertEquals(read({ len: 25, flags: INLINE | CR3, cr3: 0x1000n }).code, "too-large");
});

Deno.test("a body is the source, and must be as long as the write says", () => {
  const body = Uint8Array.from({ length: 4096 }, (_, i) => i & 0xff);
  const whole = read({ len: 4096, flags: PAYLOAD, body });
  assertEquals([whole.code, whole.source.length, whole.source[255]], ["ok", 4096, 255]);
  assertEquals(read({ len: 4097, flags: PAYLOAD, body: new Uint8Array(4097) }).code, "too-large");
  assertEquals(read({ len: 0xffffffff, flags: PAYLOAD, body }).code, "too-large");
  assertEquals(read({ len: 8, flags: PAYLOAD, body }).code, "bad-argument");
  assertEquals(read({ len: 8, flags: PAYLOAD }).code, "bad-argument");
  assertEquals(read({ len: 4096, flags: PAYLOAD, body, format: BODY.CBOR }).code, "bad-argument");
});

Deno.test("flags that are unknown, none or both, lengths of 0, and roots that are none are refused", () => {
  for (const flags of [0, 3, CR3, 0x10 | INLINE, 0x8000_0001]) {
    assertEquals(read({ flags }).code, "bad-argument", `flags ${flags}`);
  }
  assertEquals(read({ len: 0 }).code, "bad-argument");
  for (const cr3 of [0n, 0xfffn, 0x0010_0000_0000_0000n, 0x0008_0000_0000_0000n]) {
    assertEquals(read({ flags: INLINE | CR3, cr3 }).code, "bad-argument", `root ${cr3.toString(16)}`);
  }
});

Deno.test("a sequence word is aligned, and no write runs past the end of all addresses", () => {
  const locked = read({ flags: INLINE | SEQLOCK, len: 8 });
  assertEquals([locked.code, locked.request.span], ["ok", 12]);
  assertEquals(read({ flags: INLINE | SEQLOCK, gva: 0x1002n }).code, "bad-argument");
  assertEquals(read({ gva: 0xffff_ffff_ffff_fff8n }).code, "ok");
  assertEquals(read({ gva: 0xffff_ffff_ffff_fff9n }).code, "bad-argument");
  assertEquals(read({ gva: 0xffff_ffff_ffff_fff8n, flags: INLINE | SEQLOCK }).code, "bad-argument");
});

Deno.test("what is canonical depends on the levels", () => {
  const canonical = (gva: bigint) => {
    const { request } = read({ gva });
    return [request.isCanonical(48), request.isCanonical(57)];
  };
  assertEquals(canonical(0x0000_7fff_ffff_f000n), [true, true]);
  assertEquals(canonical(0x0000_8000_0000_0000n), [false, true]);
  assertEquals(canonical(0xff00_0000_0000_0000n), [false, true]);
  assertEquals(canonical(0xffff_8000_0000_0000n), [true, true]);
  assertEquals(canonical(0x8000_0000_0000_0000n), [false, false]);
});
