/** A monitor that pretty-prints: a message in several lines, within the same bounds as one in one line. */
import { assertEquals, assertMatch } from "@std/assert";
import {
  MAX_QMP_DEPTH,
  MAX_QMP_LINE_BYTES,
  MAX_QMP_PARTS,
  MAX_QMP_SHORT_LINE_BYTES,
} from "../../../../src/base/limits.ts";
import { QmpClient } from "../../../../src/qemu/protocol/qmp_client.ts";
import type { QmpEvent } from "../../../../src/qemu/protocol/qmp_message.ts";
import { withSeed } from "../../../fixtures/seeded_random.ts";

const encoder = new TextEncoder();

/** As QEMU 7.2 says it: an empty object has a line end in it. */
function pretty(message: unknown): string {
  return JSON.stringify(message, null, 4).replaceAll("{}", "{\n}").replaceAll("\n", "\r\n") + "\r\n";
}

class Talk {
  readonly errors: string[] = [];
  readonly events: QmpEvent[] = [];
  readonly values: unknown[] = [];
  readonly client = new QmpClient({ sendCommand: () => {} }, {
    onGreeting: () => {},
    onReady: () => {},
    onEvent: (event) => this.events.push(event),
    onProtocolError: (why) => this.errors.push(why),
  });

  /** Says it in pieces of at most `most` bytes. */
  say(text: string, most = 16_384): this {
    const bytes = encoder.encode(text);
    for (let at = 0; at < bytes.length; at += most) {
      const piece = bytes.slice(at, at + most);
      this.client.receive(piece, piece.length);
    }
    return this;
  }

  greet(): this {
    return this.say(pretty({ QMP: { version: { qemu: { major: 7, minor: 2, micro: 22 } } } }))
      .say(pretty({ return: {} }));
  }

  ask(command: string): void {
    this.client.execute(command, undefined, (reply) => {
      this.values.push(reply.outcome === "done" ? reply.value : reply.outcome);
    });
  }
}

Deno.test("a pretty-printed conversation is the same conversation, however it is torn, mixed with plain lines", () => {
  withSeed((random) => {
    for (let round = 0; round < 50; round++) {
      const talk = new Talk().greet();
      assertEquals([talk.client.state, talk.errors], ["ready", []]);
      talk.ask("query-status");
      const data = { text: '}{"\\', list: [[], {}, [1, 2]], deep: { a: { b: {} } } };
      const value = { status: "running", data };
      const event = { event: "STOP", data };
      const text = [event, { return: value, id: undefined }, event].map((message) =>
        random.oneIn(3) ? JSON.stringify(message) + "\r\n" : pretty(message)
      ).join("");
      talk.say(text, 1 + random.below(40));
      assertEquals(talk.errors, []);
      assertEquals(talk.values, [value]);
      assertEquals(talk.events, [{ name: "STOP", data }, { name: "STOP", data }]);
    }
  });
});

Deno.test("a message in several lines is bounded as a whole: bytes, depth, values", () => {
  const refusal = (...lines: string[]): string => {
    const talk = new Talk().greet().say(lines.join("\r\n") + "\r\n");
    assertEquals([talk.client.state, talk.errors.length], ["closed", 1]);
    return talk.errors[0] as string;
  };
  const many = (line: string, count: number): string[] => new Array(count).fill(line);
  assertMatch(refusal("{", ...many(`"a": "${"x".repeat(1000)}",`, 70)), /longer than 65536 bytes/);
  assertMatch(refusal("{", ...many('"a": {', MAX_QMP_DEPTH)), /nested deeper/);
  assertMatch(refusal("{", '"a": [', ...many("1,", MAX_QMP_PARTS)), /values/);
  assertMatch(refusal("{", '"event": "STO', 'P"', "}"), /does not end/);
  assertMatch(refusal("{", '"event": "STOP"', "}}"), /not JSON/);
  assertMatch(refusal("{", "}"), /not a QMP message/);
});

Deno.test("a line that is neither whole nor a bare brace is refused at once, and not waited for", () => {
  for (const line of ['{"event": "STOP"', "{ ", "[", '"event": "STOP"', "}"]) {
    const talk = new Talk().greet().say(line + "\r\n");
    assertEquals([talk.client.state, talk.errors.length], ["closed", 1], line);
  }
});

Deno.test("a long answer may come in several lines while it is owed, and not later", () => {
  const talk = new Talk().greet();
  const long = "x".repeat(MAX_QMP_LINE_BYTES - 1000);
  talk.ask("human-monitor-command");
  talk.say(pretty({ return: long }));
  assertEquals([talk.values, talk.errors], [[long], []]);
  talk.say(pretty({ event: "A", data: { a: "x".repeat(MAX_QMP_SHORT_LINE_BYTES - 1000) } }));
  assertEquals(talk.events.length, 1);
  talk.say(pretty({ event: "A", data: { a: "x".repeat(MAX_QMP_SHORT_LINE_BYTES) } }));
  assertMatch(talk.errors[0] as string, /longer than 65536 bytes/);
});
