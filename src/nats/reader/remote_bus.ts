/**
 * The buses of all hosts as one: the roster, the wanted events, and a session with each host that a command
 * goes to. For a client it takes the place of a control socket, with frames in and frames out; endpoints have
 * this program's numbers (`endpoint_numbers.ts`) and the names HOST/NAME.
 * @module
 */
import { CODE, type Code } from "../../base/codes.ts";
import { Fault } from "../../base/fault.ts";
import { type EndpointId, NO_ENDPOINT } from "../../base/ids.ts";
import { oneLine } from "../../base/printable.ts";
import { DIR } from "../../event/defaults.ts";
import { LEASE, LEASE_GRANTED } from "../../event/body_layout.ts";
import { LEASE_REVOKE, type LeaseClass } from "../../event/body_number.ts";
import { KIND, type Kind } from "../../event/kind.ts";
import { checkFrame, FRAME } from "../../protocol/frame.ts";
import { checkSpeaks, type HostEntry } from "../wire/host_entry.ts";
import type { JsonObject } from "../wire/json_body.ts";
import { copied } from "../wire/envelope.ts";
import { refusalFrames, revokedFrame } from "../wire/made_frames.ts";
import { NatsLink, type NatsOptions } from "../wire/nats_link.ts";
import { type PictureAbout, PictureAssembler } from "../wire/picture_parts.ts";
import { nameOfToken, newSession, readerInbox, token } from "../wire/subjects.ts";
import { commandIdOf, commandIdText, type CommandOutcome } from "../wire/outcome.ts";
import type { RemotePlace } from "./endpoint_numbers.ts";
import { type Fate, fateWords } from "./fate.ts";
import { OutcomeAsker } from "./outcome_asker.ts";
import { HostSession, type SentCommand, SESSION_TTL_MS, type SessionListener } from "./host_session.ts";
import { type PlacesListener, RemotePlaces } from "./remote_places.ts";
import { RemoteEvents, WANT_WORD } from "./remote_events.ts";
import { RosterReader } from "./roster_reader.ts";

/** Time limit for hosts to confirm that their events flow, ms. */
const WANT_ANSWER_MS = 2000;

/** The listener of a remote bus. */
export interface RemoteBusListener extends PlacesListener {
  /** The frame of a broadcast event. */
  onEvent(frame: Uint8Array<ArrayBuffer>): void;
  /** A picture that was requested. */
  onPicture(endpoint: EndpointId, about: PictureAbout, pixels: Uint8Array<ArrayBuffer>): void;
}

interface TranslatedFrame {
  readonly kind: Kind;
  readonly frame: Uint8Array<ArrayBuffer>;
  readonly place: RemotePlace | undefined;
  readonly inline: DataView;
}

/** All hosts' buses. */
export class RemoteBus implements AsyncDisposable, SessionListener {
  readonly #link: NatsLink;
  readonly #name: string;
  readonly #ttlMs: number;
  readonly #listener: RemoteBusListener;
  readonly #places: RemotePlaces;
  readonly #sessions = new Map<string, HostSession>();
  /** Sessions by the subject on which they hear their hosts, so that a subject is parsed only once. */
  readonly #byInbox = new Map<string, HostSession>();
  readonly #waiting = new Map<HostSession, (() => void)[]>();
  readonly #owned = new Map<HostSession, Map<string, readonly [endpoint: EndpointId, cls: LeaseClass]>>();
  readonly #pictures = new Map<HostSession, PictureAssembler>();
  readonly #reader = newSession();
  readonly #events: RemoteEvents;
  readonly #outcomes: OutcomeAsker;
  #roster: RosterReader | undefined;
  #notUnderstood = 0;

