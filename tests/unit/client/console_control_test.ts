/**
 * A console as a program reads and writes it, over a daemon that does what a test says: who writes reads
 * ahead, and whatever is awaited, given up or asked for in between, each byte comes once and in its order.
 * @module
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { Fault } from "../../../src/base/fault.ts";
import { readU64, writeU64 } from "../../../src/base/layout.ts";
import type { ClientEvent } from "../../../src/client/client_event.ts";
import type { ClientPort } from "../../../src/client/client_port.ts";
import { ConsoleControl } from "../../../src/client/console_control.ts";
import { CONSOLE_OUT, CONSOLE_REQUEST } from "../../../src/event/body_layout.ts";
import { CONSOLE_FROM_NOW, CONSOLE_OP } from "../../../src/event/body_number.ts";
import { KIND } from "../../../src/event/kind.ts";
import { EventPool, type TransferEvent } from "../../../src/event/transfer_event.ts";
import type { CommandOptions } from "../../../src/client/command_options.ts";
import { withSeed } from "../../fixtures/seeded_random.ts";

const bytesOf = (text: string) => new TextEncoder().encode(text) as Uint8Array<ArrayBuffer>;
const textOf = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

interface FakeRead {
  readonly offset: number;
  readonly maxBytes: number;
  readonly answer: (event: ClientEvent) => void;
}

/** A daemon with one console; a guest that echoes what it is told to. */
class FakeConsole {
  readonly pool = new EventPool();
  readonly asked: string[] = [];
  readonly waiting = new Set<FakeRead>();
  /** Reads that are answered later, when there is such a list. */
  late: FakeRead[] | undefined;
  said = new Uint8Array(0);
  /** The oldest byte that is kept. */
  start = 0;
  echoes = false;

  say(text: string): void {
    const bytes = bytesOf(text);
    const grown = new Uint8Array(this.said.length + bytes.length);
    grown.set(this.said);
    grown.set(bytes, this.said.length);
    this.said = grown;
    for (const read of this.waiting) if (read.offset < grown.length) this.answer(read);
  }

  get port(): ClientPort {
    const acquire = () => Promise.resolve({ token: 1, release: () => Promise.resolve() });
    const command = (
      kind: number,
      _endpoint: number,
      _what: string,
      fill: (event: TransferEvent) => void,
    ) => {
      const event = this.pool.acquire();
      fill(event);
      const op = event.words[CONSOLE_REQUEST.at.op / 4] as number;
      const waitMs = event.words[CONSOLE_REQUEST.at.waitMs / 4] as number;
      const isFromNow = ((event.words[CONSOLE_REQUEST.at.flags / 4] as number) & CONSOLE_FROM_NOW) !== 0;
      const offset = isFromNow ? this.said.length : readU64(event.view, CONSOLE_REQUEST.at.offset);
      const maxBytes = event.words[CONSOLE_REQUEST.at.maxBytes / 4] as number;
      const body = kind === KIND.CMD_CONSOLE_WRITE ? textOf(event.bodyView()) : "";
      event.release();
      return this.#carryOut(kind, op, { offset, maxBytes, waitMs, body });
    };
    const withSignal = (...[kind, endpoint, what, fill, options]: Parameters<ClientPort["command"]>) =>
      interruptible(command(kind, endpoint, what, fill), options);
    return {
      roster: { nameOf: () => "vm" },
      fault: undefined,
      endpoint: () => Promise.resolve(0),
      acquire,
      command: withSignal,
    } as unknown as ClientPort;
  }

