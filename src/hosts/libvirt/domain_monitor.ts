/**
 * A domain's monitor, as a link wants it: a stream that speaks QMP, carried in this process. Each command
 * becomes a call of libvirt's (virDomainQemuMonitorCommand) in the turn in which the link sends it, and the
 * answer, like QEMU's events, becomes a line in the turn in which libvirt tells it. QEMU's only monitor stays
 * libvirt's.
 *
 * One command of a domain is under way at a time (command_turns.ts). libvirt numbers commands itself, so the
 * number of the link's is put back. Descriptors that come with a command go on with it. Where the config
 * allows it, and QEMU can, QEMU gets one end of a socket pair as a monitor of the link's own
 * (own_monitor.ts), and nothing goes by libvirt any more.
 *
 * The link is never told anything while it sends: what is known at once waits for the end of the turn.
 * @module
 */
import { OsError } from "../../../ffi/os_error.ts";
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { SOCKET, socketPair } from "../../../ffi/unix_socket.ts";
import { AssertionFault } from "../../base/assert.ts";
import { messageOf } from "../../base/fault.ts";
import type { LoopPort } from "../../core/adapter_port.ts";
import { QmpConnection } from "../../qemu/monitor/qmp_connection.ts";
import type { QmpStream, QmpStreamListener } from "../../qemu/monitor/qmp_stream.ts";
import type { QmpDescriptors } from "../../qemu/protocol/qmp_client.ts";
import { isObject } from "../../qemu/protocol/qmp_message.ts";
import type { SentFile } from "./byte_pipe.ts";
import { CommandTurns } from "./command_turns.ts";
import type { MonitorLine } from "./domain_line.ts";
import { jsonObject } from "./json_object.ts";
import type { CallResult, Domain, LibvirtEvent } from "./libvirt_calls.ts";
import { canHaveMonitors, makeOwnMonitor } from "./own_monitor.ts";
import { answerLine, beginsWith, closedCommand, cutAnswer, cutCommand } from "./qmp_bytes.ts";

/** Commands that wait; a link keeps eight under way. */
const MAX_WAITING = 256;
const MICROS = 1e6;
const ENCODER = new TextEncoder();
const CAPABILITIES = ENCODER.encode('{"execute":"qmp_capabilities"');
const NOTHING = ENCODER.encode('{"return":{}');
const [NEWLINE = 0] = ENCODER.encode("\n");

/** What a monitor's owner is told. */
export interface DomainMonitorHost {
  /** It is over: the link has left it, or libvirt the domain. */
  readonly onEnd: (monitor: DomainMonitor) => void;
  /** libvirt does not let us speak to this QEMU, or has closed the connection by which we did. */
  readonly onRefused: (monitor: DomainMonitor, result: CallResult<unknown> & { readonly ok: false }) => void;
  /** Whether QEMU may be given a monitor of the link's own, where it can have one. */
  readonly mayOwn: boolean;
  /** QEMU serves the link itself from now on: nothing of the domain's is to be told here any more. */
  readonly onOwn: (monitor: DomainMonitor) => void;
  /** QEMU could have a monitor of the link's own and did not get one. Outside text. */
  readonly onNoOwn: (monitor: DomainMonitor, why: string) => void;
}

interface Command {
  /** Without its line end. */
  readonly line: Uint8Array;
  /** Go with it. */
  readonly descriptors: QmpDescriptors | null;
}

/** One monitor of a domain. */
export class DomainMonitor implements QmpStream {
  readonly #loop: LoopPort;
  readonly #line: MonitorLine;
  readonly #host: DomainMonitorHost;
  readonly #listener: QmpStreamListener;
  readonly #turns = new CommandTurns<Command>(MAX_WAITING, (command) => this.#carryOut(command));
  /** QEMU's own; undefined while commands go by libvirt. */
  #own: QmpConnection | undefined;
  #link: "waits for its greeting" | "is greeted" | "has left" = "waits for its greeting";

