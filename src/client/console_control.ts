/**
 * A VM's console for a program: bytes as they come (console_reader.ts), a text that is awaited, text that is
 * sent.
 *
 * Writing takes the CONSOLE lease with the first bytes and keeps it until the control is disposed of.
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

/** Characters that {@linkcode ConsoleControl.expect} looks back. */
const MAX_EXPECTED: number = 1 << 18;
const DEFAULT_EXPECT_MS = 30_000;

/** Which console, and from where. */
export interface ConsoleOptions extends CommandOptions {
  /** Its number in the list; 0 unless told. */
  readonly port?: number;
  /** Begin with what the daemon has kept, up to a megabyte. False unless told. */
  readonly backlog?: boolean;
  /** Begin at this place, if it is still kept; else with the oldest that is. Instead of `backlog`. */
  readonly from?: number;
  /**
   * The guest waits rather than that bytes are lost here, for at most 10 s after the last read. False unless
   * told. A serial port waits; of a virtio console QEMU drops what is not read at once, and tells nobody.
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
  /** "unix", "pty", or "other" for one that cannot be reached. */
  readonly place: string;
  /** Whether the daemon has it open. */
  readonly open: boolean;
  /** Place of the oldest byte that is kept. */
  readonly start: number;
  /** One past the newest. */
  readonly end: number;
  /** What was in the way last; "" when nothing is. */
  readonly why: string;
}

/** What was awaited, and came. */
export interface Expected {
  /** The text that matched. */
  readonly text: string;
  /** Its parts, as of a regular expression. */
  readonly groups: readonly (string | undefined)[];
  /** What came before it, since the last one. */
  readonly before: string;
}

/**
 * An endpoint's consoles.
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

/** A console that is read and written. */
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
   * Opens a console; what the VM says from now on is read by {@linkcode read} and {@linkcode expect}.
   *
   * @throws {Fault} `busy` when another program has it, `bad-argument` for a number that the VM lacks,
   *   `not-supported` for a VM without one, `no-capability`, `seam-down`
   */
  static async open(
    client: ClientPort,
    ref: EndpointRef,
    options: ConsoleOptions = {},
  ): Promise<ConsoleControl> {
    const control = new ConsoleControl(client, await client.endpoint(ref), options);
    await control.#tell(CONSOLE_OP.OPEN, "open", options);
    // Says where "now" is, before anything is sent.
    if (control.#reader.isFromNow) await control.#reader.read(0);
    return control;
  }

  /** Place of the next byte among all that the console ever carried. */
  get place(): number {
    return this.#reader.place;
  }

  /** Bytes that came too fast for this reader, or before it asked for what was kept. */
  get lostBytes(): number {
    return this.#reader.lostBytes;
  }

  /**
   * The next bytes, when there are some. What {@linkcode expect} has read and not used comes first.
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
   * The next bytes, or none when nothing came within so many ms.
   *
   * @param waitMs 0 for what is there
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

  /** Bytes as they come, until the VM closes its console or the loop is left. */
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
   * Waits for a text.
   *
   * @param wanted a text, or an expression (without "g" and "y"), looked for in what came since the last
   *   match, line ends and all, at most {@linkcode MAX_EXPECTED} characters back
   * @throws {Fault} `timed-out`, with the end of what came instead; as {@linkcode read}
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
   * Sends bytes, and awaits that the VM has taken them. The first call takes the CONSOLE lease.
   *
   * @throws {Fault} `busy` when another owns the lease, `stale-lease` when it was lost meanwhile: what came
   *   before that has arrived
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

  /** Leaves the console to others, and gives the lease back if it was taken. */
  async [Symbol.asyncDispose](): Promise<void> {
    const lease = this.#lease;
    this.#lease = undefined;
    // One that was never granted is nothing to give back; its taker was told.
    if (lease !== undefined) await (await lease.catch(() => undefined))?.release();
    if (this.#client.fault !== undefined) return;
    try {
      await this.#tell(CONSOLE_OP.CLOSE, "leave", {});
    } catch (error) {
      // The VM, or the daemon, went first: there is nothing to leave.
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
