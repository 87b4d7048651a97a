/** HELLO: the first bytes of any local process, before admission. */
import { assert } from "@std/assert";
import { MAX_BODY_BYTES } from "../../src/base/limits.ts";
import { helloBody } from "../../src/client/handshake.ts";
import { readHello } from "../../src/controls/socket/handshake.ts";
import { fuzz } from "./harness.ts";
import { CBOR_OPENERS, CBOR_WORDS, cborBytes, withDefects } from "./structured.ts";

/** A REFUSED and a line of the log hold it. */
const MOST_REASON_CHARACTERS = 1024;

fuzz({
  name: "HELLO",
  corpus: () => [
    helloBody("control", {}),
    helloBody("narrow", { sources: ["memctx", "frame"], prioMin: 2, endpoints: [0, 5, 63] }),
    cborBytes({ proto: 1 }),
    cborBytes({ proto: 1, name: "x".repeat(200), sub: { endpoints: 2 ** 53 } }),
    cborBytes({ proto: 2, name: "of tomorrow" }),
  ],
  make: (random) =>
    cborBytes(withDefects(random, { proto: 1, name: "n", sub: { sources: 3, prio_min: 1, endpoints: 5 } })),
  largest: MAX_BODY_BYTES,
  words: [...CBOR_WORDS, ...["proto", "name", "sub", "sources", "prio_min", "endpoints"].map(cborBytes)],
  openers: CBOR_OPENERS,
  decode: (body) => {
    const hello = readHello(body);
    if (!hello.ok) {
      assert(
        hello.reason.length <= MOST_REASON_CHARACTERS,
        `the reason has ${hello.reason.length} characters`,
      );
      return hello.unsupported ? "unsupported" : "refused";
    }
    assert(hello.name.length <= 64);
    assert(hello.subscription.prioMin >= 0 && hello.subscription.prioMin <= 3);
    return "ok";
  },
  mustMeet: ["ok", "refused", "unsupported"],
});