  /** Begins, on a line that may still be opening. */
  constructor(loop: LoopPort, line: MonitorLine, host: DomainMonitorHost, listener: QmpStreamListener) {
    this.#loop = loop;
    this.#line = line;
    this.#host = host;
    this.#listener = listener;
    // The link has it in hand before it is told anything.
    loop.defer(() => this.#begin(), this);
  }

  /** Whose it is. */
  get domain(): Domain {
    return this.#line.domain;
  }

  /** An event of the domain's QEMU. As at a monitor of QEMU's, there is none before the greeting. */
  tell({ name, seconds, micros, details }: LibvirtEvent & { readonly kind: "qemu" }): void {
    if (this.#link !== "is greeted") return;
    const data = details === undefined ? undefined : jsonObject(details);
    const timestamp = { seconds, microseconds: micros % MICROS };
    this.#say({ timestamp, event: name, ...(data === undefined ? {} : { data }) });
  }

  /** See {@linkcode QmpStream}. */
  sendCommand(bytes: Uint8Array<ArrayBuffer>, length: number, descriptors: QmpDescriptors | null): void {
    if (this.#own !== undefined) return this.#own.sendCommand(bytes, length, descriptors);
    const end = bytes[length - 1] === NEWLINE ? length - 1 : length;
    if (!this.#turns.isClosed && this.#turns.take({ line: bytes.slice(0, end), descriptors })) return;
    descriptors?.close();
    this.end();
  }

  /** See {@linkcode QmpStream}: what libvirt has told is taken already. */
  drain(): void {
    this.#own?.drain();
  }

  /** See {@linkcode QmpStream}. */
  close(): void {
    this.#link = "has left";
    this.#own?.close();
    if (this.#over()) this.#host.onEnd(this);
  }

  /** Ends it: the link is told that its stream has ended. */
  end(): void {
    if (!this.#over()) return;
    this.#host.onEnd(this);
    this.#loop.defer(() => {
      if (this.#link !== "has left") this.#listener.onEnd();
    }, this);
  }

  /** Something that was told to the link threw. */
  onFault(error: unknown): void {
    if (this.#link === "has left") return;
    if (this.#listener.onFault === undefined) this.close();
    else this.#listener.onFault(error);
  }

  #begin(): void {
    if (this.#turns.isClosed) return;
    this.#line.ask('{"execute":"query-version"}', (result) => {
      if (this.#turns.isClosed) return;
      if (!result.ok) {
        this.#host.onRefused(this, result);
        return this.end();
      }
      const version = jsonObject(result.value)?.["return"];
      if (this.#host.mayOwn && canHaveMonitors(version)) this.#makeOwn(version);
      else this.#greet(version);
    });
  }

  #greet(version: unknown): void {
    this.#link = "is greeted";
    this.#say({ QMP: { version: isObject(version) ? version : {}, capabilities: [] } });
  }

  /** Has QEMU serve the link itself; where that fails it is served here. */
  #makeOwn(version: unknown): void {
    const stay = (why: string): void => {
      this.#host.onNoOwn(this, why);
      this.#greet(version);
    };
    let pair: [OwnedFd, OwnedFd];
    try {
      pair = socketPair(SOCKET.STREAM);
    } catch (error) {
      if (!(error instanceof OsError)) throw error;
      return stay(messageOf(error));
    }
    const [socket, theirs] = pair;
    makeOwnMonitor(this.#line, theirs, (why) => {
      if (this.#turns.isClosed || why !== "") {
        socket.close();
        return this.#turns.isClosed ? undefined : stay(why);
      }
      this.#own = new QmpConnection(socket, this.#loop, this.#listener);
      this.#over();
      this.#host.onOwn(this);
    });
  }

  /** Nothing goes by libvirt any more. False: it was so already. */
  #over(): boolean {
    if (this.#turns.isClosed) return false;
    for (const { descriptors } of this.#turns.close()) descriptors?.close();
    return true;
  }

  #carryOut({ line, descriptors }: Command): boolean {
    const cut = cutCommand(line);
    const { id } = cut;
    if (beginsWith(line, CAPABILITIES)) {
      descriptors?.close();
      const answer = answerLine(NOTHING, id);
      this.#loop.defer(() => this.#give(answer), this);
      return true;
    }
    this.#line.monitor(closedCommand(cut), (result) => {
      if (this.#turns.isClosed) return;
      if (!result.ok && result.isClosed) {
        // It is libvirtd that has closed it, which may be known here before the host's own connection ends.
        this.#host.onRefused(this, result);
        return this.end();
      }
      // The next one goes out first: QEMU works while the answer is looked at.
      this.#turns.answered();
      this.#give(answerOf(result, id));
    }, fileOf(descriptors));
    return false;
  }

  #say(message: object): void {
    this.#give(ENCODER.encode(`${JSON.stringify(message)}\r\n`));
  }

  #give(bytes: Uint8Array): void {
    if (this.#link === "has left") return;
    try {
      this.#listener.onBytes(bytes, bytes.length);
    } catch (error) {
      if (error instanceof AssertionFault) throw error;
      // It is the link's fault and not the connection's to libvirt, which the loop would hold to account.
      this.#loop.defer(() => {
        throw error;
      }, this);
    }
  }
}

/** The line that answers a command of that number: QEMU's as it is, with the link's number for libvirt's. */
function answerOf(result: CallResult<Uint8Array>, id: Uint8Array): Uint8Array {
  if (!result.ok) return failure(result.why, id);
  const rest = cutAnswer(result.value);
  if (rest !== undefined) return answerLine(rest, id);
  const answer = jsonObject(new TextDecoder().decode(result.value));
  delete answer?.["id"];
  const isAnswer = answer !== undefined && Object.keys(answer).length > 0;
  return isAnswer ? objectLine(answer, id) : failure("libvirt's answer is not QEMU's", id);
}

function failure(desc: string, id: Uint8Array): Uint8Array {
  return objectLine({ error: { class: "GenericError", desc } }, id);
}

function objectLine(answer: object, id: Uint8Array): Uint8Array {
  return answerLine(ENCODER.encode(JSON.stringify(answer).slice(0, -1)), id);
}

/** The first descriptor, which is all that libvirt takes; the others are closed with it. */
function fileOf(descriptors: QmpDescriptors | null): SentFile | undefined {
  const fd = descriptors?.fds[0];
  return descriptors === null || fd === undefined ? undefined : { fd, close: () => descriptors.close() };
}
