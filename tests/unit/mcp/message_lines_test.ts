/** A client's messages on standard input: in one piece each, bounded, and answered when they are none. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { LinePieces } from "../../../src/mcp/message_lines.ts";

const WORDS = '{"jsonrpc":"2.0","id":1,"method":"ping"}';
const PING = `${WORDS}\n`;

function taking(mostBytes: number) {
  const messages: string[] = [];
  const answers: { id: unknown; error: { code: number; message: string } }[] = [];
  const pieces = new LinePieces(
    { mostBytes, answer: (line) => answers.push(JSON.parse(line)) },
    (message) => messages.push(JSON.stringify(message)),
  );
  return { messages, answers, add: (text: string) => pieces.add(new TextEncoder().encode(text)) };
}

Deno.test("mcp lines: messages whole, however they are cut", () => {
  const { messages, answers, add } = taking(1000);
  for (const char of PING + PING) add(char);
  add(`${PING}\n \r\n${PING}{"jsonrpc"`);
  add(':"2.0","method":"x","params":{}}\n{"jsonrpc":"2.0","id":"a","result":{}}\n');
  assertEquals(messages.length, 6);
  assertEquals(messages.slice(0, 4), [WORDS, WORDS, WORDS, WORDS]);
  assertEquals(answers, []);
});

Deno.test("mcp lines: a line that is not a message is answered, and the next one is taken", () => {
  for (
    const [line, code, why, id] of [
      ["not json", -32700, "not JSON", null],
      ["{", -32700, "not JSON", null],
      ["[]", -32600, "one message per line", null],
      ["null", -32600, "not an object", null],
      ["{}", -32600, "2.0", null],
      ['{"jsonrpc":"1.0","id":4,"method":"ping"}', -32600, "2.0", 4],
      ['{"jsonrpc":"2.0","id":4}', -32600, "no method", 4],
      ['{"jsonrpc":"2.0","id":"b","method":5}', -32600, "method", "b"],
      ['{"jsonrpc":"2.0","id":[1],"method":"ping"}', -32600, "id", null],
      ['{"jsonrpc":"2.0","id":4,"method":"ping","params":[]}', -32600, "params", 4],
      ['{"jsonrpc":"2.0","id":4,"method":"ping","x":"' + "a".repeat(1000) + '"}', -32600, "1000 bytes", null],
    ] as const
  ) {
    const { messages, answers, add } = taking(1000);
    add(`${line}\n${PING}`);
    assertEquals(messages, [WORDS], line);
    assertEquals([answers.length, answers[0]?.id, answers[0]?.error.code], [1, id, code], line);
    assertStringIncludes(answers[0]?.error.message ?? "", why);
  }
});
