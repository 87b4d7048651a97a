/** What a page says to `vmsig web`, and the file of those who may come in. */
import { MOST_ANSWER } from "../../src/client/asks.ts";
import { assert } from "@std/assert";
import { MOST_MESSAGE, MOST_PASTE, parseMessage } from "../../src/web/message.ts";
import { parseTokens } from "../../src/web/tokens.ts";
import { fuzz } from "./harness.ts";

const decoder = new TextDecoder();
const HASH = "0123456789abcdef".repeat(4);

fuzz({
  name: "web message",
  corpus: () => [
    '{"op":"see","id":0,"vms":["web","db"]}',
    '{"op":"take","id":1,"vm":"web"}',
    '{"op":"take","id":1,"vm":"web","why":"a look"}',
    '{"op":"metrics","id":8}',
    '{"op":"asks","id":10}',
    '{"op":"answer","id":11,"ask":"0123456789ab","text":"yes"}',
    '{"op":"consoles","id":9,"vm":"web"}',
    '{"op":"give","id":2,"vm":"web"}',
    '{"op":"text","id":3,"vm":"web"}',
    '{"op":"processes","id":4,"vm":"web"}',
    '{"op":"key","id":5,"vm":"web","chord":"ctrl-alt-delete"}',
    '{"op":"paste","id":6,"vm":"web","text":"ls\\n","layout":"de"}',
    '{"op":"power","id":7,"vm":"web","what":"reset"}',
  ],
  largest: MOST_MESSAGE + 100,
  words: [
    '"op":',
    '"id":',
    '"vm":',
    '"vms":',
    '"what":',
    '"__proto__":',
    "null",
    "1e999",
    "-1",
    '"quit"',
    "\\u0000",
  ],
  openers: ["[", '{"a":', '{"op":"see","id":0,"vms":['],
  decode: (input) => {
    const message = parseMessage(decoder.decode(input));
    assert(Number.isSafeInteger(message.id) && message.id >= 0);
    if (message.op === "see") assert(message.vms.every((vm) => typeof vm === "string" && vm.length <= 128));
    else if (message.op === "answer") assert(message.ask.length > 0 && message.text.length <= MOST_ANSWER);
    else if (message.op !== "metrics" && message.op !== "asks") {
      assert(typeof message.vm === "string" && message.vm.length > 0);
    }
    if (message.op === "take") assert(new TextEncoder().encode(message.why).length <= 200);
    if (message.op === "paste") assert(message.text.length <= MOST_PASTE);
    return message.op;
  },
  mustMeet: [
    ...[
      "see",
      "take",
      "give",
      "text",
      "processes",
      "key",
      "paste",
      "power",
      "metrics",
      "consoles",
      "asks",
      "answer",
    ],
    "fault:protocol-error",
  ],
});

fuzz({
  name: "web tokens",
  corpus: () => [`ann ${HASH}\n`, `# people\n\nann ${HASH}\r\nb.o-b_1\t${HASH.replace("0", "1")}\n`],
  largest: 65_536,
  words: ["ann", HASH, "\n", "#", " ", "\t", "\r\n"],
  share: 300,
  decode: (input) => {
    for (const [hash, name] of parseTokens(decoder.decode(input))) {
      assert(/^[0-9a-f]{64}$/.test(hash) && /^[A-Za-z0-9][\w.-]*$/.test(name));
    }
    return "read";
  },
  mustMeet: ["read", "fault:bad-argument"],
});
