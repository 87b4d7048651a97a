/**
 * A VM's console: reads bytes as they arrive (console_reader.ts), waits for a text, sends text.
 *
 * The first write acquires the CONSOLE lease, which is kept until the control is disposed of.
 * @module
 */
import type { EndpointId } from "../base/ids.ts";
import { Fault } from "../base/fault.ts";
import { decodeBounded, EVENT_CBOR } from "../event/bounded_cbor.ts";
import { CONSOLE_REQUEST, CONSOLE_WRITE } from "../event/body_layout.ts";
import { CONSOLE_FROM_NOW, CONSOLE_LOSSLESS, CONSOLE_OP } from "../event/body_number.ts";
import { KIND } from "../event/kind.ts";
import { MAX_CONSOLE_WRITE } from "../event/kinds/console_kinds.ts";
import { BODY, type TransferEvent } from "../event/transfer_event.ts";
import type { ClientEvent } from "./client_event.ts";
import type { ClientPort } from "./client_port.ts";
import { ConsoleReader, READ_WAIT_MS, type ReaderHost } from "./console_reader.ts";
import type { Lease } from "./lease.ts";
import type { EndpointRef } from "./roster_view.ts";
import type { CommandOptions } from "./session.ts";

/** Number of characters in which {@linkcode ConsoleControl.expect} looks for a match. */
const MAX_EXPECTED: number = 1 << 18;
const DEFAULT_EXPECT_MS = 30_000;

/** Which console, and where to begin. */
export interface ConsoleOptions extends CommandOptions {
  /** Its number in the list; 0 by default. */
  readonly port?: number;
  /** Begin with the output that the daemon has kept, up to a megabyte. False by default. */
  readonly backlog?: boolean;
  /** Begin at this offset, or at the oldest byte that is kept. Instead of `backlog`. */
  readonly from?: number;
  /**
   * Block the guest rather than lose output, for at most 10 s after the last read. False by default. This
   * works with a serial port; a virtio console's output that is not read at once is dropped by QEMU, which
   * tells nobody.
   */
  readonly lossless?: boolean;
}

/** One console of a VM, as the daemon lists it. */
export interface ConsoleEntry {
  /** Its number. */
  readonly number: number;
  /** QEMU's name of it: "serial0". */
  readonly label: string;
  /** "serial" or "virtio-console". */
  readonly role: string;
  /** "unix", "pty", or "other" for one that cannot be opened. */
  readonly place: string;
  /** Whether the daemon has it open. */
  readonly open: boolean;
  /** Offset of the oldest byte that is kept. */
  readonly start: number;
  /** Offset after the newest byte. */
  readonly end: number;
  /** The last error; "" when there is none. */
  readonly why: string;
}

/** A match of an awaited text. */
export interface Expected {
  /** The text that matched. */
  readonly text: string;
  /** The groups of the regular expression. */
  readonly groups: readonly (string | undefined)[];
  /** The output before the match, since the previous match. */
  readonly before: string;
}

/**
 * The consoles of an endpoint.
 *
 * @throws {Fault} `no-capability`, `seam-down`
 */
export async function listConsoles(
  client: ClientPort,
  ref: EndpointRef,
  options: CommandOptions = {},
): Promise<ConsoleEntry[]> {
  const endpoint = await client.endpoint(ref);
  const what = `list the consoles of ${client.roster.nameOf(endpoint)}`;
  const answer = await client.command(KIND.CMD_CONSOLE, endpoint, what, (event) => {
    event.words[CONSOLE_REQUEST.at.op / 4] = CONSOLE_OP.LIST;
  }, options);
  const value = decodeBounded(answer.body, EVENT_CBOR);
  if (!Array.isArray(value)) {
    throw new Fault("protocol-error", `Cannot ${what}: the daemon's answer is not the one expected`);
  }
  return value as ConsoleEntry[];
}