  private constructor(link: NatsLink, name: string, listener: RemoteBusListener, ttlMs: number) {
    this.#ttlMs = ttlMs;
    this.#link = link;
    this.#name = name;
    this.#listener = listener;
    this.#places = new RemotePlaces(listener);
    this.#outcomes = new OutcomeAsker(link, this.#reader);
    this.#events = new RemoteEvents({
      ...{ link, reader: this.#reader },
      onEvent: (host, data, name) => {
        const translated = this.#translated(host, data, name);
        if (translated !== undefined) listener.onEvent(translated.frame);
      },
      onOverrun: (frame) => listener.onEvent(frame),
      onUnknown: () => this.#notUnderstood++,
    });
  }

  /**
   * Connects, and begins to read the roster.
   *
   * @param name the name of this program in daemons' logs and audit trails
   * @throws {Fault} as `NatsLink.open` and `RosterReader.open`
   */
  static async open(options: NatsOptions, name: string, listener: RemoteBusListener): Promise<RemoteBus> {
    const link = await NatsLink.open(options, `vmsig ${name}`);
    try {
      const bus = new RemoteBus(link, name, listener, options.sessionTtlMs ?? SESSION_TTL_MS);
      link.on(`${readerInbox(token(link.user), bus.#reader)}.*.*`, ({ subject, data, headers }) => {
        bus.#receive(subject, data, headers?.code === 503);
      });
      const onRefusal = (text: string) => bus.#sessions.forEach((each) => each.onRefusal(text));
      link.listen({ onUp: () => bus.#onServer(), onRefusal });
      bus.#roster = await RosterReader.open(link, {
        onHost: (entry) => bus.#onHost(entry),
        onHostGone: (host) => bus.#onHostGone(host),
      });
      return bus;
    } catch (error) {
      await link[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The known hosts. */
  get hosts(): HostEntry[] {
    return this.#roster?.hosts ?? [];
  }

  /** Number of messages that could not be parsed and were ignored. */
  get notUnderstood(): number {
    return this.#notUnderstood + (this.#roster?.notUnderstood ?? 0);
  }

  /** The number of HOST/NAME; undefined if it does not exist. */
  numberOf(name: string): EndpointId | undefined {
    return this.#places.numberOf(name);
  }

  /** The endpoint with one of our numbers. */
  place(endpoint: EndpointId): RemotePlace | undefined {
    return this.#places.place(endpoint);
  }

  /**
   * Resolves when the roster is complete, the hosts' events flow, and everything that the server had has
   * arrived.
   *
   * @returns false when the server is away
   */
  async settled(): Promise<boolean> {
    await this.#roster?.whole();
    const untilMs = performance.now() + WANT_ANSWER_MS;
    while (!this.#events.flowFrom(this.hosts) && performance.now() < untilMs) {
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    return this.#link.isUp && await this.#link.flush();
  }

  /** From now on events of exactly these sources are wanted, bit 1 << source. */
  want(sources: number): void {
    this.#events.want(sources);
  }

  /**
   * Sends a command's frame, which this bus owns from now on.
   *
   * @throws {Fault} `unreachable`, `busy`
   */
  send(frame: Uint8Array<ArrayBuffer>, timeoutMs: number): void {
    const view = new DataView(frame.buffer, frame.byteOffset);
    const number = view.getUint32(FRAME.endpoint, true) as EndpointId;
    const corr = view.getUint32(FRAME.corr, true);
    const place = this.#places.place(number);
    if (place === undefined) {
      const code = number === NO_ENDPOINT ? CODE["bad-argument"] : CODE["no-endpoint"];
      return this.#refuse(number, corr, code, "");
    }
    view.setUint32(FRAME.endpoint, place.endpoint, true);
    const session = this.#sessionOf(place.host);
    const beganMs = performance.now();
    const go = (): void => {
      const leftMs = timeoutMs - (performance.now() - beganMs);
      // The sender has given it up: it is not sent.
      if (leftMs <= 0) return this.#refuse(number, corr, CODE.dropped, fateWords("never"));
      const parts = { corr, endpoint: place.endpoint, life: place.life, frame, timeoutMs: leftMs };
      const seq = session.send(parts);
      if (corr !== 0) this.#outcomes.note(corr, place.host, session.session, seq);
    };
    const waiting = this.#waiting.get(session);
    if (waiting === undefined) return go();
    waiting.push(() => {
      try {
        if (session.isEnded) throw new Fault("unreachable", "the host disconnected");
        go();
      } catch (error) {
        if (!(error instanceof Fault)) throw error;
        this.#refuse(number, corr, CODE["timed-out"], error.message);
      }
    });
  }

  /** The id with which another program can ask for a command's outcome; undefined: it was not sent. */
  outcomeId(corr: number): string | undefined {
    const id = this.#outcomes.idOf(corr);
    return id === undefined ? undefined : commandIdText(id);
  }

  /** The outcome of a command: of ours by its corr, of any by its id. @throws {Fault} */
  async outcome(of: number | string, timeoutMs: number): Promise<CommandOutcome> {
    const id = typeof of === "number" ? this.#outcomes.idOf(of) : commandIdOf(of);
    if (id !== undefined) return await this.#outcomes.ask(id, timeoutMs);
    if (typeof of === "number") return this.#outcomes.here(of);
    throw new Fault(
      "bad-argument",
      `Cannot determine the outcome of ${oneLine(of)}: it is not the id of a command`,
    );
  }

  /** A picture of an endpoint was received. */
  shown(endpoint: EndpointId): void {
    const place = this.#places.place(endpoint);
    if (place !== undefined) this.#sessions.get(place.host)?.shown();
  }

  /** Sends a query about a guest's memory to its host. @throws {Fault} */
  async askMemory(endpoint: EndpointId, body: JsonObject, timeoutMs: number): Promise<JsonObject> {
    const place = this.#places.place(endpoint);
    if (place === undefined) throw new Fault("no-endpoint", "Cannot read that memory: the VM was detached");
    const session = this.#sessionOf(place.host);
    const waiting = this.#waiting.get(session);
    if (waiting !== undefined) await new Promise<void>((resolve) => waiting.push(resolve));
    if (session.isEnded) {
      throw new Fault("unreachable", `Cannot reach host ${oneLine(place.host)}: it disconnected`);
    }
    return await session.askMemory(place.life, { ...body, endpoint: place.endpoint }, timeoutMs);
  }

  /** Leaves all hosts. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#events[Symbol.dispose]();
    this.#outcomes.end();
    for (const session of this.#sessions.values()) session.close();
    this.#sessions.clear();
    await this.#roster?.[Symbol.asyncDispose]();
    await this.#link.flush();
    await this.#link[Symbol.asyncDispose]();
  }

  /** See {@linkcode SessionListener}. */
  onFrame(session: HostSession, frame: Uint8Array): void {
    const translated = this.#translated(session.host, frame);
    if (translated === undefined) return;
    const { kind, place, inline } = translated;
    this.#listener.onFrame(translated.frame);
    if (place === undefined) return;
    const cls = inline.getUint32(LEASE.at.cls, true) as LeaseClass;
    const key = `${place.endpoint} ${cls}`;
    if (kind === KIND.LEASE_GRANTED && inline.getUint32(LEASE_GRANTED.at.ttlMs, true) > 0) {
      let of = this.#owned.get(session);
      if (of === undefined) this.#owned.set(session, of = new Map());
      of.set(key, [place.number, cls]);
    } else if (kind === KIND.LEASE_REVOKED || kind === KIND.LEASE_RELEASED) {
      this.#owned.get(session)?.delete(key);
    }
  }

  /** See {@linkcode SessionListener}. */
  onPicturePart(session: HostSession, part: Uint8Array): void {
    let assembler = this.#pictures.get(session);
    if (assembler === undefined) this.#pictures.set(session, assembler = new PictureAssembler());
    const picture = assembler.take(part);
    if (picture === undefined) return;
    const place = this.#places.at(session.host, picture.about.endpoint);
    if (place !== undefined) this.#listener.onPicture(place.number, picture.about, picture.pixels);
  }

  /** See {@linkcode SessionListener}. */
  onFate(session: HostSession, { corr, endpoint }: SentCommand, fate: Fate): void {
    const number = this.#places.at(session.host, endpoint)?.number ?? NO_ENDPOINT;
    const code = fate === "never" ? CODE.dropped : CODE["timed-out"];
    this.#refuse(number, corr, code, fateWords(fate, this.outcomeId(corr)));
  }

  /** See {@linkcode SessionListener}. */
  onSessionEnd(session: HostSession): void {
    if (this.#sessions.get(session.host) === session) this.#sessions.delete(session.host);
    this.#byInbox.delete(session.inbox);
    this.#pictures.delete(session);
    for (const [number, cls] of this.#owned.get(session)?.values() ?? []) {
      this.#listener.onFrame(revokedFrame(number, cls, LEASE_REVOKE.OWNER_GONE));
    }
    this.#owned.delete(session);
  }

  #sessionOf(host: string): HostSession {
    const known = this.#sessions.get(host);
    if (known !== undefined) return known;
    checkSpeaks(this.#roster?.host(host));
    const session = new HostSession({
      link: this.#link,
      host,
      reader: this.#reader,
      session: newSession(),
      name: this.#name,
      listener: this,
      ttlMs: this.#ttlMs,
    });
    this.#sessions.set(host, session);
    this.#byInbox.set(session.inbox, session);
    const waiting: (() => void)[] = [];
    this.#waiting.set(session, waiting);
    const go = (): void => {
      this.#waiting.delete(session);
      for (const each of waiting) each();
    };
    session.open().then(go, (error) => {
      if (!(error instanceof Fault)) throw error;
      this.#waiting.delete(session);
      // Waiting commands are told why, in the words of the fault.
      this.#openFault = error;
      for (const each of waiting) each();
      this.#openFault = undefined;
    });
    return session;
  }

  /** Why the session did not open, whose commands are refused now. */
  #openFault: Fault | undefined;

  #refuse(endpoint: EndpointId, corr: number, code: Code, words: string): void {
    if (corr === 0) return;
    const fault = this.#openFault;
    const why = fault?.message ?? words;
    const name = fault?.code;
    const number = name !== undefined && name in CODE ? CODE[name as keyof typeof CODE] as Code : code;
    // In a turn of its own, like an answer from the network.
    queueMicrotask(() => {
      for (const frame of refusalFrames({ endpoint, corr, code: number, words: why })) {
        this.#listener.onFrame(frame);
      }
    });
  }

  #receive(subject: string, data: Uint8Array, isNobodyThere: boolean): void {
    const known = this.#byInbox.get(subject);
    if (known !== undefined) {
      this.#outcomes.receive(known.host, known.session, data);
      return known.receive(data, isNobodyThere);
    }
    const [, , , which = "", hostToken = ""] = subject.split(".");
    const host = nameOfToken(hostToken);
    if (host === undefined) return;
    if (which === WANT_WORD) return this.#events.onAnswer(host);
    // A message to an ended session is ignored, except for an outcome that was asked for.
    this.#outcomes.receive(host, which, data);
  }

  /**
   * Checks a frame, and replaces its endpoint with our number.
   *
   * @param name the endpoint's name from the subject
   */
  #translated(
    host: string,
    data: Uint8Array,
    name?: string,
  ): TranslatedFrame | undefined {
    // A copy, because the library reuses its buffer.
    const frame = copied(data);
    const view = new DataView(frame.buffer);
    const fds = frame.length < FRAME.body ? 0 : view.getUint16(FRAME.fds, true);
    if (checkFrame(view, 0, frame.length, fds) !== "" || view.getUint8(FRAME.dir) !== DIR.UP) {
      this.#notUnderstood++;
      return undefined;
    }
    const kind = view.getUint16(FRAME.kind, true) as Kind;
    // The roster is read from its bucket, and events that open or end a connection refer to another one.
    if (kind === KIND.WELCOME || kind === KIND.REFUSED) return void this.#notUnderstood++;
    if (kind === KIND.ROSTER) return undefined;
    // The descriptors stayed on the host; the body says that there are some.
    view.setUint16(FRAME.fds, 0, true);
    const endpoint = view.getUint32(FRAME.endpoint, true) as EndpointId;
    let place: RemotePlace | undefined;
    if (endpoint !== NO_ENDPOINT) {
      place = name === undefined ? this.#places.at(host, endpoint) : this.#places.of(host, endpoint, name);
      view.setUint32(FRAME.endpoint, place?.number ?? NO_ENDPOINT, true);
    }
    return { kind, frame, place, inline: new DataView(frame.buffer, FRAME.inline) };
  }

  #onHost(entry: HostEntry): void {
    this.#places.onHost(entry);
    this.#events.onHost(entry);
  }

  #onHostGone(host: string): void {
    this.#places.onHostGone(host);
    this.#events.onHostGone(host);
  }

  #onServer(): void {
    for (const session of this.#sessions.values()) session.onServer();
    this.#events.onServer();
  }
}