  #carryOut(
    kind: number,
    op: number,
    { offset, maxBytes, waitMs, body }: Omit<FakeRead, "answer"> & {
      readonly waitMs: number;
      readonly body: string;
    },
  ): Promise<ClientEvent> {
    const isRead = kind === KIND.CMD_CONSOLE && op === CONSOLE_OP.READ;
    this.asked.push(isRead ? "read" : body === "" ? `op ${op}` : `write ${body}`);
    const { promise, resolve } = Promise.withResolvers<ClientEvent>();
    if (!isRead) {
      if (this.echoes && body !== "") this.say(body);
      resolve({ kind: KIND.ACT_ACK } as unknown as ClientEvent);
      return promise;
    }
    const read = { offset: Math.min(offset, this.said.length), maxBytes, answer: resolve };
    if (this.late !== undefined) this.late.push(read);
    else if (offset < this.said.length || waitMs === 0) this.answer(read);
    else {
      this.waiting.add(read);
      if (waitMs < 1000) setTimeout(() => this.waiting.has(read) && this.answer(read), waitMs);
    }
    return promise;
  }

  answer(read: FakeRead): void {
    this.waiting.delete(read);
    const offset = Math.max(read.offset, this.start);
    const view = new DataView(new ArrayBuffer(48));
    writeU64(view, CONSOLE_OUT.at.offset, offset);
    writeU64(view, CONSOLE_OUT.at.end, this.said.length);
    const body = this.said.slice(offset, offset + read.maxBytes);
    read.answer({ kind: KIND.CONSOLE_OUT, view, body } as unknown as ClientEvent);
  }
}

/** As a session gives up a command. */
function interruptible(answer: Promise<ClientEvent>, options?: CommandOptions): Promise<ClientEvent> {
  const { signal } = options ?? {};
  if (signal === undefined) return answer;
  const { promise, reject } = Promise.withResolvers<ClientEvent>();
  const interrupt = () => reject(new Fault("interrupted", "given up"));
  if (signal.aborted) interrupt();
  signal.addEventListener("abort", interrupt, { once: true });
  return Promise.race([answer, promise]);
}

Deno.test("console: who writes reads ahead, behind the key and not before it", async () => {
  const daemon = new FakeConsole();
  const console = await ConsoleControl.open(daemon.port, "vm");
  daemon.asked.length = 0;
  daemon.echoes = true;
  await console.send("a");
  await console.expect("a");
  await console.send("b");
  await console.expect("b");
  // With the second key the read is there already.
  assertEquals(daemon.asked, ["write a", "read", "read", "write b", "read"]);
  daemon.echoes = false;
  assertEquals(textOf(await console.readNow(0)), "");
  daemon.say("later");
  assertEquals(textOf(await console.readNow(0)), "later");
  assertEquals([console.place, console.lostBytes], [7, 0]);
  await console[Symbol.asyncDispose]();
});

Deno.test("console: a wait that is given up, or over, loses nothing of what comes behind it", async () => {
  const daemon = new FakeConsole();
  const console = await ConsoleControl.open(daemon.port, "vm");
  await console.send("x");
  const missed = await assertRejects(() => console.expect("never", { timeoutMs: 5 }), Fault);
  assertEquals(missed.code, "timed-out");
  const ending = new AbortController();
  const given = assertRejects(() => console.read({ signal: ending.signal }), Fault);
  ending.abort();
  assertEquals((await given).code, "interrupted");
  const early = await assertRejects(() => console.read({ signal: AbortSignal.abort() }), Fault);
  assertEquals(early.code, "interrupted");
  daemon.say("one two");
  assertEquals((await console.expect("one")).text, "one");
  assertEquals((await console.expect("two")).before, " ");
  await console[Symbol.asyncDispose]();
});

Deno.test("console: every byte comes once and in its order, whatever is asked when", async () => {
  const rounds: (() => Promise<void>)[] = [];
  withSeed((random) => {
    for (let round = 0; round < 40; round++) {
      const steps = Array.from({ length: 60 }, () => random.below(5));
      rounds.push(() => play(steps));
    }
  });
  for (const round of rounds) await round();
});

