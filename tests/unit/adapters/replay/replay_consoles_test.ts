/** Consoles of a replay, with a clock of the test's: who waits, gaps, a VM that was started anew. */
import { assertEquals } from "@std/assert";
import { ReplayConsoles } from "../../../../src/adapters/replay/replay_consoles.ts";
import { MS, NEVER } from "../../../../src/base/clock.ts";
import { CODE } from "../../../../src/base/codes.ts";
import type { EndpointId } from "../../../../src/base/ids.ts";
import { readU64, writeU64 } from "../../../../src/base/layout.ts";
import type { Seat, TimerHandler } from "../../../../src/core/adapter_port.ts";
import { CONSOLE_OUT, CONSOLE_REQUEST } from "../../../../src/event/body_layout.ts";
import { CONSOLE_FROM_NOW, CONSOLE_OP } from "../../../../src/event/body_number.ts";
import { KIND, type Kind } from "../../../../src/event/kind.ts";
import { SOURCE } from "../../../../src/event/source.ts";
import { EventPool, type TransferEvent } from "../../../../src/event/transfer_event.ts";

const PORT = 1;

/** A seat that writes down what is answered. */
class Bench {
  readonly consoles = new ReplayConsoles(new Map([[PORT, { label: "serial0", role: "serial" }]]));
  readonly said: string[] = [];
  nowNs = 0;
  dueNs = NEVER;
  readonly #pool = new EventPool(0);
  readonly seat = {
    loop: {
      clock: { nowNs: () => this.nowNs },
      arm: (_: TimerHandler, dueNs: number) => this.dueNs = dueNs,
      disarm: () => this.dueNs = NEVER,
    },
    event: (kind: Kind) => this.#event(kind),
    ack: (ticket: number, code: number, _detail = 0, _doneNs = 0, words = "") =>
      this.said.push(`${ticket}: code ${code} ${words}`),
    reply: (ticket: number, event: TransferEvent) => {
      const { at } = CONSOLE_OUT;
      const text = event.bodyBytes === 0 ? "" : new TextDecoder().decode(event.bodyView().slice());
      this.said.push(`${ticket}: ${readU64(event.view, at.offset)}-${readU64(event.view, at.end)} "${text}"`);
      event.release();
    },
  } as unknown as Seat;

  play(text: string, place: number): void {
    const body = new TextEncoder().encode(text);
    const inline = new Uint8Array(48);
    const view = new DataView(inline.buffer);
    view.setUint32(CONSOLE_OUT.at.port, PORT, true);
    writeU64(view, CONSOLE_OUT.at.offset, place);
    const console = { label: "serial0", role: "serial" };
    const { kind, source } = { kind: KIND.CONSOLE_OUT, source: SOURCE.CONSOLE };
    const rest = { prio: 3, endpoint: 0 as EndpointId, seq: 0, corr: 0, tsNs: 0, bodyFormat: 1, fds: 0 };
    this.consoles.play(this.seat, { kind, source, inline, body, console, ...rest });
  }

  ask(ticket: number, op: number, { offset = 0, waitMs = 0, flags = 0, maxBytes = 100, port = PORT } = {}) {
    const { at } = CONSOLE_REQUEST;
    const event = this.#event(KIND.CMD_CONSOLE);
    event.ticket = ticket;
    event.origin = 9 as typeof event.origin;
    event.words[at.op / 4] = op;
    event.words[at.port / 4] = port;
    event.words[at.maxBytes / 4] = maxBytes;
    event.words[at.waitMs / 4] = waitMs;
    event.words[at.flags / 4] = flags;
    writeU64(event.view, at.offset, offset);
    this.consoles.command(this.seat, event);
    event.release();
  }

  take(): string[] {
    return this.said.splice(0);
  }

  #event(kind: Kind): TransferEvent {
    const event = this.#pool.acquire();
    event.kind = kind;
    return event;
  }
}

Deno.test("replayed console: a read waits for what is due, or for its time", () => {
  const bench = new Bench();
  bench.ask(1, CONSOLE_OP.READ, { waitMs: 50 });
  bench.ask(2, CONSOLE_OP.READ, { waitMs: 20 });
  assertEquals([bench.take(), bench.dueNs], [[], 20 * MS]);
  bench.nowNs = 20 * MS;
  bench.consoles.onTimer(bench.nowNs);
  assertEquals([bench.take(), bench.dueNs], [['2: 0-0 ""'], 50 * MS]);
  bench.play("login: ", 0);
  assertEquals([bench.take(), bench.dueNs], [['1: 0-7 "login: "'], NEVER]);
  bench.ask(3, CONSOLE_OP.READ, { offset: 3, maxBytes: 2 });
  bench.ask(4, CONSOLE_OP.READ, { flags: CONSOLE_FROM_NOW });
  assertEquals(bench.take(), ['3: 3-7 "in"', '4: 7-7 ""']);
});

Deno.test("replayed console: after a gap it goes on at the place that was recorded", () => {
  const bench = new Bench();
  bench.play("before", 10);
  bench.ask(1, CONSOLE_OP.READ, { offset: 16, waitMs: 50 });
  bench.play("after", 1000);
  assertEquals(bench.take(), ['1: 1000-1005 "after"']);
  bench.ask(2, CONSOLE_OP.READ, { offset: 16 });
  assertEquals(bench.take(), ['2: 1000-1005 "after"']);
});

Deno.test("replayed console: a VM that was started anew counts anew, and who waits is told", () => {
  const bench = new Bench();
  bench.play("old", 900);
  bench.ask(1, CONSOLE_OP.READ, { offset: 903, waitMs: 50 });
  bench.play("new", 0);
  assertEquals(bench.take(), [`1: code ${CODE["seam-down"]} QEMU was restarted`]);
  bench.ask(2, CONSOLE_OP.READ, { offset: 903 });
  bench.ask(3, CONSOLE_OP.READ);
  assertEquals(bench.take(), ['2: 3-3 ""', '3: 0-3 "new"']);
});

Deno.test("replayed console: who leaves or is gone is answered once or not at all; bad reads are refused", () => {
  const bench = new Bench();
  bench.ask(1, CONSOLE_OP.READ, { waitMs: 50 });
  bench.ask(2, CONSOLE_OP.CLOSE);
  assertEquals(bench.take(), [`1: code ${CODE["no-capability"]} `, "2: code 0 "]);
  bench.ask(3, CONSOLE_OP.READ, { waitMs: 50 });
  bench.consoles.forget(9 as Parameters<ReplayConsoles["forget"]>[0]);
  bench.play("x", 0);
  bench.ask(4, CONSOLE_OP.READ, { maxBytes: 0 });
  bench.ask(5, CONSOLE_OP.READ, { waitMs: 60_001 });
  bench.ask(6, 99);
  const bad = CODE["bad-argument"];
  assertEquals(bench.take(), [`4: code ${bad} `, `5: code ${bad} `, `6: code ${bad} `]);
  bench.ask(7, CONSOLE_OP.OPEN, { port: 0 });
  assertEquals(bench.take(), [
    `7: code ${CODE["not-supported"]} the recording has no output of console 0, but of 1`,
  ]);
});
