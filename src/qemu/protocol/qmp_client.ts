/**
 * A QMP client over a byte stream: greeting, capabilities, numbered commands, events. Input and time are
 * parameters, and results are callbacks; it has no socket, timer or promise, because it runs on a synchronous
 * loop.
 *
 * At most {@linkcode MAX_QMP_INFLIGHT} commands are in flight, the rest is queued in order: with more, QEMU
 * stops reading the monitor. A command whose time limit has passed is answered, but keeps its slot until its
 * late reply arrives or the stream ends, because QEMU still has it.
 *
 * Lines have a low length limit unless an answer to a command with long answers is pending: events and all
 * other answers have a few hundred bytes. Before a line is parsed as JSON, its depth and number of values are
 * limited (line_shape.ts).
 *
 * A command's id is the number of its slot, one digit; a command in slot 0, the first that is taken, is sent
 * without an id, and then QEMU's reply has none. At most one such command is open at a time, so a reply
 * without id belongs to it, and is a protocol error if there is none. QEMU 7.2 reads its monitor byte by byte
 * (one recvmsg each), which takes 3 us per byte (query-status 0.14 ms, with 1,000 spaces in it 3.1 ms): the
 * length of a command determines most of its time, and an id is 7 bytes.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { NEVER } from "../../base/clock.ts";
import {
  MAX_QMP_INFLIGHT,
  MAX_QMP_LINE_BYTES,
  MAX_QMP_QUEUE,
  MAX_QMP_SHORT_LINE_BYTES,
} from "../../base/limits.ts";
import { LineSplitter } from "./line_splitter.ts";
import { MessageAssembler } from "./message_assembler.ts";
import {
  emptyReturnId,
  NO_ID,
  NOTHING,
  parseQmpLine,
  type QmpEvent,
  type QmpMessage,
} from "./qmp_message.ts";

/**
 * The outcome of a command. `done`, `error`: QEMU's answer. `timed-out`: it was sent, and QEMU has not
 * answered in time. `closed`: it was sent, and the stream ended. `unsent`: it was not sent.
 */
export type QmpReply =
  | { readonly outcome: "done"; readonly value: unknown }
  | { readonly outcome: "error"; readonly errorClass: string; readonly errorText: string }
  | { readonly outcome: "timed-out" | "closed" | "unsent" };

/** Called with the reply to a command, exactly once. `tag` is the number passed with it. */
export type QmpReplyHandler = (reply: QmpReply, tag: number) => void;

/** The output of a client. */
export interface QmpOutput {
  /**
   * Sends a command's bytes, and queues what cannot be sent at once; the client may reuse them after the
   * call.
   *
   * @param descriptors sent with the first byte; owned by the output from now on in every case
   */
  sendCommand(bytes: Uint8Array<ArrayBuffer>, length: number, descriptors: QmpDescriptors | null): void;
}

/**
 * Open files to be sent with a command (SCM_RIGHTS). The owner closes it: the client while the command is
 * queued, the output afterwards.
 */
export interface QmpDescriptors {
  /** Their numbers, valid until {@linkcode close}. */
  readonly fds: readonly number[];
  /** Closes this process's copies. */
  close(): void;
}

/** The options of a command. */
export interface QmpClientOptions {
  /** Returned with the reply; 0 by default. */
  readonly tag?: number;
  /** Deadline of the reply, ns; none by default. */
  readonly deadlineNs?: number;
  /** Open files to send with it, owned by the client from now on in every case. */
  readonly descriptors?: QmpDescriptors | null;
}

/** The user of a client. */
export interface QmpClientListener {
  /** QEMU has greeted, so no other client uses the monitor. */
  onGreeting(version: string): void;
  /** Capabilities are negotiated: commands can be sent. */
  onReady(): void;
  /** An event, in order of the stream. */
  onEvent(event: QmpEvent): void;
  /** The peer does not speak QMP; the client is closed, and all commands are answered. */
  onProtocolError(why: string): void;
}

interface Pending {
  /** The command without its id and last brace. */
  readonly text: string;
  /** Closed or passed on when the command leaves the queue. */
  readonly descriptors: QmpDescriptors | null;
  readonly tag: number;
  readonly deadlineNs: number;
  /** Whether its answer may be a long line. */
  readonly isLong: boolean;
  handler: QmpReplyHandler | null;
}

/** The state of the conversation. */
export type QmpClientState = "greeting" | "negotiating" | "ready" | "closed";

