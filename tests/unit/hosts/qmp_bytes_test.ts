/**
 * QMP lines as bytes: numbers are exchanged at their ends, as regular expressions over the texts would.
 * @module
 */
import { assertEquals } from "@std/assert";
import { answerLine, closedCommand, cutAnswer, cutCommand } from "../../../src/hosts/libvirt/qmp_bytes.ts";
import { withSeed } from "../../fixtures/seeded_random.ts";

const encode = (text: string) => new TextEncoder().encode(text);
const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

function commandOf(line: string): [string, string] {
  const cut = cutCommand(encode(line));
  return [decode(closedCommand(cut)), decode(cut.id)];
}

/** What it is to do, in words of regular expressions. */
function expectedCommand(line: string): [string, string] {
  const [, rest, id] = /^(.*),"id":(\d{1,15})\}$/s.exec(line) ?? [undefined, line.replace(/\}$/, ""), ""];
  return [`${rest}}`, id as string];
}

function expectedAnswer(answer: string): string | undefined {
  const rest = /^(\{.*),\s*"id":\s*"libvirt-[0-9]{1,12}"\}\s*$/s.exec(answer)?.[1];
  return rest?.includes("\n") === true ? undefined : rest;
}

Deno.test("a link's number is taken off its command, and put at the end of the answer", () => {
  assertEquals(commandOf('{"execute":"stop","id":17}'), ['{"execute":"stop"}', "17"]);
  assertEquals(commandOf('{"execute":"stop"}'), ['{"execute":"stop"}', ""]);
  const rest = cutAnswer(encode('{"return": {"a": "ä"}, "id": "libvirt-418"}')) as Uint8Array;
  assertEquals(decode(answerLine(rest, encode("17"))), '{"return": {"a": "ä"},"id":17}\r\n');
  assertEquals(decode(answerLine(rest, encode(""))), '{"return": {"a": "ä"}}\r\n');
  for (
    const other of ["", "{}", '{"return": {}}', '{"id": "libvirt-1"}', '{"return": {}, "id": "libvirt-"}']
  ) {
    assertEquals(cutAnswer(encode(other)), undefined, other);
  }
});

Deno.test("lines of pieces in any order are cut as by regular expressions", () => {
  const pieces = [
    ...[
      "{",
      "}",
      ",",
      '"id"',
      ":",
      " ",
      "\n",
      "\r",
      '"',
      "libvirt-",
      "12",
      "1234567890123456",
      '"a"',
      "\xff",
    ],
    ...[',"id":', ', "id": "libvirt-7"}', "}"],
  ];
  withSeed((random) => {
    for (let i = 0; i < 20_000; i++) {
      const count = random.below(9);
      const text = Array.from({ length: count }, () => pieces[random.below(pieces.length)]).join("");
      const line = random.oneIn(2) ? `{"return": {}${text}` : text;
      // A link's line has no line end in it.
      const command = line.replaceAll(/[\r\n]/g, "");
      assertEquals(commandOf(command), expectedCommand(command), JSON.stringify(command));
      const answer = cutAnswer(encode(line));
      const expected = expectedAnswer(line);
      assertEquals(answer === undefined ? undefined : decode(answer), expected, JSON.stringify(line));
    }
  });
});
