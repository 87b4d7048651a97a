/**
 * The client's part of RFB's handshake: three versions, both securities, refusals, and what a hostile server
 * could say, in pieces of every size.
 * @module
 */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { Fault } from "../../../src/base/fault.ts";
import { ClientHandshake, type ServerInit } from "../../../src/rfb/client_handshake.ts";
import { BGRX, writePixelFormat } from "../../../src/rfb/pixel_format.ts";
import { vncResponse } from "../../../src/rfb/vnc_auth.ts";

type Piece = string | readonly number[] | Uint8Array;

function bytes(...pieces: readonly Piece[]): Uint8Array<ArrayBuffer> {
  return new Uint8Array(
    pieces.flatMap((piece) => typeof piece === "string" ? [...new TextEncoder().encode(piece)] : [...piece]),
  );
}

function serverInit(name: string, length = name.length): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(24);
  const view = new DataView(out.buffer);
  view.setUint16(0, 720);
  view.setUint16(2, 400);
  writePixelFormat(view, 4, BGRX);
  view.setUint32(20, length);
  return bytes(out, name);
}

/** Feeds pieces of a size, as a socket would give them. */
function run(
  input: Uint8Array<ArrayBuffer>,
  size: number,
  password?: string,
): { init: ServerInit | undefined; sent: number[]; used: number } {
  const sent: number[] = [];
  const handshake = new ClientHandshake({ password, shared: true }, (out) => sent.push(...out));
  let used = 0;
  for (let end = size; used < input.length && end < input.length + size; end += size) {
    used += handshake.feed(input, used, Math.min(end, input.length));
  }
  return { init: handshake.result, sent, used };
}

const CHALLENGE = Array.from({ length: 16 }, (_, i) => i * 3);
const OK = [0, 0, 0, 0];

const GOOD: readonly [
  what: string,
  server: Uint8Array<ArrayBuffer>,
  client: Uint8Array,
  password?: string,
][] = [
  ["3.8, none", bytes("RFB 003.008\n", [2, 2, 1], OK, serverInit("vm")), bytes("RFB 003.008\n", [1, 1])],
  ["3.7, none", bytes("RFB 003.007\n", [1, 1], serverInit("vm")), bytes("RFB 003.007\n", [1, 1])],
  ["3.3, none", bytes("RFB 003.003\n", [0, 0, 0, 1], serverInit("vm")), bytes("RFB 003.003\n", [1])],
  ["3.5 is 3.3", bytes("RFB 003.005\n", [0, 0, 0, 1], serverInit("vm")), bytes("RFB 003.003\n", [1])],
  ["4.1 is 3.8", bytes("RFB 004.001\n", [1, 1], OK, serverInit("vm")), bytes("RFB 003.008\n", [1, 1])],
  ["3.889 is 3.8", bytes("RFB 003.889\n", [1, 1], OK, serverInit("vm")), bytes("RFB 003.008\n", [1, 1])],
  [
    "3.8, password",
    bytes("RFB 003.008\n", [1, 2], CHALLENGE, OK, serverInit("vm")),
    bytes("RFB 003.008\n", [2], vncResponse("secret", new Uint8Array(CHALLENGE)), [1]),
    "secret",
  ],
  [
    "3.7, password",
    bytes("RFB 003.007\n", [1, 2], CHALLENGE, OK, serverInit("vm")),
    bytes("RFB 003.007\n", [2], vncResponse("secret", new Uint8Array(CHALLENGE)), [1]),
    "secret",
  ],
  [
    "3.3, password",
    bytes("RFB 003.003\n", [0, 0, 0, 2], CHALLENGE, OK, serverInit("vm")),
    bytes("RFB 003.003\n", vncResponse("secret", new Uint8Array(CHALLENGE)), [1]),
    "secret",
  ],
];

Deno.test("an RFB handshake goes through in three versions, in pieces of any size", () => {
  for (const [what, server, client, password] of GOOD) {
    for (const size of [1, 2, 7, 1000]) {
      const { init, sent, used } = run(server, size, password);
      assertEquals([init?.width, init?.height, init?.name, init?.format], [720, 400, "vm", BGRX], what);
      assertEquals(sent, [...client], what);
      assertEquals(used, server.length, what);
    }
  }
});

Deno.test("an RFB handshake leaves what follows it", () => {
  const server = bytes("RFB 003.008\n", [1, 1], OK, serverInit(""));
  const { init, used } = run(bytes(server, [9, 9, 9]), 1000);
  assertEquals([init?.name, used], ["", server.length]);
});

const BAD: readonly [what: string, server: Uint8Array<ArrayBuffer>, code: string, says: string][] = [
  ["no RFB", bytes("SSH-2.0-Open\n\n"), "protocol-error", "begins with"],
  ["version 2", bytes("RFB 002.008\n"), "protocol-error", "begins with"],
  ["terminal codes", bytes("\x1b[31mRFB 3.8\n\n"), "protocol-error", "\\x1b"],
  ["refused", bytes("RFB 003.008\n", [0, 0, 0, 0, 4], "full"), "refused", '"full"'],
  ["refused in 3.3", bytes("RFB 003.003\n", OK, [0, 0, 0, 0]), "refused", "without a reason"],
  [
    "refused by its result",
    bytes("RFB 003.008\n", [1, 1], [0, 0, 0, 1], [0, 0, 0, 2], "no"),
    "refused",
    '"no"',
  ],
  ["password wanted", bytes("RFB 003.008\n", [1, 2], CHALLENGE), "refused", "none is given"],
  ["TLS alone", bytes("RFB 003.008\n", [2, 18, 19]), "not-supported", "security 18, 19"],
  [
    "24 bits a pixel",
    bytes("RFB 003.008\n", [1, 1], OK, [0, 1, 0, 1, 24]).slice(),
    "protocol-error",
    "24 bits",
  ],
];

Deno.test("an RFB server that does not let us in, or talks nonsense, ends the handshake with a reason", () => {
  for (const [what, server, code, says] of BAD) {
    const padded = bytes(server, what.startsWith("24") ? new Uint8Array(40) : []);
    const fault = assertThrows(() => run(padded, 1000), Fault, says, what);
    assertEquals(fault.code, code, what);
    // deno-lint-ignore no-control-regex
    assert(!/[\x00-\x1f]/.test(fault.message), what);
  }
});

Deno.test("a wrong password in 3.7 is told without the server's reason", () => {
  const server = bytes("RFB 003.007\n", [1, 2], CHALLENGE, [0, 0, 0, 1]);
  assertEquals(assertThrows(() => run(server, 5, "x"), Fault, "is the password right").code, "refused");
});

Deno.test("an endless name is thrown away as it comes, and its beginning kept", () => {
  const handshake = new ClientHandshake({ shared: true }, () => {});
  const head = bytes("RFB 003.008\n", [1, 1], OK, serverInit("", 0x4000_0000));
  assertEquals(handshake.feed(head, 0, head.length), head.length);
  const piece = new Uint8Array(65536).fill(0x41);
  for (let i = 0; i < 0x4000_0000 / 65536; i++) {
    assertEquals(handshake.result, undefined);
    assertEquals(handshake.feed(piece, 0, piece.length), piece.length);
  }
  assertEquals(handshake.result?.name, "A".repeat(256));
});