const NO_OPTIONS: QmpClientOptions = {};
/** Commands with long answers: `info mtree -f`; disks with all of their snapshots. */
const LONG_ANSWERS: ReadonlySet<string> = new Set(["human-monitor-command", "query-block"]);
const COMPACT_AFTER = 4096;
const TIMED_OUT: QmpReply = { outcome: "timed-out" };
const CLOSED: QmpReply = { outcome: "closed" };
const UNSENT: QmpReply = { outcome: "unsent" };

/** A conversation with one monitor. */
export class QmpClient {
  readonly #output: QmpOutput;
  readonly #listener: QmpClientListener;
  readonly #lines: LineSplitter;
  /** Commands in flight, by slot; the one in slot 0 has no id. */
  readonly #sent: (Pending | null)[] = new Array(MAX_QMP_INFLIGHT).fill(null);
  #inFlight = 0;
  #queue: Pending[] = [];
  #queueHead = 0;
  #state: QmpClientState = "greeting";
  #earliestNs = NEVER;
  #buffer = new Uint8Array(1024);
  readonly #encoder = new TextEncoder();

  /** Waits for the greeting; `output` sends the commands. */
  constructor(output: QmpOutput, listener: QmpClientListener) {
    this.#output = output;
    this.#listener = listener;
    const messages = new MessageAssembler((bytes, from, to) => {
      this.#onMessage(parseQmpLine(bytes, from, to));
      return this.#state !== "closed";
    });
    this.#lines = new LineSplitter((bytes, from, to) => {
      const id = messages.isBetween ? emptyReturnId(bytes, from, to) : undefined;
      if (id !== undefined) {
        this.#onReply({ kind: "return", id, value: NOTHING });
        return this.#state !== "closed";
      }
      const goesOn = messages.take(bytes, from, to, this.#lines.maxBytes);
      if (messages.defect !== "") this.#fail(`a line is not JSON as QEMU sends it: ${messages.defect}`);
      return goesOn;
    }, MAX_QMP_SHORT_LINE_BYTES);
  }

  /** Its state. */
  get state(): QmpClientState {
    return this.#state;
  }

  /** Number of commands in flight, including those whose time limit has passed. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** Number of queued commands. */
  get queued(): number {
    return this.#queue.length - this.#queueHead;
  }

  /** When {@linkcode tick} has something to do; possibly too early, never too late. */
  get deadlineNs(): number {
    return this.#earliestNs;
  }

  /**
   * Sends a command, or queues it. If nothing can be sent any more, or the queue is full, it is answered
   * `unsent` at once.
   *
   * @param args its arguments, plain JSON
   * @param handler called with the reply
   */
  execute(
    command: string,
    args: object | undefined,
    handler: QmpReplyHandler,
    options: QmpClientOptions = NO_OPTIONS,
  ): void {
    if (this.#state !== "ready" || this.queued >= MAX_QMP_QUEUE) {
      options.descriptors?.close();
      handler(UNSENT, options.tag ?? 0);
      return;
    }
    this.#submit(command, args, handler, options);
  }

  #submit(
    command: string,
    args: object | undefined,
    handler: QmpReplyHandler,
    { tag = 0, deadlineNs = NEVER, descriptors = null }: QmpClientOptions,
  ): void {
    const text = args === undefined
      ? `{"execute":"${command}"`
      : `{"execute":"${command}","arguments":${JSON.stringify(args)}`;
    const pending = { text, descriptors, tag, deadlineNs, isLong: LONG_ANSWERS.has(command), handler };
    if (deadlineNs < this.#earliestNs) this.#earliestNs = deadlineNs;
    if (this.#inFlight >= MAX_QMP_INFLIGHT || this.queued > 0) this.#queue.push(pending);
    else this.#send(pending);
  }

  /** Processes bytes from QEMU. */
  receive(bytes: Uint8Array, length: number): void {
    if (this.#state === "closed") return;
    if (!this.#lines.push(bytes, length)) {
      this.#fail(`a line is not JSON as QEMU sends it: longer than ${this.#lines.maxBytes} bytes`);
    }
  }

  /** Answers the commands whose time limit has passed. */
  tick(nowNs: number): void {
    if (nowNs < this.#earliestNs) return;
    const late: Pending[] = [];
    let earliestNs = NEVER;
    const look = (pending: Pending): boolean => {
      if (pending.handler === null) return true;
      if (pending.deadlineNs <= nowNs) late.push(pending);
      else earliestNs = Math.min(earliestNs, pending.deadlineNs);
      return pending.deadlineNs > nowNs;
    };
    for (const pending of this.#sent) if (pending !== null) look(pending);
    this.#queue = this.#queue.slice(this.#queueHead).filter((pending) => {
      const stays = look(pending);
      if (!stays) pending.descriptors?.close();
      return stays;
    });
    this.#queueHead = 0;
    this.#earliestNs = earliestNs;
    for (const pending of late) answer(pending, TIMED_OUT);
  }

  /**
   * Answers commands in flight as `timed-out` and queued ones as `unsent`; the conversation may continue
   * later.
   */
  abandon(): void {
    const sent = [...this.#sent];
    const queue = this.#takeQueue();
    this.#earliestNs = NEVER;
    for (const pending of sent) answer(pending, TIMED_OUT);
    for (const pending of queue) answer(pending, UNSENT);
  }

  /** The stream has ended: all commands are answered, and nothing is called afterwards. */
  close(): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    const sent = [...this.#sent];
    this.#sent.fill(null);
    this.#inFlight = 0;
    const queue = this.#takeQueue();
    this.#earliestNs = NEVER;
    for (const pending of sent) answer(pending, CLOSED);
    for (const pending of queue) answer(pending, UNSENT);
  }

  #takeQueue(): Pending[] {
    const queue = this.#queue.slice(this.#queueHead);
    this.#queue = [];
    this.#queueHead = 0;
    for (const pending of queue) pending.descriptors?.close();
    return queue;
  }

  #onMessage(message: QmpMessage): void {
    switch (message.kind) {
      case "greeting":
        return this.#onGreeting(message.version);
      case "return":
      case "error":
        return this.#onReply(message);
      case "event":
        // Before the handshake QEMU sends none, and may not.
        if (this.#state === "greeting") return this.#fail("an event comes before the greeting");
        return this.#listener.onEvent(message.event);
      case "garbage":
        return this.#fail(message.why);
    }
  }

  #onGreeting(version: string): void {
    if (this.#state !== "greeting") return this.#fail("a second greeting");
    this.#state = "negotiating";
    this.#listener.onGreeting(version);
    // The listener may have closed it.
    if (this.#state !== "negotiating") return;
    this.#submit("qmp_capabilities", undefined, this.#onCapabilities, NO_OPTIONS);
  }

  readonly #onCapabilities = (reply: QmpReply): void => {
    if (reply.outcome === "done") {
      this.#state = "ready";
      this.#listener.onReady();
    } else if (reply.outcome === "error") {
      this.#fail(`qmp_capabilities is refused: ${reply.errorText.slice(0, 80)}`);
    }
  };

  #onReply(message: Extract<QmpMessage, { kind: "return" | "error" }>): void {
    const pending = this.#sent[message.id] ?? null;
    if (pending === null) return this.#fail("a reply to a command that was not sent");
    this.#sent[message.id] = null;
    this.#inFlight--;
    if (pending.isLong) this.#boundLines();
    // The next commands are sent first, so that QEMU works while the reply is processed.
    this.#sendQueued();
    answer(
      pending,
      message.kind === "return" ? { outcome: "done", value: message.value } : {
        outcome: "error",
        errorClass: message.errorClass,
        errorText: message.errorText,
      },
    );
  }

  #sendQueued(): void {
    while (this.#queueHead < this.#queue.length && this.#inFlight < MAX_QMP_INFLIGHT) {
      const pending = this.#queue[this.#queueHead++];
      assert(pending !== undefined, "a queued command is there");
      // Taken entries are removed in large pieces, so that the cost is the same whatever the queue's length.
      if (this.#queueHead === this.#queue.length || this.#queueHead >= COMPACT_AFTER) {
        this.#queue = this.#queue.slice(this.#queueHead);
        this.#queueHead = 0;
      }
      this.#send(pending);
    }
  }

  #send(pending: Pending): void {
    const id = this.#sent.indexOf(null);
    this.#sent[id] = pending;
    this.#inFlight++;
    if (pending.isLong) this.#boundLines();
    const text = id === NO_ID ? `${pending.text}}\n` : `${pending.text},"id":${id}}\n`;
    const room = 3 * text.length;
    if (this.#buffer.length < room) this.#buffer = new Uint8Array(room);
    const { written } = this.#encoder.encodeInto(text, this.#buffer);
    this.#output.sendCommand(this.#buffer, written, pending.descriptors);
  }

  #boundLines(): void {
    const isLongOwed = this.#sent.some((pending) => pending?.isLong === true);
    this.#lines.maxBytes = isLongOwed ? MAX_QMP_LINE_BYTES : MAX_QMP_SHORT_LINE_BYTES;
  }

  #fail(why: string): void {
    if (this.#state === "closed") return;
    this.close();
    this.#listener.onProtocolError(why);
  }
}

function answer(pending: Pending | null, reply: QmpReply): void {
  const handler = pending?.handler ?? null;
  if (pending === null || handler === null) return;
  pending.handler = null;
  handler(reply, pending.tag);
}