/** A console that can be read and written. */
export class ConsoleControl implements AsyncDisposable {
  /** The endpoint. */
  readonly endpoint: EndpointId;
  /** The console's number. */
  readonly port: number;
  readonly #client: ClientPort;
  readonly #name: string;
  readonly #options: ConsoleOptions;
  readonly #decoder = new TextDecoder();
  readonly #reader: ConsoleReader;
  #text = "";
  #lease: Promise<Lease> | undefined;

  private constructor(client: ClientPort, endpoint: EndpointId, options: ConsoleOptions) {
    this.#client = client;
    this.endpoint = endpoint;
    this.port = options.port ?? 0;
    this.#name = client.roster.nameOf(endpoint);
    this.#options = options;
    const flags = (options.backlog === true || options.from !== undefined ? 0 : CONSOLE_FROM_NOW) |
      (options.lossless === true ? CONSOLE_LOSSLESS : 0);
    const doing = `read console ${this.port} of ${this.#name}`;
    const request: ReaderHost["request"] = (fill, more) => this.#request(doing, fill, more);
    this.#reader = new ConsoleReader({ doing, request }, options.from ?? 0, flags);
  }

  /**
   * Opens a console; its output from now on is returned by {@linkcode read} and {@linkcode expect}.
   *
   * @throws {Fault} `busy` when another program uses it, `bad-argument` for a number that the VM does not
   *   have, `not-supported` for a VM without one, `no-capability`, `seam-down`
   */
  static async open(
    client: ClientPort,
    ref: EndpointRef,
    options: ConsoleOptions = {},
  ): Promise<ConsoleControl> {
    const control = new ConsoleControl(client, await client.endpoint(ref), options);
    await control.#tell(CONSOLE_OP.OPEN, "open", options);
    // Determines the current offset before anything is sent.
    if (control.#reader.isFromNow) await control.#reader.read(0);
    return control;
  }

  /** Offset of the next byte in the console's whole output. */
  get place(): number {
    return this.#reader.place;
  }

  /** Number of bytes lost because they came too fast for this reader, or were overwritten before it began. */
  get lostBytes(): number {
    return this.#reader.lostBytes;
  }

  /**
   * The next output, when there is some. Output that {@linkcode expect} has read and not used comes first.
   *
   * @throws {Fault} `seam-down` when the VM closed its console; `interrupted`; `unreachable`
   */
  async read(options: { readonly signal?: AbortSignal } = {}): Promise<Uint8Array<ArrayBuffer>> {
    if (this.#text !== "") {
      const text = this.#text;
      this.#text = "";
      return new TextEncoder().encode(text);
    }
    for (;;) {
      const bytes = await this.#reader.read(READ_WAIT_MS, options.signal);
      if (bytes.length > 0) return bytes;
    }
  }

  /**
   * The next output, or none if nothing arrives in that time.
   *
   * @param waitMs longest wait, ms; 0: only what is there
   */
  async readNow(waitMs: number, signal?: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
    if (this.#text !== "") return await this.read();
    const endMs = performance.now() + waitMs;
    for (;;) {
      const leftMs = Math.max(0, Math.ceil(endMs - performance.now()));
      const bytes = await this.#reader.read(Math.min(leftMs, READ_WAIT_MS), signal);
      if (bytes.length > 0 || performance.now() >= endMs) return bytes;
    }
  }

  /** Output as it arrives, until the VM closes its console or the loop is left. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array<ArrayBuffer>, void, void> {
    for (;;) {
      try {
        yield await this.read(this.#options);
      } catch (error) {
        if (error instanceof Fault && error.code === "seam-down") return;
        throw error;
      }
    }
  }

  /**
   * Waits for a text in the output.
   *
   * @param wanted a text or a regular expression (without the flags g and y), searched in the output since
   *   the last match, including line ends, at most the last {@linkcode MAX_EXPECTED} characters
   * @throws {Fault} `timed-out`, quoting the end of the output; others as {@linkcode read}
   */
  async expect(
    wanted: string | RegExp,
    options: { readonly timeoutMs?: number; readonly signal?: AbortSignal } = {},
  ): Promise<Expected> {
    const { timeoutMs = DEFAULT_EXPECT_MS, signal } = options;
    const endMs = performance.now() + timeoutMs;
    for (;;) {
      const found = this.#take(wanted);
      if (found !== undefined) return found;
      const leftMs = Math.ceil(endMs - performance.now());
      if (leftMs <= 0) throw this.#missed(wanted, timeoutMs);
      const bytes = await this.#reader.read(Math.min(leftMs, READ_WAIT_MS), signal);
      this.#text = (this.#text + this.#decoder.decode(bytes, { stream: true })).slice(-MAX_EXPECTED);
    }
  }

  /**
   * Sends bytes, and waits until the VM has taken them. The first call acquires the CONSOLE lease.
   *
   * @throws {Fault} `busy` when another control owns the lease, `stale-lease` when it was lost meanwhile:
   *   everything before that was delivered
   */
  async send(what: string | Uint8Array, options: CommandOptions = {}): Promise<void> {
    const bytes = typeof what === "string" ? new TextEncoder().encode(what) : what;
    this.#lease ??= this.#client.acquire(this.endpoint, "console", options);
    let lease: Lease;
    try {
      lease = await this.#lease;
    } catch (error) {
      this.#lease = undefined;
      throw error;
    }
    const doing = `write to console ${this.port} of ${this.#name}`;
    for (let at = 0; at < bytes.length; at += MAX_CONSOLE_WRITE) {
      const piece = bytes.slice(at, at + MAX_CONSOLE_WRITE);
      const taken = this.#client.command(KIND.CMD_CONSOLE_WRITE, this.endpoint, doing, (event) => {
        event.words[CONSOLE_WRITE.at.port / 4] = this.port;
        event.setBody(BODY.RAW, piece);
      }, { ...options, token: lease.token });
      this.#reader.readAhead();
      await taken;
    }
  }

