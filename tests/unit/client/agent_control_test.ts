/**
 * Files by a guest's agent as a client asks for them, over an agent that does what a test says: pieces in
 * order with some under way at once, the end told once, a part that was written told as that.
 */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { encode } from "cborg";
import { Fault } from "../../../src/base/fault.ts";
import { AgentControl } from "../../../src/client/agent_control.ts";
import type { ClientEvent } from "../../../src/client/client_event.ts";
import type { ClientPort } from "../../../src/client/client_port.ts";
import { AGENT_OP, MAX_AGENT_PIECE } from "../../../src/event/agent_op.ts";
import { AGENT_REQUEST } from "../../../src/event/body_layout.ts";
import { KIND } from "../../../src/event/kind.ts";
import { EventPool } from "../../../src/event/transfer_event.ts";

/** An agent with one file, which answers a moment later, as one does. */
class FakeAgent {
  readonly pool = new EventPool();
  readonly ops: number[] = [];
  file = new Uint8Array(0);
  at = 0;
  underWay = 0;
  mostUnderWay = 0;
  /** Writes so many bytes less than it is given, once. */
  shortBy = 0;

  get home(): ClientPort {
    const home = {
      roster: { nameOf: () => "vm" },
      fault: undefined,
      endpoint: () => Promise.resolve(0),
      acquire: () => Promise.resolve({ token: 1, release: () => Promise.resolve() }),
      command: async (_kind: number, _endpoint: number, _what: string, fill: (event: unknown) => void) => {
        const event = this.pool.acquire();
        fill(event);
        const op = event.words[AGENT_REQUEST.at.op / 4] as number;
        const count = event.words[AGENT_REQUEST.at.count / 4] as number;
        const body = event.bodyBytes > 0 ? event.bodyView().slice() : new Uint8Array(0);
        event.release();
        this.ops.push(op);
        this.mostUnderWay = Math.max(this.mostUnderWay, ++this.underWay);
        const value = this.#do(op, count, body);
        await new Promise((resolve) => setTimeout(resolve, 1));
        this.underWay--;
        return { kind: KIND.AGENT_REPLY, body: encode(value) } as unknown as ClientEvent;
      },
    };
    return home as unknown as ClientPort;
  }

  #do(op: number, count: number, body: Uint8Array): unknown {
    switch (op) {
      case AGENT_OP.OPEN_READ:
      case AGENT_OP.OPEN_WRITE:
        return { handle: 1 };
      case AGENT_OP.FILE_READ: {
        const bytes = this.file.slice(this.at, this.at + count);
        this.at += bytes.length;
        return { bytes, eof: this.at === this.file.length };
      }
      case AGENT_OP.FILE_WRITE: {
        const taken = body.subarray(0, body.length - this.shortBy);
        this.shortBy = 0;
        const grown = new Uint8Array(this.file.length + taken.length);
        grown.set(this.file);
        grown.set(taken, this.file.length);
        this.file = grown;
        return { count: taken.length };
      }
      default:
        return null;
    }
  }
}

const SIZE = 10 * MAX_AGENT_PIECE + 7;
const BYTES = Uint8Array.from({ length: SIZE }, (_, i) => (i * 31) & 0xff);

Deno.test("a file is read in order, some pieces under way at once, and closed when it is over or given up", async () => {
  const fake = new FakeAgent();
  fake.file = BYTES;
  const agent = await AgentControl.of(fake.home, 0);
  let at = 0;
  for await (const piece of agent.readFile("/f")) {
    assertEquals(piece, BYTES.slice(at, at + piece.length));
    at += piece.length;
  }
  assertEquals(at, SIZE);
  assert(fake.mostUnderWay > 1 && fake.mostUnderWay <= 4, `${fake.mostUnderWay} under way`);
  assertEquals([fake.underWay, fake.ops.at(-1)], [0, AGENT_OP.FILE_CLOSE]);
  fake.at = 0;
  for await (const _piece of agent.readFile("/f")) break;
  assertEquals([fake.underWay, fake.ops.at(-1)], [0, AGENT_OP.FILE_CLOSE]);
});

Deno.test("a file is written in order out of memory that is used again, and told as a part when it is one", async () => {
  const fake = new FakeAgent();
  const agent = await AgentControl.of(fake.home, 0);
  const buffer = new Uint8Array(100_000);
  const source = function* () {
    for (let at = 0; at < SIZE; at += buffer.length) {
      const part = BYTES.subarray(at, at + buffer.length);
      buffer.set(part);
      yield buffer.subarray(0, part.length);
    }
  };
  const told: number[] = [];
  await agent.writeFile("/f", source(), { progress: (done) => told.push(done) });
  assertEquals(fake.file, BYTES);
  assertEquals([told.at(-1), told.toSorted((a, b) => a - b)], [SIZE, told]);
  assert(fake.mostUnderWay > 1 && fake.mostUnderWay <= 4, `${fake.mostUnderWay} under way`);
  fake.shortBy = 1;
  const fault = await assertRejects(() => agent.writeFile("/f", source()), Fault);
  assertEquals(fault.code, "refused");
  assertMatch(fault.message, /wrote only a part/);
  assertEquals([fake.underWay, fake.ops.at(-1)], [0, AGENT_OP.FILE_CLOSE]);
});
