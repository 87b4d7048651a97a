/**
 * One connection from its HELLO to its end: the opening, the core's sequence numbers, and why it ended. A
 * client that reconnects to a restarted daemon has one link after another; `session.ts` keeps what outlives a
 * connection.
 *
 * A gap in the sequence numbers that no OVERRUN explains means lost events, and ends the connection with a
 * fault: nothing is lost in silence.
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

/** What a session has of its way to the bus: a connection to a daemon's socket, or to those of many hosts. */
export interface ClientLink {
  /** The sequence number of the newest event; undefined before the first. */
  readonly lastSeq: number | undefined;
  /** Whether frames wait to be taken. */
  readonly congested: boolean;
  /** Introduces itself and awaits the answer. */
  greet(introduction: Introduction): Promise<Welcome>;
  /** Sends an event, borrowed. @param timeoutMs how long it is awaited, where that matters on the way */
  send(event: TransferEvent, timeoutMs?: number): void;
  /** Lets it look again whether it may read and what it has to send. */
  wake(): void;
  /** A stream was opened: from now on events are wanted, and not answers alone. */
  wantEvents?(): void;
  /** By what another program asks for a command's outcome; undefined where none can. */
  outcomeId?(corr: number): string | undefined;
  /** Asks what became of a command: by its corr, or by the id of any program's. @throws {Fault} */
  outcome?(of: number | string, timeoutMs: number): Promise<CommandOutcome>;
  /** Ends it, and frees what it holds. Its host is not told. */
  close(): Promise<void>;
}

/** Who a link belongs to. */
export interface LinkHost {
  /** The daemon let this link in: its events follow, in the same turn perhaps. */
  onWelcome(link: ClientLink, welcome: Welcome): void;
  /** An event, in order; it is the host's, descriptors included. */
  onEvent(event: ClientEvent): void;
  /**
   * A frame of an event without descriptors, in order, in place of {@linkcode LinkHost.onEvent}: for who does
   * not need an event made of it. What it lies in is read into again after the call.
   *
   * @param at where in both it begins
   * @param length how long it is, body included
   */
  onFrame?(view: DataView, bytes: Uint8Array, at: number, length: number): void;
  /** Whether the next frames may be read now. False: {@linkcode Link.wake} when that changes. */
  mayRead(): boolean;
  /**
   * A link that was let in has ended, and was not closed from here.
   *
   * @param fault why; undefined when the daemon has done what it was there for (a replay that is over)
   */
  onLinkEnd(link: ClientLink, fault: Fault | undefined): void;
}

/** How a link introduces itself. */
export interface Introduction {
  /** What the daemon's log and audit call this control. */
  readonly name: string;
  /** Which broadcast events it wants. */
  readonly sub: SubscribeOptions;
  /** For whom it speaks, "token:alice"; "" or left out: its user itself. */
  readonly as?: string;
  /** How long the daemon may take to answer, ms. */
  readonly timeoutMs: number;
}

/** A connection with its opening. */
export class Link implements ClientLink, ConnectionSink {
  readonly #socketPath: string;
  readonly #host: LinkHost;
  readonly #connection: Connection;
  readonly #greeting = Promise.withResolvers<Welcome>();
  #state: "opening" | "open" | "ended" = "opening";
  #lastSeq: number | undefined;
  #afterOverrun = false;
  /** What the daemon said of this connection as a whole. */
  #lastError = "";
  #isOver = false;
  /** For whom the HELLO spoke. */
  #as = "";

  /**
   * Takes a connected socket over.
   *
   * @param socket SEQPACKET; owned from now on
   * @param socketPath for messages
   */
  constructor(socket: OwnedFd, socketPath: string, host: LinkHost) {
    this.#socketPath = socketPath;
    this.#host = host;
    this.#connection = new Connection(socket, this);
    this.#greeting.promise.catch(() => {
      // Of a link that is closed as it opens nobody awaits the greeting.
    });
  }

  /** The sequence number of the newest event; undefined before the first. */
  get lastSeq(): number | undefined {
    return this.#lastSeq;
  }

  /** Whether frames wait for the socket to take them. */
  get congested(): boolean {
    return this.#connection.congested;
  }

  /**
   * Says HELLO and awaits the answer.
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
      // A daemon that does not admit this user says so at once, and closes: its REFUSED is read all the same.
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
   * Sends a complete frame without descriptors, and reads at once, for at most so long, until something came.
   *
   * @throws {Fault} `busy`, `unreachable`
   */
  ask(frame: Uint8Array<ArrayBuffer>, mostMs: number): void {
    this.#connection.ask(frame, mostMs);
  }

  /** Lets it look again whether it may read and what it has to send. */
  wake(): void {
    this.#connection.wake();
  }

  /** Ends it, and frees what it holds. Its host is not told. */
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
    // It tells of the connection, and not of a VM: its end follows.
    if (event.kind === KIND.ERROR && event.endpoint === NO_ENDPOINT && event.corr === 0) {
      this.#noteError(event);
    }
    // That the daemon is done is not an error for a program to see.
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