  /** Releases the console, and the lease if it was acquired. */
  async [Symbol.asyncDispose](): Promise<void> {
    const lease = this.#lease;
    this.#lease = undefined;
    // A lease that was not granted need not be released; the failed send has reported it.
    if (lease !== undefined) await (await lease.catch(() => undefined))?.release();
    if (this.#client.fault !== undefined) return;
    try {
      await this.#tell(CONSOLE_OP.CLOSE, "leave", {});
    } catch (error) {
      // The VM or the daemon is already gone: there is nothing to release.
      if (!(error instanceof Fault)) throw error;
    }
  }

  #take(wanted: string | RegExp): Expected | undefined {
    let at: number;
    let text = "";
    let groups: (string | undefined)[] = [];
    if (typeof wanted === "string") {
      at = this.#text.indexOf(wanted);
      text = wanted;
    } else {
      const match = wanted.exec(this.#text);
      at = match?.index ?? -1;
      [text = "", ...groups] = match ?? [];
    }
    if (at < 0) return undefined;
    const before = this.#text.slice(0, at);
    this.#text = this.#text.slice(at + text.length);
    return { text, groups, before };
  }

  async #tell(op: number, verb: string, options: CommandOptions): Promise<void> {
    await this.#request(`${verb} console ${this.port} of ${this.#name}`, (event) => {
      event.words[CONSOLE_REQUEST.at.op / 4] = op;
    }, options);
  }

  #request(
    what: string,
    fill: (event: TransferEvent) => void,
    options: CommandOptions,
  ): Promise<ClientEvent> {
    return this.#client.command(KIND.CMD_CONSOLE, this.endpoint, what, (event) => {
      event.words[CONSOLE_REQUEST.at.port / 4] = this.port;
      fill(event);
    }, options);
  }

  #missed(wanted: string | RegExp, timeoutMs: number): Fault {
    const tail = this.#text.slice(-400);
    return new Fault(
      "timed-out",
      `Cannot find ${
        JSON.stringify(typeof wanted === "string" ? wanted : wanted.source)
      } on console ${this.port} of ${this.#name} within ${timeoutMs} ms; ` +
        (tail === "" ? "it said nothing" : `it said last ${JSON.stringify(tail)}`),
    );
  }
}