async function play(steps: readonly number[]): Promise<void> {
  const daemon = new FakeConsole();
  const console = await ConsoleControl.open(daemon.port, "vm");
  let count = 0;
  let got = "";
  for (const step of steps) {
    if (step === 0) await console.send("k");
    else if (step === 1) daemon.say(`<${count++}>`);
    else if (step === 2) got += textOf(await console.readNow(0));
    else if (step === 3) got += textOf(await console.readNow(1));
    else {
      const ending = new AbortController();
      const reading = console.read({ signal: ending.signal });
      queueMicrotask(() => ending.abort());
      got += await reading.then(textOf, () => "");
    }
    assert(daemon.waiting.size <= steps.length, "reads are bounded");
  }
  daemon.say("end");
  while (!got.endsWith("end")) got += textOf(await console.read());
  assertEquals([got, console.lostBytes], [textOf(daemon.said), 0]);
  await console[Symbol.asyncDispose]();
}

/** So much that it takes several pieces of 64 KB, no two of them alike. */
const LONG = Array.from({ length: 50_000 }, (_, i) => `${i}.`).join("");

Deno.test("console: of what the daemon has the pieces are asked for at once", async () => {
  const daemon = new FakeConsole();
  const console = await ConsoleControl.open(daemon.port, "vm");
  daemon.say(LONG);
  daemon.asked.length = 0;
  let got = textOf(await console.read());
  assertEquals(daemon.asked, Array(Math.ceil(LONG.length / 65_536)).fill("read"));
  while (got.length < LONG.length) got += textOf(await console.read());
  assertEquals([got === LONG, console.place, console.lostBytes], [true, LONG.length, 0]);
  await console[Symbol.asyncDispose]();
});

Deno.test("console: of a flood new pieces are asked for several at once, and never more than eight", async () => {
  const daemon = new FakeConsole();
  const console = await ConsoleControl.open(daemon.port, "vm");
  const text = LONG.repeat(4);
  daemon.say(text);
  daemon.asked.length = 0;
  let got = "";
  const asked: number[] = [];
  while (got.length < text.length) {
    got += textOf(await console.read());
    asked.push(daemon.asked.length);
  }
  assertEquals([got === text, console.lostBytes], [true, 0]);
  // The first, eight behind it, then four whenever half of them have come.
  assertEquals(asked.slice(0, 10), [9, 9, 9, 9, 13, 13, 13, 13, 17, 17]);
  await console[Symbol.asyncDispose]();
});

Deno.test("console: pieces that were overwritten on the way are counted, and no byte comes twice", async () => {
  const daemon = new FakeConsole();
  const console = await ConsoleControl.open(daemon.port, "vm");
  daemon.say(LONG);
  const answer = daemon.late = [] as FakeRead[];
  const first = console.read();
  daemon.answer(answer.shift() as FakeRead);
  assertEquals((await first).length, 65_536);
  // The pieces behind it were asked for; before they are answered the guest goes on.
  assert(answer.length > 1);
  daemon.start = 65_536 + 65_000;
  daemon.late = undefined;
  for (const read of answer) daemon.answer(read);
  let got = "";
  while (console.place < LONG.length) got += textOf(await console.read());
  assertEquals([got === LONG.slice(daemon.start), console.lostBytes], [true, 65_000]);
  await console[Symbol.asyncDispose]();
});

Deno.test("console: a VM that was started anew counts anew, and its bytes come once", async () => {
  const daemon = new FakeConsole();
  const console = await ConsoleControl.open(daemon.port, "vm");
  daemon.say(LONG);
  daemon.late = [];
  const first = console.read();
  daemon.answer(daemon.late.shift() as FakeRead);
  await first;
  const asked = daemon.late;
  daemon.late = undefined;
  daemon.said = new TextEncoder().encode("anew");
  for (const { offset: _of, ...read } of asked) daemon.answer({ ...read, offset: 0 });
  assertEquals([textOf(await console.read()), console.place, console.lostBytes], ["anew", 4, 0]);
  daemon.say(", and more");
  assertEquals(textOf(await console.read()), ", and more");
  await console[Symbol.asyncDispose]();
});
