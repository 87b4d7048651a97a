/** HELLO: the first bytes of any local process, before admission. */
import { assert } from "@std/assert";
import { decode } from "cborg";
import { MAX_BODY_BYTES } from "../../src/base/limits.ts";
import { helloOf } from "../../src/client/handshake.ts";
import { helloBody, readHello } from "../../src/protocol/hello.ts";
import { fuzz } from "./harness.ts";
import { CBOR_OPENERS, CBOR_WORDS, cborBytes, withDefects } from "./structured.ts";

/** A REFUSED and a line of the log hold it. */
const MOST_REASON_CHARACTERS = 1024;

fuzz({
  name: "HELLO",
  corpus: () => [
    helloBody({ name: "control" }),
    // Of indefinite length: no map of ours, and nobody's that is admitted.
    new Uint8Array([0xbf, ...helloBody({ name: "endless" }).subarray(1), 0xff]),
    helloBody(helloOf("narrow", { sources: ["memctx", "frame"], prioMin: 2, endpoints: [0, 5, 63] })),
    cborBytes({ proto: 1, kinds: -1 }),
    cborBytes({ proto: 1 }),
    cborBytes({ proto: 1, name: "x".repeat(200), sub: { endpoints: 2 ** 53 } }),
    helloBody({ name: "of somebody", as: "token:alice" }),
    cborBytes({ proto: 1, as: "uid:0" }),
    cborBytes({ proto: 2, name: "of tomorrow" }),
  ],
  make: (random) =>
    cborBytes(
      withDefects(random, {
        proto: 1,
        name: "n",
        sub: { sources: 3, prio_min: 1, endpoints: 5 },
        kinds: 113,
        as: "nats:bob",
      }),
    ),
  largest: MAX_BODY_BYTES,
  words: [
    ...CBOR_WORDS,
    ...["proto", "name", "sub", "sources", "prio_min", "endpoints", "kinds", "as", "token:alice", "nats:*"]
      .map(cborBytes),
  ],
  openers: CBOR_OPENERS,
  decode: (body) => {
    const reading = readHello(body);
    if (!reading.ok) {
      assert(
        reading.reason.length <= MOST_REASON_CHARACTERS,
        `the reason has ${reading.reason.length} characters`,
      );
      return reading.unsupported ? "unsupported" : "refused";
    }
    const { hello } = reading;
    decode(body, { allowIndefinite: false });
    assert(hello.name.length <= 64);
    assert(hello.prioMin >= 0 && hello.prioMin <= 3);
    assert(hello.as === "" || /^(token|nats):[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/.test(hello.as), hello.as);
    assert(hello.kinds >= 0 && hello.kinds <= 0xffffffff);
    // What it was read as says the same when it is said again.
    const again = readHello(helloBody(hello));
    assert(again.ok && again.hello.sources === hello.sources && again.hello.name === hello.name);
    assert(again.hello.as === hello.as);
    return "ok";
  },
  mustMeet: ["ok", "refused", "unsupported"],
});
