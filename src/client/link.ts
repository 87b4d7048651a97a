/**
 * One connection from its HELLO to its end: the opening, the core's sequence numbers, and why it ended. A
 * client that reconnects to a restarted daemon has one link after another; `session.ts` keeps what outlives a
 * connection.
 *
 * A gap in the sequence numbers without an OVERRUN means lost events, and ends the connection with a fault:
 * no loss goes unnoticed.
 * @module
 */
import type { OwnedFd } from "../../ffi/owned_fd.ts";
import { assert } from "../base/assert.ts";
import { CODE } from "../base/codes.ts";
import { Fault } from "../base/fault.ts";
import { NO_ENDPOINT } from "../base/ids.ts";
import { DIR } from "../event/defaults.ts";
import { KIND } from "../event/kind.ts";
import { BODY, EventPool, type TransferEvent } from "../event/transfer_event.ts";
import { FRAME } from "../protocol/frame.ts";
import { helloBody } from "../protocol/hello.ts";
import type { CommandOutcome } from "../nats/wire/outcome.ts";
import type { ClientEvent } from "./client_event.ts";
import { Connection, type ConnectionSink } from "./connection.ts";
import { helloOf, refusalOf, type SubscribeOptions, type Welcome, welcomeOf } from "./handshake.ts";

/** A session's access to the bus: a connection to a daemon's socket, or to those of many hosts. */
export interface ClientLink {
  /** The sequence number of the newest event; undefined before the first. */
  readonly lastSeq: number | undefined;
  /** Whether frames are queued. */
  readonly congested: boolean;
  /** Sends HELLO and waits for the answer. */
  greet(introduction: Introduction): Promise<Welcome>;
  /** Sends an event, borrowed. @param timeoutMs the command's time limit, for links that need it */
  send(event: TransferEvent, timeoutMs?: number): void;
  /** Makes it check again whether it may read and what it has to send. */
  wake(): void;
  /** A stream was opened: from now on events are wanted, and not only answers. */
  wantEvents?(): void;
  /** The id with which another program can ask for a command's outcome; undefined if that is not possible. */
  outcomeId?(corr: number): string | undefined;
  /** Asks what became of a command: by its corr, or by an id from any program. @throws {Fault} */
  outcome?(of: number | string, timeoutMs: number): Promise<CommandOutcome>;
  /** Ends it and frees its resources, without telling its host. */
  close(): Promise<void>;
}

/** The owner of a link. */
export interface LinkHost {
  /** The daemon admitted this link: its events follow, possibly in the same turn. */
  onWelcome(link: ClientLink, welcome: Welcome): void;
  /** An event, in order; the host owns it and its descriptors. */
  onEvent(event: ClientEvent): void;
  /**
   * The frame of an event without descriptors, in order, in place of {@linkcode LinkHost.onEvent}, for a host
   * that does not need an event object. The buffer is reused after the call.
   *
   * @param at the frame's offset in both
   * @param length the frame's length, body included
   */
  onFrame?(view: DataView, bytes: Uint8Array, at: number, length: number): void;
  /** Whether further frames may be read now. If false, call {@linkcode Link.wake} when that changes. */
  mayRead(): boolean;
  /**
   * A link that was admitted has ended without being closed from here.
   *
   * @param fault the reason; undefined when the daemon has finished its work (a replay at its end)
   */
  onLinkEnd(link: ClientLink, fault: Fault | undefined): void;
}

/** The contents of a link's HELLO. */
export interface Introduction {
  /** The name of this control in the daemon's log and audit trail. */
  readonly name: string;
  /** Which broadcast events it wants. */
  readonly sub: SubscribeOptions;
  /** The principal it speaks for, "token:alice"; "" or omitted: its user itself. */
  readonly as?: string;
  /** Time limit of the daemon's answer, ms. */
  readonly timeoutMs: number;
}

/** A connection and its opening. */
export class Link implements ClientLink, ConnectionSink {
  readonly #socketPath: string;
  readonly #host: LinkHost;
  readonly #connection: Connection;
  readonly #greeting = Promise.withResolvers<Welcome>();
  #state: "opening" | "open" | "ended" = "opening";
  #lastSeq: number | undefined;
  #afterOverrun = false;
  /** The daemon's ERROR about this connection as a whole. */
  #lastError = "";
  #isOver = false;
  /** The principal named in the HELLO. */
  #as = "";

