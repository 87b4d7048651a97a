/**
 * A session with one host: this program as a control of the daemon there. It opens with the first command,
 * lives as long as both sides hear from each other within its ttl, and reports the outcome of each command:
 * its answer, or, after a time without the server, that it never arrived, or that this is unknown.
 *
 * If nothing was heard from the host within the ttl, the session ends here as it does there: leases are lost.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { Fault, type FaultCode } from "../../base/fault.ts";
import { CODE } from "../../base/codes.ts";
import type { EndpointId } from "../../base/ids.ts";
import { oneLine } from "../../base/printable.ts";
import { VERSION } from "../../base/version.ts";
import {
  copied,
  type Envelope,
  ENVELOPE_BYTES,
  ENVELOPE_VERSION,
  FATE,
  OP,
  type Op,
  opened,
  sealInto,
} from "../wire/envelope.ts";
import { type JsonObject, readJson, textField, writeJson } from "../wire/json_body.ts";
import { otherVersion } from "../wire/host_entry.ts";
import type { NatsLink } from "../wire/nats_link.ts";
import { messageHead } from "../wire/publish_batch.ts";
import { requestSubject, sessionInbox, token } from "../wire/subjects.ts";
import type { Fate } from "./fate.ts";

/** The ttl of a session, ms. */
export const SESSION_TTL_MS = 10_000;
const OPEN_TIMEOUT_MS = 5000;
/** Maximum number of open commands. */
const MOST_OPEN = 1024;
const NO_BYTES = new Uint8Array(0);

/** The listener of a session. */
export interface SessionListener {
  /** A frame: an answer, or an event for this session. */
  onFrame(session: HostSession, frame: Uint8Array): void;
  /** A part of a picture. */
  onPicturePart(session: HostSession, part: Uint8Array): void;
  /** A command will not be answered. */
  onFate(session: HostSession, command: SentCommand, fate: Fate): void;
  /** The session has ended. */
  onSessionEnd(session: HostSession, fault: Fault): void;
}

/** A command without an answer yet. */
export interface SentCommand {
  /** Its corr in the frame. */
  readonly corr: number;
  /** The endpoint on the host. */
  readonly endpoint: EndpointId;
}

/** The contents of a command's envelope. */
export interface CommandParts extends SentCommand {
  /** The life of the endpoint's number. */
  readonly life: number;
  /** The frame. */
  readonly frame: Uint8Array;
  /** Its time limit, ms. */
  readonly timeoutMs: number;
}

/** The options of a session. */
export interface SessionParts {
  /** The server. */
  readonly link: NatsLink;
  /** The host. */
  readonly host: string;
  /** This program's id. */
  readonly reader: string;
  /** The session's id, never used before. */
  readonly session: string;
  /** The name in the daemon's log and audit trail. */
  readonly name: string;
  /** Told of what it hears. */
  readonly listener: SessionListener;
  /** Time without a message after which it ends, ms. */
  readonly ttlMs: number;
}

/** A session. */
export class HostSession {
  /** The host. */
  readonly host: string;
  /** Its id. */
  readonly session: string;
  /** The subject on which it hears its host. */
  readonly inbox: string;
  readonly #link: NatsLink;
  readonly #listener: SessionListener;
  readonly #subject: string;
  /** The bytes before each message to the host. */
  readonly #head: Uint8Array;
  readonly #envelope = new Uint8Array(ENVELOPE_BYTES);
  readonly #envelopeView = new DataView(this.#envelope.buffer);
  readonly #name: string;
  readonly #ttlMs: number;
  readonly #opening = Promise.withResolvers<Uint8Array>();
  readonly #open = new Map<number, SentCommand>();
  readonly #lines = new Map<number, PromiseWithResolvers<JsonObject>>();
  #state: "opening" | "open" | "ended" = "opening";
  #seq = 0;
  /** The host's clock when it last sent it, and our clock at that time. */
  #hostMs = 0;
  #heardMs = 0;
  #saidMs = 0;
  #timer: ReturnType<typeof setInterval> | undefined;
  #openTimer: ReturnType<typeof setTimeout> | undefined;

