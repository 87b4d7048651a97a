/**
 * A VM's serial console in a tab: sends the VM's output to the page as it arrives, and the page's input to
 * the VM under the tab's console lease, once that is acquired. The output is not interpreted here; a terminal
 * in the page shows it.
 * @module
 */
import { assert } from "../base/assert.ts";
import { Fault, messageOf } from "../base/fault.ts";
import { oneLine } from "../base/printable.ts";
import type { Client } from "../client/client.ts";
import { ConsoleControl } from "../client/console_control.ts";
import type { Lease } from "../client/lease.ts";
import { pause } from "../client/pause.ts";
import { CONSOLE_WRITE } from "../event/body_layout.ts";
import { KIND } from "../event/kind.ts";
import { MAX_CONSOLE_WRITE } from "../event/kinds/console_kinds.ts";
import { BODY } from "../event/transfer_event.ts";
import type { LeaseNames } from "./lease_names.ts";

/** Size limit of one message from the page, bytes. */
const MOST_CONSOLE_INPUT = 16_384;
/** Limit of bytes queued for writing: a person types, or pastes. */
const MOST_UNWRITTEN = 65_536;
/** Limit of bytes queued for the page; above it, the console is not read until the page has caught up. */
const MOST_WAITING = 1 << 20;
const LOOK_MS = 20;
/** The daemon revokes the lease when it has not heard from this process for this long. */
const TTL_MS = 10_000;

/** The options of a stream. */
export interface ConsoleStreamOptions {
  /** The tab's open socket for it. */
  readonly socket: WebSocket;
  /** The tab's client. */
  readonly client: Client;
  /** Its leases, with their owners' names. */
  readonly leases: LeaseNames;
  /** Which VM. */
  readonly vm: string;
  /** The console's number. */
  readonly port: number;
}

/** A console. */
export class ConsoleStream {
  readonly #options: ConsoleStreamOptions;
  readonly #ending = new AbortController();
  /** Operations that run one after another: acquiring, writing, releasing. */
  #work: Promise<void> = Promise.resolve();
  #lease: Lease | undefined;
  #unwritten = 0;

  /** Shows the console from the oldest output that is kept. */
  constructor(options: ConsoleStreamOptions) {
    this.#options = options;
    const { socket } = options;
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = () => this.end();
    // Errors are followed by a close event.
    socket.onerror = (event) => event.preventDefault();
    void this.#run();
  }

  /** Stops reading, and releases the lease. */
  end(): void {
    if (this.#ending.signal.aborted) return;
    this.#ending.abort();
    this.#then(() => this.#giveBack());
  }

  async #run(): Promise<void> {
    const { client, vm, port, socket } = this.#options;
    const { signal } = this.#ending;
    try {
      await using console = await ConsoleControl.open(client, vm, { port, backlog: true, signal });
      this.#say({ t: "open" });
      let lost = 0;
      while (!signal.aborted) {
        const bytes = await console.read({ signal });
        if (console.lostBytes > lost) this.#say({ t: "lost", bytes: console.lostBytes - lost });
        lost = console.lostBytes;
        while (socket.bufferedAmount > MOST_WAITING && !signal.aborted) await pause(LOOK_MS, signal);
        if (socket.readyState === WebSocket.OPEN) socket.send(bytes);
      }
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      if (!signal.aborted) this.#say({ t: "ended", why: oneLine(messageOf(error)) });
    } finally {
      this.end();
      socket.close(1000);
    }
  }

  #receive(data: unknown): void {
    const { socket } = this.#options;
    if (data instanceof ArrayBuffer) {
      if (data.byteLength > MOST_CONSOLE_INPUT || this.#unwritten + data.byteLength > MOST_UNWRITTEN) {
        return socket.close(1009, "too much at once");
      }
      this.#unwritten += data.byteLength;
      return this.#then(() => this.#write(new Uint8Array(data)));
    }
    if (data === "take") this.#then(() => this.#take());
    else if (data === "give") this.#then(() => this.#giveBack());
    else socket.close(1008, "what the page said is not understood");
  }

  #then(work: () => Promise<void>): void {
    this.#work = this.#work.then(work).catch((error) => {
      if (!(error instanceof Fault)) throw error;
      this.#say({ t: "refused", why: oneLine(messageOf(error)) });
    });
  }

  async #take(): Promise<void> {
    if (this.#lease?.owned === true || this.#ending.signal.aborted) return;
    const { leases, vm } = this.#options;
    const lease = await leases.acquire(vm, "console", { ttlMs: TTL_MS });
    if (this.#ending.signal.aborted) return await lease.release();
    this.#lease = lease;
    this.#say({ t: "mine" });
    void lease.lost.then(async (reason) => {
      const by = lease.takenBy === undefined ? "" : ` by ${await leases.of(vm, "console", lease.takenBy)}`;
      this.#say({ t: "looking", why: oneLine(`the console was taken away (${reason}${by})`) });
    });
  }

  async #giveBack(): Promise<void> {
    const lease = this.#lease;
    this.#lease = undefined;
    if (lease?.owned !== true) return;
    await lease.release();
    this.#say({ t: "looking", why: "" });
  }

  async #write(bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    this.#unwritten -= bytes.length;
    assert(this.#unwritten >= 0, "what is written has waited");
    const { client, vm, port } = this.#options;
    const lease = this.#lease;
    // The lease was released or revoked while these bytes were being sent, and the page has been told.
    if (lease?.owned !== true || this.#ending.signal.aborted) return;
    for (let at = 0; at < bytes.length; at += MAX_CONSOLE_WRITE) {
      const piece = bytes.slice(at, at + MAX_CONSOLE_WRITE);
      await client.command(
        KIND.CMD_CONSOLE_WRITE,
        lease.endpoint,
        `write to console ${port} of ${vm}`,
        (event) => {
          event.words[CONSOLE_WRITE.at.port / 4] = port;
          event.setBody(BODY.RAW, piece);
        },
        { token: lease.token },
      );
    }
  }

  #say(message: object): void {
    const { socket } = this.#options;
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
  }
}