  /**
   * Takes over a connected socket.
   *
   * @param socket SEQPACKET; owned from now on
   * @param socketPath for messages
   */
  constructor(socket: OwnedFd, socketPath: string, host: LinkHost) {
    this.#socketPath = socketPath;
    this.#host = host;
    this.#connection = new Connection(socket, this);
    this.#greeting.promise.catch(() => {
      // If the link is closed while it opens, nobody awaits the welcome.
    });
  }

  /** The sequence number of the newest event; undefined before the first. */
  get lastSeq(): number | undefined {
    return this.#lastSeq;
  }

  /** Whether frames are queued because the socket is full. */
  get congested(): boolean {
    return this.#connection.congested;
  }

  /**
   * Sends HELLO and waits for the answer.
   *
   * @throws {Fault} with the code of a REFUSED; `timed-out`; `unreachable`; `bad-argument` for a subscription
   *   to a source that does not exist
   */
  async greet({ name, sub, as = "", timeoutMs }: Introduction): Promise<Welcome> {
    assert(this.#state === "opening", "a link opens once");
    this.#as = as;
    const hello = new EventPool(0).acquire();
    hello.kind = KIND.HELLO;
    hello.dir = DIR.DOWN;
    hello.prio = 0;
    try {
      hello.setBody(BODY.CBOR, helloBody(helloOf(name, sub, as)));
      this.#connection.send(hello);
    } catch (error) {
      // A daemon that does not admit this user says so at once and closes the socket; its REFUSED can still
      // be read.
      if (!(error instanceof Fault && error.code === "unreachable")) throw error;
    } finally {
      hello.release();
    }
    this.#connection.start();
    const timer = setTimeout(() => {
      this.#greeting.reject(
        new Fault(
          "timed-out",
          `Cannot join the bus at ${this.#socketPath}: no answer to HELLO within ${timeoutMs} ms; is the daemon wedged?`,
        ),
      );
    }, timeoutMs);
    try {
      return await this.#greeting.promise;
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * Sends an event, borrowed.
   *
   * @throws {Fault} `busy`, `unreachable`
   */
  send(event: TransferEvent): void {
    this.#connection.send(event);
  }

  /**
   * Sends a complete frame without descriptors, and polls for at most that long until something is received.
   *
   * @throws {Fault} `busy`, `unreachable`
   */
  ask(frame: Uint8Array<ArrayBuffer>, mostMs: number): void {
    this.#connection.ask(frame, mostMs);
  }

  /** Makes it check again whether it may read and what it has to send. */
  wake(): void {
    this.#connection.wake();
  }

  /** Ends it and frees its resources, without telling its host. */
  async close(): Promise<void> {
    this.#state = "ended";
    this.#greeting.reject(new Fault("unreachable", "the client was closed"));
    await this.#connection.close();
  }

  /** See {@linkcode ConnectionSink}. */
  mayRead(): boolean {
    return this.#host.mayRead();
  }

  /** See {@linkcode ConnectionSink}. */
  onEvent(event: ClientEvent): void {
    if (this.#state === "opening") return this.#onGreeting(event);
    try {
      this.#checkSeq(event.kind, event.seq);
    } catch (error) {
      event[Symbol.dispose]();
      throw error;
    }
    // It is about the connection, not about a VM: the connection ends next.
    if (event.kind === KIND.ERROR && event.endpoint === NO_ENDPOINT && event.corr === 0) {
      this.#noteError(event);
    }
    // For a program, the end of the daemon's work is not an error.
    if (this.#isOver && event.kind === KIND.ERROR) return event[Symbol.dispose]();
    this.#host.onEvent(event);
  }

  /** See {@linkcode ConnectionSink}. */
  onFrame(view: DataView, bytes: Uint8Array, at: number, length: number): boolean {
    if (this.#host.onFrame === undefined || this.#state !== "open") return false;
    const kind = view.getUint16(at + FRAME.kind, true);
    if (kind === KIND.ERROR) return false;
    this.#checkSeq(kind, view.getUint32(at + FRAME.seq, true));
    this.#host.onFrame(view, bytes, at, length);
    return true;
  }

  /** See {@linkcode ConnectionSink}. */
  onEnd(fault: Fault): void {
    const why = this.#lastError === "" ? fault : new Fault(
      "protocol-error",
      `Cannot go on: the daemon did not understand this client (${this.#lastError}); use both of the same version`,
    );
    this.#greeting.reject(why);
    if (this.#state !== "open") return;
    this.#state = "ended";
    this.#host.onLinkEnd(this, this.#isOver && fault.code === "unreachable" ? undefined : why);
  }

  #noteError(event: ClientEvent): void {
    const body = event.as("ERROR");
    if (body?.code === CODE.ok) this.#isOver = true;
    else if (body?.code === CODE["protocol-error"]) this.#lastError = body.text || "protocol error";
  }

  #onGreeting(event: ClientEvent): void {
    switch (event.kind) {
      case KIND.WELCOME: {
        const welcome = welcomeOf(event.body, this.#as);
        this.#state = "open";
        this.#host.onWelcome(this, welcome);
        this.#greeting.resolve(welcome);
        return;
      }
      case KIND.REFUSED:
        throw refusalOf(event.body, this.#socketPath);
      case KIND.ERROR:
        this.#lastError = event.as("ERROR")?.text ?? "";
        return;
      default:
        event[Symbol.dispose]();
        throw new Fault(
          "protocol-error",
          `Cannot join the bus at ${this.#socketPath}: it began with ${event.kindName}; is it a vmsig daemon?`,
        );
    }
  }

  #checkSeq(kind: number, seq: number): void {
    const isOverrun = kind === KIND.OVERRUN;
    const expected = this.#lastSeq === undefined ? seq : (this.#lastSeq + 1) >>> 0;
    if (seq !== expected && !isOverrun && !this.#afterOverrun) {
      throw new Fault(
        "protocol-error",
        `Cannot trust the event stream: number ${expected} was due and ${seq} came, with no OVERRUN between; report it as a defect of the daemon`,
      );
    }
    this.#lastSeq = seq;
    this.#afterOverrun = isOverrun;
  }
}
