/**
 * The least of a QMP client, for tests of the guest harness itself: it must not lean on src/qemu, which is
 * tested with this harness. One command at a time; no reconnecting, no ids.
 * @module
 */
import { isConnectionEnd } from "./guest_agent.ts";
import { GuestError, within } from "./guest_process.ts";

/** A QMP event or reply, as it came. */
export type QmpMessage = Record<string, unknown>;

/** A connection to one QMP monitor. */
export class TestQmp implements AsyncDisposable {
  /** The events so far, oldest first. */
  readonly events: QmpMessage[] = [];
  readonly #connection: Deno.Conn;
  readonly #replies: ((message: QmpMessage) => void)[] = [];
  readonly #waiters = new Set<() => void>();
  readonly #reading: Promise<void>;

  #ended = false;

  private constructor(connection: Deno.Conn) {
    this.#connection = connection;
    this.#reading = this.#read();
  }

  /** Connects and leaves the negotiation behind. */
  static async connect(path: string): Promise<TestQmp> {
    const qmp = new TestQmp(await Deno.connect({ transport: "unix", path }));
    await qmp.execute("qmp_capabilities");
    return qmp;
  }

  /** Runs a command; its `return`. */
  async execute(command: string, args: Record<string, unknown> = {}): Promise<unknown> {
    const { promise, resolve } = Promise.withResolvers<QmpMessage>();
    this.#replies.push(resolve);
    // The reader may have seen the end already.
    if (this.#ended) throw new GuestError(`QMP ${command}: the monitor has gone`);
    const line = new TextEncoder().encode(JSON.stringify({ execute: command, arguments: args }) + "\n");
    for (let at = 0; at < line.length;) at += await this.#connection.write(line.subarray(at));
    const reply = await within(promise, 180_000, () => `QMP ${command}`);
    if ("error" in reply) throw new GuestError(`QMP ${command}: ${JSON.stringify(reply.error)}`);
    return reply.return;
  }

  /** Waits until an event with this name has come, now or earlier. */
  async event(name: string, timeoutMs = 180_000): Promise<QmpMessage> {
    const { promise, resolve } = Promise.withResolvers<QmpMessage>();
    const wake = () => {
      const found = this.events.find((message) => message.event === name);
      if (found !== undefined) resolve(found);
    };
    this.#waiters.add(wake);
    wake();
    try {
      const seen = () => this.events.map((message) => message.event).join(" ");
      return await within(promise, timeoutMs, () => `QMP event ${name} (seen: ${seen()})`);
    } finally {
      this.#waiters.delete(wake);
    }
  }

  /** Closes the connection. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#connection.close();
    await this.#reading;
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder();
    const buffer = new Uint8Array(65536);
    let text = "";
    try {
      for (;;) {
        const n = await this.#connection.read(buffer);
        if (n === null) break;
        text += decoder.decode(buffer.subarray(0, n), { stream: true });
        const lines = text.split("\r\n");
        text = lines.pop() ?? "";
        for (const line of lines) this.#take(JSON.parse(line));
      }
    } catch (error) {
      if (!isConnectionEnd(error)) throw error;
    }
    this.#ended = true;
    for (const reply of this.#replies.splice(0)) reply({ error: "the monitor has gone" });
  }

  #take(message: QmpMessage): void {
    if ("QMP" in message) return;
    if (!("event" in message)) {
      this.#replies.shift()?.(message);
      return;
    }
    this.events.push(message);
    for (const wake of this.#waiters) wake();
  }
}
