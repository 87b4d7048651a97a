/**
 * One remote user's session: a control of its own at the daemon, which carries out the requests as commands.
 * Each request is carried out at most once and answered exactly once; the answer is kept, in case it is asked
 * for again.
 *
 * A late request has no effect: it carries its number in the session (one below a later one is dropped), the
 * time until which it may begin (this host's clock, see `envelope.ts`), and its endpoint's life; the daemon
 * checks the token. Every lease has a keepalive, and so has the session: a reader that is no longer heard
 * from counts as an owner that died.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { CODE, type Code, type CodeName } from "../../base/codes.ts";
import { Fault } from "../../base/fault.ts";
import { type EndpointId, NO_ENDPOINT } from "../../base/ids.ts";
import { MAX_FRAME_BYTES } from "../../base/limits.ts";
import { VERSION } from "../../base/version.ts";
import type { ClientEvent } from "../../client/client_event.ts";
import type { ClientLink, Link, LinkHost } from "../../client/link.ts";
import { ACQUIRE, FRAME_REQUEST } from "../../event/body_layout.ts";
import { FRAME_OP } from "../../event/body_number.ts";
import { CLASS, KIND, kindClass } from "../../event/kind.ts";
import { checkFrame, FRAME } from "../../protocol/frame.ts";
import {
  copied,
  type Envelope,
  ENVELOPE_BYTES,
  ENVELOPE_VERSION,
  OP,
  type Op,
  sealInto,
} from "../wire/envelope.ts";
import { type JsonObject, readJson, writeJson } from "../wire/json_body.ts";
import { refusalFrames } from "../wire/made_frames.ts";
import type { JoinCounts } from "./counts.ts";
import { KeptAnswers, type Known } from "./kept_answers.ts";
import { ScreenService } from "./screen_service.ts";
import type { LocalBus } from "./local_bus.ts";
import type { LocalPlace } from "./host_view.ts";

/** Maximum number of open requests. */
const MOST_PENDING = 256;
/** How long one wait for a request lasts, ms. */
const SOON_MS = 0.1;
/** Lower and upper limit of a lease's keepalive, ms. */
const LEAST_LEASE_MS = 1000;
const MOST_LEASE_MS = 30_000;
const MOST_QUESTION_BYTES = 16 * 1024;
const NO_BYTES = new Uint8Array(0);

/** A query about a guest's memory. */
export interface MemoryQuestion {
  /** The asking user, as the daemon's admission names it. */
  readonly user: string;
  /** Its name in the log and audit trail. */
  readonly name: string;
  /** The VM's name on this host. */
  readonly endpoint: string;
  /** The query. */
  readonly body: JsonObject;
}

/** Answers such queries with lines of text, through a client that has the user's rights. */
export type MemoryDesk = (question: MemoryQuestion) => Promise<object>;

/** The options of a session. */
export interface BridgeSessionOptions {
  /** The user, as the daemon's admission names it. */
  readonly user: string;
  /** Its name in the log and audit trail. */
  readonly name: string;
  /** Time without a message from the reader after which the session ends, ms. */
  readonly ttlMs: number;
  /** Sends to the reader. @param envelope precedes the body; both are borrowed */
  readonly say: (envelope: Uint8Array, body: Uint8Array) => void;
  /** The daemon. */
  readonly bus: LocalBus;
  /** The current endpoint with a number. */
  readonly place: (endpoint: EndpointId) => LocalPlace | undefined;
  /** This host's clock, ms. */
  readonly nowMs: () => number;
  /** Queries about memory; undefined: not supported. */
  readonly memory: MemoryDesk | undefined;
  /** The counters. */
  readonly counts: JoinCounts;
  /** Called once when the session ends from this side. */
  readonly onEnd: () => void;
}

/** A session. */
export class BridgeSession implements LinkHost {
  readonly #options: BridgeSessionOptions;
  readonly #kept = new KeptAnswers();
  readonly #byCorr = new Map<number, number>();
  readonly #envelope = new Uint8Array(ENVELOPE_BYTES);
  readonly #envelopeView = new DataView(this.#envelope.buffer);
  readonly #screens: ScreenService;
  #link: Link | undefined;
  #welcome: Uint8Array | undefined;
  #heardMs: number;
  #isEnded = false;

