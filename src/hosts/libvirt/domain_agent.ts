/**
 * The guest agent of a domain, as the AGENT seam wants it: one end of a socket pair that speaks the agent's
 * protocol, whose other end turns each line into a call of libvirt's (virDomainQemuAgentCommand). libvirt
 * holds the agent's channel, and QEMU serves one client of it.
 *
 * libvirt comes into step with the agent by itself, so a guest-sync is answered here. One command is under
 * way at a time, as the protocol has it.
 * @module
 */
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { SOCKET, socketPair } from "../../../ffi/unix_socket.ts";
import type { LoopPort } from "../../core/adapter_port.ts";
import { AgentLines } from "../../qemu/agent/agent_lines.ts";
import { isObject } from "../../qemu/protocol/qmp_message.ts";
import { BytePipe, type BytePipeUser, closeForeign } from "./byte_pipe.ts";
import { CommandTurns } from "./command_turns.ts";
import { jsonObject } from "./json_object.ts";
import { agentCommand, type Domain } from "./libvirt_calls.ts";
import type { RpcClient } from "./rpc_client.ts";

/** How long the agent may take for a command, in seconds: no shorter than the seam itself waits. */
const ANSWER_S = 10;
const SLOW_S = 60;
const SLOW = /^guest-(fsfreeze|fstrim|file-write|file-read)/;
const MAX_WAITING = 64;
/** What libvirt puts in front of an agent's own words (qemuAgentCheckError). */
const PREAMBLE = /^internal error: unable to execute QEMU agent command '[^']{1,64}': /;
/** A guest that goes down or to sleep takes its agent along before it has answered (qemuAgentSend). */
const DISAPPEARED = /Guest agent disappeared while executing command$/;
/** libvirt's word for a domain whose processors stand still, too. */
const NOT_RUNNING = /^Requested operation is not valid: domain is not running$/;
const DELIMITER = 0xff;
const NEWLINE = 10;

/** One line to an agent. */
export class DomainAgent implements BytePipeUser {
  readonly #client: RpcClient;
  readonly #domain: Domain;
  readonly #pipe: BytePipe;
  readonly #onEnd: (agent: DomainAgent) => void;
  readonly #encoder = new TextEncoder();
  readonly #decoder = new TextDecoder();
  readonly #turns = new CommandTurns<string>(MAX_WAITING, (line) => this.#carryOut(line));
  readonly #lines = new AgentLines({
    onLine: (bytes) => this.#take(this.#decoder.decode(bytes.subarray(bytes.lastIndexOf(DELIMITER) + 1))),
    onLongLine: () => this.#give('{"error":{"class":"GenericError","desc":"the command is too long"}}'),
  });

  private constructor(
    loop: LoopPort,
    own: OwnedFd,
    client: RpcClient,
    domain: Domain,
    onEnd: (agent: DomainAgent) => void,
  ) {
    this.#client = client;
    this.#domain = domain;
    this.#onEnd = onEnd;
    this.#pipe = new BytePipe(own, loop, this);
  }

  /**
   * Opens one.
   *
   * @param onEnd told when its user has left it
   * @returns the line, and its user's end, which the caller owns
   */
  static open(
    loop: LoopPort,
    client: RpcClient,
    domain: Domain,
    onEnd: (agent: DomainAgent) => void,
  ): { readonly agent: DomainAgent; readonly socket: OwnedFd } {
    const [own, socket] = socketPair(SOCKET.STREAM);
    return { agent: new DomainAgent(loop, own, client, domain, onEnd), socket };
  }

  /** Whose it is. */
  get domain(): Domain {
    return this.#domain;
  }

  /** Ends it: its user sees its stream end. */
  close(): void {
    this.#turns.close();
    this.#pipe.close();
  }

  /** See {@linkcode BytePipeUser}. */
  onBytes(bytes: Uint8Array<ArrayBuffer>, fds: readonly number[]): void {
    closeForeign(fds);
    this.#lines.push(bytes);
  }

  /** See {@linkcode BytePipeUser}. */
  onEnd(): void {
    this.#turns.close();
    this.#onEnd(this);
  }

  #take(line: string): void {
    if (!this.#turns.take(line)) this.close();
  }

  #carryOut(line: string): boolean {
    const { execute, arguments: args } = jsonObject(line) ?? {};
    if (execute === "guest-sync-delimited" && isObject(args)) {
      this.#give(JSON.stringify({ return: args["id"] }), true);
      return true;
    }
    const seconds = typeof execute === "string" && SLOW.test(execute) ? SLOW_S : ANSWER_S;
    agentCommand(this.#client, this.#domain, line, seconds, (result) => {
      if (this.#turns.isClosed) return;
      // Its user is told that the line has ended, and knows for which commands that is no failure.
      if (!result.ok && (result.isClosed || DISAPPEARED.test(result.why))) return this.#end();
      // libvirt's answer is one line of JSON; a line that is not JSON is for its reader to find out.
      this.#give(
        result.ok
          ? result.value.replaceAll("\n", " ")
          : JSON.stringify({ error: { class: "GenericError", desc: refusalWords(result.why) } }),
      );
      // Its user may have left over the answer.
      if (!this.#turns.isClosed) this.#turns.answered();
    });
    return false;
  }

  #end(): void {
    this.close();
    this.#onEnd(this);
  }

  #give(line: string, isDelimited = false): void {
    if (this.#turns.isClosed) return;
    const text = this.#encoder.encode(line);
    const from = isDelimited ? 1 : 0;
    const bytes = new Uint8Array(from + text.length + 1);
    if (isDelimited) bytes[0] = DELIMITER;
    bytes.set(text, from);
    bytes[bytes.length - 1] = NEWLINE;
    this.#pipe.send(bytes);
  }
}

/** What libvirt says of a command that was refused, without what it puts around the agent's words. */
export function refusalWords(why: string): string {
  return NOT_RUNNING.test(why)
    ? "the VM is paused, and its agent with it; continue it first"
    : why.replace(PREAMBLE, "");
}
