/**
 * Serves one target to one GDB at a time. Requests are queued; a GDB that sends requests without waiting for
 * answers is disconnected. When it disconnects for any reason, the VM resumes if it had stopped it.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { Fault, messageOf } from "../../base/fault.ts";
import type { ViewerInput, ViewerTransport } from "../../rfb/server/rfb_server.ts";
import type { ViewerServer } from "../vnc/viewer_listener.ts";
import { type GdbPeer, GdbSession } from "./gdb_session.ts";
import type { GdbTarget } from "./gdb_target.ts";
import { type GdbInput, packetOf, PacketReader } from "./packets.ts";
import { peerUid } from "./peer_uid.ts";

/** Queue limit of requests: GDB sends one and then waits for the answer. */
const MAX_WAITING = 64;
/** Limit of unread answers, bytes. */
const MAX_BUFFERED = 1024 * 1024;

/** Receives a server's messages. */
export interface GdbServerNews {
  /** A message, escaped. */
  onNote(text: string): void;
}

/** A server. */
export class GdbServer implements ViewerServer, AsyncDisposable {
  readonly #target: GdbTarget;
  readonly #news: GdbServerNews;
  #link: GdbLink | undefined;
  /** The new connection waits for the previous one to end. */
  #isWaiting = false;

  /** Serves a target. */
  constructor(target: GdbTarget, news: GdbServerNews) {
    this.#target = target;
    this.#news = news;
  }

  /** A connection that is ending makes room: the next one is served once the VM is in its former state. */
  get isFull(): boolean {
    return this.#link !== undefined && (!this.#link.isEnded || this.#isWaiting);
  }

  /** Over the loopback interface, only the server's user and root may connect. */
  admits(conn: Deno.Conn): boolean {
    if (conn.remoteAddr.transport !== "tcp") return true;
    const uid = peerUid(conn.localAddr as Deno.NetAddr, conn.remoteAddr);
    if (uid === 0 || uid === Deno.uid()) return true;
    this.#news.onNote(`a connection of ${uid === undefined ? "an unknown user" : `uid ${uid}`} was closed`);
    return false;
  }

  accept(transport: ViewerTransport, name: string): ViewerInput {
    assert(!this.isFull, "one GDB at a time");
    const before = this.#link?.left;
    this.#isWaiting = before !== undefined;
    void before?.then(() => this.#isWaiting = false);
    const link = new GdbLink(this.#target, transport, {
      before,
      onNote: (text) => this.#news.onNote(text),
      onLeft: () => {
        if (this.#link === link) this.#link = undefined;
        this.#news.onNote(`${name} has left`);
      },
    });
    this.#link = link;
    this.#news.onNote(`${name} is attached`);
    return link;
  }

  /** The VM has stopped. */
  onStop(): void {
    this.#link?.onStop();
  }

  /** The VM has ended. */
  onEnd(): void {
    this.#link?.onEnd();
  }

  /** Disconnects a GDB, and waits until the VM is in its former state. */
  async [Symbol.asyncDispose](): Promise<void> {
    const link = this.#link;
    link?.end();
    await link?.left;
  }
}

/** One connected GDB. */
class GdbLink implements ViewerInput, GdbPeer {
  readonly #target: GdbTarget;
  readonly #transport: ViewerTransport;
  readonly #onNote: (text: string) => void;
  readonly #onLeft: () => void;
  readonly #reader = new PacketReader();
  readonly #session: GdbSession;
  readonly #left = Promise.withResolvers<void>();
  readonly #jobs: (() => Promise<void>)[] = [];
  #before: Promise<void> | undefined;
  #isBusy = false;
  #isEnded = false;
  #last: Uint8Array<ArrayBuffer> | undefined;

  constructor(
    target: GdbTarget,
    transport: ViewerTransport,
    { before, onNote, onLeft }: {
      readonly before: Promise<void> | undefined;
      readonly onNote: (text: string) => void;
      readonly onLeft: () => void;
    },
  ) {
    this.#before = before;
    this.#target = target;
    this.#transport = transport;
    this.#onNote = onNote;
    this.#onLeft = onLeft;
    this.#session = new GdbSession(target, this);
  }

  /** Whether it has disconnected, or is about to. */
  get isEnded(): boolean {
    return this.#isEnded;
  }

  /** Resolves when it has disconnected and the VM is in its former state. */
  get left(): Promise<void> {
    return this.#left.promise;
  }

  receive(bytes: Uint8Array): void {
    if (this.#isEnded) return;
    try {
      for (const input of this.#reader.push(bytes)) this.#take(input);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      this.#fail(error.message);
    }
  }

  drained(): void {}

  gone(): void {
    this.end();
  }

  send(body: string | Uint8Array): Promise<void> {
    this.#last = packetOf(body);
    this.#put(this.#last);
    return Promise.resolve();
  }

  note(text: string): void {
    this.#onNote(text);
  }

  onStop(): void {
    this.#do(() => this.#session.onStop());
  }

  onEnd(): void {
    this.#do(() => this.#session.onEnd());
  }

  /** Ends it; a VM that it had stopped resumes. */
  end(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#jobs.length = 0;
    this.#transport.close();
    if (!this.#isBusy) void this.#leave();
  }

  #take(input: GdbInput): void {
    switch (input.what) {
      case "packet": {
        const { body } = input;
        if (!this.#session.isWithoutAcks) this.#put(ACK);
        return this.#do(() => this.#session.take(body));
      }
      case "interrupt":
        return this.#do(() => this.#session.interrupt());
      case "damaged":
        if (!this.#session.isWithoutAcks) this.#put(NAK);
        return;
      case "nak":
        if (this.#last !== undefined) this.#put(this.#last);
        return;
      case "ack":
        return;
    }
  }

  #put(bytes: Uint8Array<ArrayBuffer>): void {
    if (this.#isEnded) return;
    if (this.#transport.bufferedBytes > MAX_BUFFERED) return this.#fail("it does not read what it asks for");
    this.#transport.send(bytes);
  }

  #do(job: () => Promise<void>): void {
    if (this.#isEnded) return;
    if (this.#jobs.length >= MAX_WAITING) return this.#fail("it asks without waiting for answers");
    this.#jobs.push(job);
    if (!this.#isBusy) void this.#work();
  }

  async #work(): Promise<void> {
    this.#isBusy = true;
    await this.#before;
    try {
      for (let job = this.#jobs.shift(); job !== undefined; job = this.#jobs.shift()) {
        await job();
        if (this.#session.isOver) this.end();
      }
    } catch (error) {
      this.#fail(messageOf(error));
    }
    this.#isBusy = false;
    if (this.#isEnded) await this.#leave();
  }

  #fail(why: string): void {
    if (this.#isEnded) return;
    this.#onNote(`gdb is sent away: ${why}`);
    this.end();
  }

  async #leave(): Promise<void> {
    await this.#before;
    try {
      await this.#target.leave();
    } catch (error) {
      this.#onNote(`the VM may stand still: ${messageOf(error)}`);
    }
    this.#onLeft();
    this.#left.resolve();
  }
}

const ACK: Uint8Array<ArrayBuffer> = new Uint8Array([0x2b]);
const NAK: Uint8Array<ArrayBuffer> = new Uint8Array([0x2d]);