  /** Starts without a connection. */
  constructor(options: BridgeSessionOptions) {
    this.#options = options;
    this.#heardMs = options.nowMs();
    const { bus, user, name } = options;
    this.#screens = new ScreenService(() => bus.clientFor(user, name, { sources: ["CORE", "FRAME"] }), {
      picturePart: (part) => {
        options.counts.pictures++;
        this.#say(OP.PICTURE, 0, part);
      },
      event: (frame) => this.#say(OP.EVENT, 0, frame),
    });
  }

  /** The user. */
  get user(): string {
    return this.#options.user;
  }

  /** Whether the daemon has admitted it at some time. */
  get isOpen(): boolean {
    return this.#link !== undefined;
  }

  /** The outcomes of its requests. */
  get kept(): KeptAnswers {
    return this.#kept;
  }

  /** Joins the daemon for the user. @throws {Fault} */
  async open(): Promise<void> {
    const { bus, user, name } = this.#options;
    // No broadcast events: those addressed to this control arrive in any case.
    const link = await bus.link(user, name, { sources: [] }, this);
    if (this.#isEnded) return await link.close();
    this.#link = link;
    assert(this.#welcome !== undefined, "who is let in is welcomed");
    this.#say(OP.OPENED, 0, this.#welcome);
  }

  /** Whether the reader has not been heard from for too long. */
  isSilent(nowMs: number): boolean {
    return nowMs - this.#heardMs > this.#options.ttlMs;
  }

  /** The outcome of a request; one that has not arrived will not be carried out any more. */
  ask(seq: number): Known {
    this.#heardMs = this.#options.nowMs();
    const known = this.#kept.look(seq);
    if (known.is === "new") this.#kept.never(seq);
    return known;
  }

  /** Handles a request other than {@linkcode BridgeSession.ask}. */
  receive({ op, seq, atMs, life, body }: Envelope): void {
    this.#heardMs = this.#options.nowMs();
    switch (op) {
      case OP.OPEN:
        // Repeated, because the reader may not have received it.
        if (this.#link !== undefined && this.#welcome !== undefined) this.#say(OP.OPENED, 0, this.#welcome);
        return;
      case OP.ALIVE:
        return this.#say(OP.ALIVE, 0);
      case OP.SHOWN:
        return this.#screens.shown();
      case OP.COMMAND:
      case OP.MEMORY:
        return this.#request(op, seq, atMs, life, body);
      case OP.CLOSE:
        return void this.end();
      default:
        this.#options.counts.notUnderstood++;
    }
  }

  /**
   * Ends it: the daemon releases its leases and what is held.
   *
   * @param why sent to the reader, unless the reader ended it
   */
  async end(why?: Fault): Promise<void> {
    if (this.#isEnded) return;
    this.#isEnded = true;
    if (why !== undefined) {
      this.#write(OP.ENDED, 0, writeJson({ code: why.code, text: why.message }));
    }
    this.#options.onEnd();
    await this.#link?.close();
    await this.#screens[Symbol.asyncDispose]();
  }

  /** See {@linkcode LinkHost}. */
  onWelcome(_link: ClientLink, _welcome: unknown): void {
    this.#welcome = writeJson({ v: ENVELOPE_VERSION, vmsig: VERSION });
  }

  /** See {@linkcode LinkHost}. */
  mayRead(): boolean {
    return true;
  }

  /** See {@linkcode LinkHost}. */
  onEvent(event: ClientEvent): void {
    const { frame } = event;
    this.onFrame(new DataView(frame.buffer), frame, 0, frame.length);
    event[Symbol.dispose]();
  }

  /** See {@linkcode LinkHost}. */
  onFrame(view: DataView, bytes: Uint8Array, at: number, length: number): void {
    const corr = view.getUint32(at + FRAME.corr, true);
    const seq = corr === 0 ? undefined : this.#byCorr.get(corr);
    const frame = new Uint8Array(bytes.subarray(at, at + length));
    if (seq === undefined) return this.#say(OP.EVENT, 0, frame);
    this.#byCorr.delete(corr);
    this.#answer(seq, frame);
  }

  /** See {@linkcode LinkHost}. */
  onLinkEnd(): void {
    const text = "this host's daemon disconnected; commands under way may or may not have been carried out";
    void this.end(new Fault("unreachable", text));
  }

  #request(
    op: typeof OP.COMMAND | typeof OP.MEMORY,
    seq: number,
    atMs: number,
    life: number,
    body: Uint8Array,
  ): void {
    const { counts } = this.#options;
    if (seq === 0 || this.#link === undefined) return void counts.notUnderstood++;
    const known = this.#kept.look(seq);
    if (known.is !== "new") {
      counts.repeated++;
      return known.is === "answered" ? this.#say(OP.ANSWER, seq, known.answer) : this.#fate(seq, known.fate);
    }
    this.#kept.begin(seq);
    if (op === OP.COMMAND) this.#command(seq, atMs, life, body);
    else this.#question(seq, atMs, life, body);
  }

  #command(seq: number, atMs: number, life: number, body: Uint8Array): void {
    // A copy, because the library reuses its buffer, and the frame's view must begin at its start.
    const frame = copied(body);
    const view = new DataView(frame.buffer);
    const defect = checkFrame(view, 0, frame.length, 0);
    if (frame.length > MAX_FRAME_BYTES || defect !== "") {
      this.#options.counts.notUnderstood++;
      const corr = frame.length < FRAME.body ? 0 : view.getUint32(FRAME.corr, true);
      if (defect === "unknown kind") {
        const words = `this host's vmsig ${VERSION} does not know command ${
          view.getUint16(FRAME.kind, true)
        }; update it`;
        return this.#refuse(
          seq,
          corr,
          view.getUint32(FRAME.endpoint, true) as EndpointId,
          CODE["not-supported"],
          words,
        );
      }
      return this.#refuse(seq, corr, NO_ENDPOINT, CODE["protocol-error"], "the request is not a frame");
    }
    const kind = view.getUint16(FRAME.kind, true) as Parameters<typeof kindClass>[0];
    const corr = view.getUint32(FRAME.corr, true);
    const endpoint = view.getUint32(FRAME.endpoint, true) as EndpointId;
    const refuse = (code: Code, words: string) => this.#refuse(seq, corr, endpoint, code, words);
    if (kindClass(kind) !== CLASS.DOWN) {
      return refuse(CODE["not-supported"], "only commands go to another host");
    }
    if (this.#options.nowMs() > atMs) return this.#refuseLate(seq, corr, endpoint);
    if (this.#options.place(endpoint)?.life !== life) return refuse(CODE["no-endpoint"], "");
    if (corr !== 0 && this.#byCorr.has(corr)) return refuse(CODE["bad-argument"], "its corr is in use");
    if (this.#byCorr.size >= MOST_PENDING) return refuse(CODE.busy, "too many requests are under way");
    try {
      if (kind === KIND.CMD_FRAME && this.#picture(seq, corr, endpoint, view)) return;
      if (kind === KIND.CMD_ACQUIRE) keepAlive(view, this.#options.ttlMs);
      if (corr !== 0) this.#byCorr.set(corr, seq);
      // Polls for the daemon's own answers, which arrive sooner than a waiting thread wakes.
      this.#link?.ask(frame, SOON_MS);
      // Without a corr there is no answer: that it was sent is all that can be reported.
      if (corr === 0) this.#kept.settle(seq, new Uint8Array(0));
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      this.#byCorr.delete(corr);
      refuse(codeOf(error), error.message);
    }
  }

  /** Serves requests for pictures; false: the daemon answers it like any other command. */
  #picture(seq: number, corr: number, id: EndpointId, view: DataView): boolean {
    const { at } = FRAME_REQUEST;
    const [op = 0, head = 0, rate = 0] = [at.op, at.head, at.perSecond].map((offset) =>
      view.getUint32(FRAME.inline + offset, true)
    );
    let served: Promise<void>;
    if (op === FRAME_OP.ONCE) served = this.#screens.once(id, head);
    else if (op === FRAME_OP.TEXT) served = this.#screens.text(id, head);
    else if (op === FRAME_OP.WATCH) served = this.#screens.watch(id, head, rate);
    else if (op === FRAME_OP.UNWATCH) served = this.#screens.watch(id, head, 0);
    else return false;
    served.then(() => this.#refuse(seq, corr, id, CODE.ok, ""), (error) => {
      if (!(error instanceof Fault)) throw error;
      this.#refuse(seq, corr, id, codeOf(error), error.message.replace(/^Cannot [^:]*: /, ""));
    });
    return true;
  }

  #question(seq: number, atMs: number, life: number, bytes: Uint8Array): void {
    const { memory, user, name, place, nowMs } = this.#options;
    const body = readJson(bytes, MOST_QUESTION_BYTES);
    const endpoint = body?.["endpoint"];
    const told = (op: typeof OP.LINES | typeof OP.REFUSED, value: object) => {
      const answer = writeJson(value);
      // Not kept: a repeated request is carried out again, since it changes nothing.
      this.#kept.settle(seq, new Uint8Array(0));
      if (!this.#isEnded) this.#write(op, seq, answer);
    };
    const refuse = (code: CodeName, text: string) => told(OP.REFUSED, { code, text });
    if (memory === undefined) {
      return refuse("not-supported", "this host does not answer questions about memory");
    }
    if (body === undefined || typeof endpoint !== "number") {
      return refuse("protocol-error", "it cannot be decoded");
    }
    if (nowMs() > atMs) return refuse("timed-out", "it arrived after its deadline");
    const found = place(endpoint as EndpointId);
    if (found?.life !== life) return refuse("no-endpoint", "the endpoint was detached");
    memory({ user, name, endpoint: found.name, body }).then((lines) => told(OP.LINES, lines), (error) => {
      if (!(error instanceof Fault)) throw error;
      refuse(error.code as CodeName, error.message);
    });
  }

  /** Answers a request here, with a message and a code. */
  #refuse(seq: number, corr: number, endpoint: EndpointId, code: Code, words: string): void {
    this.#answer(seq, this.#toldWhy(endpoint, corr, code, words));
  }

  /** If the outcome is asked for after the request was given up: it was not carried out. */
  #refuseLate(seq: number, corr: number, endpoint: EndpointId): void {
    this.#options.counts.late++;
    this.#kept.skip(seq);
    const words = "it arrived after its deadline, and was not carried out";
    this.#say(OP.ANSWER, seq, this.#toldWhy(endpoint, corr, CODE["timed-out"], words));
  }

  /** Reports why a request is not carried out, and answers it. */
  #toldWhy(endpoint: EndpointId, corr: number, code: Code, words: string): Uint8Array {
    const frames = refusalFrames({ endpoint, corr, code, words });
    const answer = frames.pop();
    assert(answer !== undefined, "a refusal ends with its answer");
    for (const frame of frames) this.#say(OP.EVENT, 0, frame);
    return answer;
  }

  #answer(seq: number, frame: Uint8Array): void {
    this.#kept.settle(seq, frame);
    this.#say(OP.ANSWER, seq, frame);
  }

  #fate(seq: number, fate: number): void {
    this.#say(OP.FATE, seq, Uint8Array.of(fate));
  }

  #say(
    op:
      | typeof OP.ANSWER
      | typeof OP.EVENT
      | typeof OP.PICTURE
      | typeof OP.FATE
      | typeof OP.OPENED
      | typeof OP.ALIVE,
    seq: number,
    body?: Uint8Array,
  ): void {
    if (!this.#isEnded) this.#write(op, seq, body);
  }

  #write(op: Op, seq: number, body: Uint8Array = NO_BYTES): void {
    sealInto(this.#envelopeView, op, seq, this.#options.nowMs());
    this.#options.say(this.#envelope, body);
  }
}

/** A remote owner must always be heard from, whatever it asked for. */
function keepAlive(frame: DataView, ttlMs: number): void {
  const at = FRAME.inline + ACQUIRE.at.ttlMs;
  const wanted = frame.getUint32(at, true);
  const most = Math.min(MOST_LEASE_MS, Math.max(ttlMs, LEAST_LEASE_MS));
  frame.setUint32(at, wanted === 0 ? most : Math.min(Math.max(wanted, LEAST_LEASE_MS), most), true);
}

function codeOf({ code }: Fault): Code {
  return code in CODE ? CODE[code as CodeName] as Code : CODE.refused;
}
