/**
 * A domain's monitor, as a link wants it: one end of a socket pair that speaks QMP, whose other end turns
 * each line into a call of libvirt's (virDomainQemuMonitorCommand) and the answer, and QEMU's events, back
 * into lines. QEMU's only monitor stays libvirt's.
 *
 * One command of a domain is under way at a time (command_turns.ts). libvirt numbers commands itself, so the
 * number of the link's is put back. Descriptors that come with a command go on with it. Where the config
 * allows it, and QEMU can, that end goes to QEMU as a monitor of the link's own (own_monitor.ts), and nothing
 * goes by libvirt any more.
 * @module
 */
import { OwnedFd } from "../../../ffi/owned_fd.ts";
import { SOCKET, socketPair } from "../../../ffi/unix_socket.ts";
import type { LoopPort } from "../../core/adapter_port.ts";
import { LineSplitter } from "../../qemu/protocol/line_splitter.ts";
import { isObject } from "../../qemu/protocol/qmp_message.ts";
import { BytePipe, type BytePipeUser, closeForeign } from "./byte_pipe.ts";
import { CommandTurns } from "./command_turns.ts";
import { jsonObject } from "./json_object.ts";
import type { DomainLine } from "./domain_line.ts";
import type { CallResult, Domain, LibvirtEvent } from "./libvirt_calls.ts";
import { canHaveMonitors, makeOwnMonitor } from "./own_monitor.ts";
import { answerLine, beginsWith, closedCommand, cutAnswer, cutCommand } from "./qmp_bytes.ts";

/** Commands that wait; a link keeps eight under way. */
const MAX_WAITING = 256;
const MICROS = 1e6;
const ENCODER = new TextEncoder();
/** The commands that take a descriptor; a link sends one with no other. */
const TAKES_FILE = ['{"execute":"getfd"', '{"execute":"add-fd"'].map((text) => ENCODER.encode(text));
const CAPABILITIES = ENCODER.encode('{"execute":"qmp_capabilities"');
const NOTHING = ENCODER.encode('{"return":{}');

/** What a monitor's owner is told. */
export interface DomainMonitorHost {
  /** The link has left it. */
  readonly onEnd: (monitor: DomainMonitor) => void;
  /** libvirt does not let us speak to this QEMU. */
  readonly onRefused: (monitor: DomainMonitor, result: CallResult<unknown> & { readonly ok: false }) => void;
  /** Whether QEMU may be given a monitor of the link's own, where it can have one. */
  readonly mayOwn: boolean;
  /** QEMU serves the link itself from now on: this one is over. */
  readonly onOwn: (monitor: DomainMonitor) => void;
  /** QEMU could have a monitor of the link's own and did not get one. Outside text. */
  readonly onNoOwn: (monitor: DomainMonitor, why: string) => void;
}