  /** Starts without sending. */
  constructor({ link, host, reader, session, name, listener, ttlMs }: SessionParts) {
    this.#ttlMs = ttlMs;
    this.host = host;
    this.session = session;
    this.#link = link;
    this.#listener = listener;
    this.#name = name;
    this.#subject = requestSubject(host, link.user, session);
    this.inbox = sessionInbox(token(link.user), reader, session, host);
    this.#head = messageHead(this.#subject, this.inbox);
    this.#opening.promise.catch(() => {
      // If the session is closed while it opens, nobody awaits the opening.
    });
  }

  /** Whether it has ended. */
  get isEnded(): boolean {
    return this.#state === "ended";
  }

  /** Number of commands without an answer. */
  get openCommands(): number {
    return this.#open.size;
  }

  /**
   * Opens it.
   *
   * @returns the daemon's WELCOME
   * @throws {Fault} `unreachable`, `timed-out`, or with the host's code
   */
  async open(): Promise<Uint8Array> {
    assert(this.#state === "opening" && this.#saidMs === 0, "a session opens once");
    const body = writeJson({ v: ENVELOPE_VERSION, vmsig: VERSION, name: this.#name, ttlMs: this.#ttlMs });
    if (!this.#say(OP.OPEN, {}, body)) throw this.#end(noServer(this.host));
    this.#openTimer = setTimeout(() => {
      this.#end(
        new Fault(
          "timed-out",
          `Cannot reach host ${
            oneLine(this.host)
          }: no answer within ${OPEN_TIMEOUT_MS} ms; do these credentials speak for ${
            oneLine(this.#link.user)
          } (--as)?`,
        ),
      );
    }, OPEN_TIMEOUT_MS);
    const welcome = await this.#opening.promise;
    this.#timer = setInterval(() => this.#beat(), this.#ttlMs / 4);
    return welcome;
  }

  /**
   * Sends a command.
   *
   * @returns its number in the session
   * @throws {Fault} `unreachable` when the server is away; `busy` when too many are open
   */
  send({ corr, endpoint, life, frame, timeoutMs }: CommandParts): number {
    assert(this.#state === "open", "commands go by an open session");
    if (this.#open.size >= MOST_OPEN) {
      throw new Fault("busy", `Cannot send: ${MOST_OPEN} commands wait for an answer; await some first`);
    }
    const seq = this.#nextSeq();
    if (!this.#say(OP.COMMAND, { seq, life, atMs: this.#deadline(timeoutMs) }, frame)) {
      throw noServer(this.host);
    }
    if (corr !== 0) this.#open.set(seq, { corr, endpoint });
    return seq;
  }

  /** A picture was received; the next one may be sent. */
  shown(): void {
    if (this.#state === "open") this.#say(OP.SHOWN, {});
  }

  /**
   * Sends a query about a guest's memory.
   *
   * @throws {Fault} with the host's code; `timed-out`
   */
  async askMemory(life: number, body: JsonObject, timeoutMs: number): Promise<JsonObject> {
    assert(this.#state === "open", "questions go by an open session");
    const seq = this.#nextSeq();
    const answer = Promise.withResolvers<JsonObject>();
    this.#lines.set(seq, answer);
    const timer = setTimeout(() => {
      answer.reject(new Fault("timed-out", `Cannot read that memory: no answer within ${timeoutMs} ms`));
    }, timeoutMs);
    try {
      if (!this.#say(OP.MEMORY, { seq, life, atMs: this.#deadline(timeoutMs) }, writeJson(body))) {
        throw noServer(this.host);
      }
      return await answer.promise;
    } finally {
      clearTimeout(timer);
      this.#lines.delete(seq);
    }
  }

  /** The server is back: asks for the outcomes of what was sent. */
  onServer(): void {
    if (this.#state !== "open") return;
    this.#say(OP.ALIVE, {});
    for (const seq of this.#open.keys()) this.#say(OP.ASK, { seq });
  }

  /** The server refused something, possibly the opening of this session. */
  onRefusal(text: string): void {
    if (this.#state !== "opening" || !text.toLowerCase().includes(this.#subject.toLowerCase())) return;
    this.#end(
      new Fault(
        "refused",
        `Cannot ask host ${oneLine(this.host)}: the server does not let ${
          oneLine(this.#link.user)
        } publish there ` +
          "(config/nats/ lists the permissions that a user needs; --as gives another name)",
      ),
    );
  }

  /** Handles a message to this session's inbox. */
  receive(bytes: Uint8Array, isNobodyThere: boolean): void {
    if (this.#state === "ended") return;
    if (isNobodyThere) {
      // With an open session it may be a restart of the server, which learns of its subscribers one by one.
      if (this.#state === "opening") {
        this.#end(
          new Fault(
            "unreachable",
            `Cannot reach host ${
              oneLine(this.host)
            }: it is not in the roster; vmsig --nats URL ls --wide lists the hosts that are`,
          ),
        );
      }
      return;
    }
    const envelope = opened(bytes);
    if (envelope === undefined) return this.#notUnderstood(bytes[0]);
    this.#hostMs = Math.max(this.#hostMs, envelope.atMs);
    this.#heardMs = performance.now();
    this.#take(envelope);
  }

  /** Ends it: open commands get no answer, and the host releases its leases. */
  close(): void {
    if (this.#state === "ended") return;
    this.#say(OP.CLOSE, {});
    this.#stop();
  }

  /** Distinguishes a host with another protocol version from an absent one. */
  #notUnderstood(version: number | undefined): void {
    if (this.#state !== "opening" || version === undefined || version === ENVELOPE_VERSION) return;
    this.#end(otherVersion(this.host, version, ""));
  }

  #take({ op, seq, body }: Envelope): void {
    switch (op) {
      case OP.OPENED:
        if (this.#state !== "opening") return;
        this.#state = "open";
        clearTimeout(this.#openTimer);
        return this.#opening.resolve(copied(body));
      case OP.ANSWER:
        // A second report must not answer twice.
        if (!this.#open.delete(seq)) return;
        return this.#listener.onFrame(this, body);
      case OP.EVENT:
        return this.#listener.onFrame(this, body);
      case OP.PICTURE:
        return this.#listener.onPicturePart(this, body);
      case OP.FATE:
        return this.#fate(seq, body[0]);
      case OP.LINES: {
        const answer = readJson(body, 8 * 1024 * 1024);
        if (answer !== undefined) this.#lines.get(seq)?.resolve(answer);
        return;
      }
      case OP.REFUSED:
        return this.#refused(seq, faultOf(this.host, body));
      case OP.ENDED:
        this.#end(faultOf(this.host, body));
    }
  }

  #refused(seq: number, fault: Fault): void {
    const lines = this.#lines.get(seq);
    if (seq !== 0 && lines !== undefined) return lines.reject(fault);
    this.#end(fault);
  }

  #fate(seq: number, fate: number | undefined): void {
    if (fate === FATE.PENDING) return;
    const command = this.#open.get(seq);
    this.#open.delete(seq);
    if (command === undefined) return;
    this.#listener.onFate(this, command, fate === FATE.NEVER ? "never" : "forgotten");
  }

  #nextSeq(): number {
    return this.#seq = this.#seq === 0xffff_ffff ? 1 : this.#seq + 1;
  }

  #deadline(timeoutMs: number): number {
    return this.#hostMs + (performance.now() - this.#heardMs) + timeoutMs;
  }

  #say(
    op: Op,
    { seq = 0, atMs = 0, life = 0 }: {
      readonly seq?: number;
      readonly atMs?: number;
      readonly life?: number;
    },
    body: Uint8Array = NO_BYTES,
  ): boolean {
    this.#saidMs = performance.now();
    sealInto(this.#envelopeView, op, seq, atMs, life);
    return this.#link.post(this.#head, body, 0, body.length, this.#envelope);
  }

  #beat(): void {
    const now = performance.now();
    if (now - this.#heardMs > this.#ttlMs) {
      this.#end(
        new Fault(
          "unreachable",
          `Cannot go on with host ${oneLine(this.host)}: it has not responded for ${this.#ttlMs / 1000} s`,
        ),
      );
    } else if (now - this.#heardMs > this.#ttlMs / 4 - 50) this.#say(OP.ALIVE, {});
  }

  #end(fault: Fault): Fault {
    if (this.#state === "ended") return fault;
    this.#opening.reject(fault);
    const left = [...this.#open.values()];
    this.#stop();
    for (const command of left) this.#listener.onFate(this, command, "lost");
    this.#listener.onSessionEnd(this, fault);
    return fault;
  }

  #stop(): void {
    this.#state = "ended";
    clearInterval(this.#timer);
    clearTimeout(this.#openTimer);
    this.#open.clear();
    const fault = new Fault("unreachable", `the session with host ${oneLine(this.host)} is over`);
    this.#opening.reject(fault);
    for (const each of this.#lines.values()) each.reject(fault);
  }
}

function noServer(host: string): Fault {
  return new Fault(
    "unreachable",
    `Cannot reach host ${oneLine(host)}: the NATS server is not connected; this program reconnects by itself`,
  );
}

function faultOf(host: string, body: Uint8Array): Fault {
  const map = readJson(body, 4096) ?? {};
  const code = textField(map, "code", 32) ?? "refused";
  const text = oneLine(textField(map, "text", 1024) ?? "no reason was given");
  const isKnown = code !== "ok" && (code in CODE || code === "unreachable");
  return new Fault(isKnown ? code as FaultCode : "refused", `Host ${oneLine(host)}: ${text}`);
}