/** One monitor of a domain. */
export class DomainMonitor implements BytePipeUser {
  readonly #line: DomainLine;
  readonly #pipe: BytePipe;
  readonly #host: DomainMonitorHost;
  readonly #turns = new CommandTurns<Uint8Array>(MAX_WAITING, (line) => this.#carryOut(line));
  /** Descriptors that came, one group for each command that takes one. */
  readonly #files: (readonly number[])[] = [];
  readonly #lines = new LineSplitter((bytes, from, to) => {
    if (!this.#turns.take(bytes.slice(from, to))) this.close();
    return true;
  });

  private constructor(
    loop: LoopPort,
    own: OwnedFd,
    line: DomainLine,
    host: DomainMonitorHost,
  ) {
    this.#line = line;
    this.#host = host;
    this.#pipe = new BytePipe(own, loop, this);
    line.ask('{"execute":"query-version"}', (result) => {
      if (this.#turns.isClosed) return;
      if (!result.ok) {
        this.close();
        return host.onRefused(this, result);
      }
      const version = jsonObject(result.value)?.["return"];
      if (host.mayOwn && canHaveMonitors(version)) this.#own(version);
      else this.#greet(version);
    });
  }

  /**
   * Opens one.
   *
   * @returns the monitor, and the link's end, which the caller owns
   */
  static open(
    loop: LoopPort,
    line: DomainLine,
    host: DomainMonitorHost,
  ): { readonly monitor: DomainMonitor; readonly socket: OwnedFd } {
    const [own, socket] = socketPair(SOCKET.STREAM);
    return { monitor: new DomainMonitor(loop, own, line, host), socket };
  }

  /** Whose it is. */
  get domain(): Domain {
    return this.#line.domain;
  }

  /** An event of the domain's QEMU. */
  tell({ name, seconds, micros, details }: LibvirtEvent & { readonly kind: "qemu" }): void {
    const data = details === undefined ? undefined : jsonObject(details);
    const timestamp = { seconds, microseconds: micros % MICROS };
    this.#say(JSON.stringify({ timestamp, event: name, ...(data === undefined ? {} : { data }) }));
  }

  /** Ends it: the link sees its stream end. */
  close(): void {
    if (this.#turns.isClosed) return;
    this.#pipe.close();
    this.#over();
  }

  /** See {@linkcode BytePipeUser}. */
  onBytes(bytes: Uint8Array<ArrayBuffer>, fds: readonly number[]): void {
    if (fds.length > 0) this.#files.push(fds);
    if (!this.#lines.push(bytes, bytes.length)) this.close();
  }

  /** See {@linkcode BytePipeUser}. */
  onEnd(): void {
    this.#over();
    this.#host.onEnd(this);
  }

  #greet(version: unknown): void {
    this.#say(JSON.stringify({ QMP: { version: isObject(version) ? version : {}, capabilities: [] } }));
  }

  /** Has QEMU serve the link itself; where that fails it is served here. */
  #own(version: unknown): void {
    // The link says nothing before it is greeted, and what it says then is QEMU's to read.
    this.#pipe.pause(true);
    makeOwnMonitor(this.#line, this.#pipe.copy(), (why) => {
      if (this.#turns.isClosed) return;
      if (why === "") {
        this.close();
        return this.#host.onOwn(this);
      }
      this.#pipe.pause(false);
      this.#host.onNoOwn(this, why);
      this.#greet(version);
    });
  }

  #over(): void {
    this.#turns.close();
    for (const fds of this.#files.splice(0)) closeForeign(fds);
  }

  #carryOut(line: Uint8Array): boolean {
    const cut = cutCommand(line);
    const { id } = cut;
    if (beginsWith(line, CAPABILITIES)) {
      this.#pipe.send(answerLine(NOTHING, id));
      return true;
    }
    const takesFile = TAKES_FILE.some((start) => beginsWith(line, start));
    this.#line.monitor(closedCommand(cut), (result) => {
      if (this.#turns.isClosed) return;
      if (!result.ok && result.isClosed) return this.close();
      this.#onAnswer(result, id);
      // The link may have left over the answer.
      if (!this.#turns.isClosed) this.#turns.answered();
    }, takesFile ? this.#takeFile() : undefined);
    return false;
  }

  #onAnswer(result: CallResult<Uint8Array>, id: Uint8Array): void {
    if (!result.ok) return this.#fail(result.why, id);
    // The answer as it is, with the link's number in place of libvirt's.
    const rest = cutAnswer(result.value);
    if (rest !== undefined) return this.#pipe.send(answerLine(rest, id));
    const answer = jsonObject(new TextDecoder().decode(result.value));
    delete answer?.["id"];
    if (answer === undefined || Object.keys(answer).length === 0) {
      return this.#fail("libvirt's answer is not QEMU's", id);
    }
    this.#answer(answer, id);
  }

  /** The next descriptor that came; a command that has more than one leaves the others. */
  #takeFile(): OwnedFd | undefined {
    const [first, ...others] = this.#files.shift() ?? [];
    closeForeign(others);
    return first === undefined ? undefined : new OwnedFd(first);
  }

  #fail(desc: string, id: Uint8Array): void {
    this.#answer({ error: { class: "GenericError", desc } }, id);
  }

  #answer(answer: object, id: Uint8Array): void {
    this.#pipe.send(answerLine(ENCODER.encode(JSON.stringify(answer).slice(0, -1)), id));
  }

  #say(line: string): void {
    if (!this.#turns.isClosed) this.#pipe.send(ENCODER.encode(`${line}\r\n`));
  }
}
