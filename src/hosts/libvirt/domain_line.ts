/**
 * A domain's own connection to libvirtd, for its monitor, its agent and its display. libvirtd works on few
 * calls of one client at a time (five, unless libvirtd.conf says otherwise), and a command to a QEMU that
 * stands still does not return before it runs again: on a connection for all, five such domains would hold up
 * every other.
 *
 * It lasts as long as the domain runs and libvirt is there, because a command that has not returned stays
 * libvirtd's: asked anew it would only hold another of its workers.
 * @module
 */
import { assert } from "../../base/assert.ts";
import type { LoopPort } from "../../core/adapter_port.ts";
import type { SentFile } from "./byte_pipe.ts";
import { type CallHandler, type Domain, monitorCommand } from "./libvirt_calls.ts";
import { type ConnectionUser, type LibvirtAddress, LibvirtConnection } from "./libvirt_connection.ts";
import type { RpcClient } from "./rpc_client.ts";

/** Told once: the calls, or why there are none. */
export type LineHandler = (client: RpcClient | undefined, why: string) => void;

/** What a monitor needs of a line. */
export type MonitorLine = Pick<DomainLine, "domain" | "ask" | "monitor">;

type LineStage =
  | { readonly at: "opening"; readonly waiting: LineHandler[] }
  | { readonly at: "open" }
  | { readonly at: "over"; readonly why: string };

/** The connection. */
export class DomainLine implements ConnectionUser {
  /** Whose it is. */
  readonly domain: Domain;
  readonly #connection: LibvirtConnection;
  readonly #onEnd: (line: DomainLine) => void;
  #stage: LineStage = { at: "opening", waiting: [] };
  #commands = 0;

  /**
   * Begins to connect.
   *
   * @param onEnd told when it has ended by itself
   * @throws {OsError} when libvirtd cannot be reached
   */
  constructor(address: LibvirtAddress, loop: LoopPort, domain: Domain, onEnd: (line: DomainLine) => void) {
    this.domain = domain;
    this.#onEnd = onEnd;
    this.#connection = new LibvirtConnection(address, loop, this);
  }

  /** Whether a command to the domain's QEMU has not returned. */
  get isAsked(): boolean {
    return this.#commands > 0;
  }

  /** Its calls, as soon as they can be made. */
  use(done: LineHandler): void {
    const stage = this.#stage;
    if (stage.at === "opening") stage.waiting.push(done);
    else if (stage.at === "open") done(this.#connection.client, "");
    else done(undefined, stage.why);
  }

  /**
   * Sends one QMP command to the domain's QEMU.
   *
   * @param file goes with it; its own from now on
   */
  monitor(command: Uint8Array, done: CallHandler<Uint8Array>, file?: SentFile): void {
    this.#commands++;
    this.use((client, why) => {
      if (client === undefined) {
        this.#commands--;
        file?.close();
        return done({ ok: false, why, isClosed: true, isDenied: false });
      }
      monitorCommand(client, this.domain, command, (result) => {
        this.#commands--;
        assert(this.#commands >= 0, "a command returns once");
        done(result);
      }, file);
    });
  }

  /**
   * The same with texts.
   *
   * @param file goes with it; its own from now on
   */
  ask(command: string, done: CallHandler<string>, file?: SentFile): void {
    this.monitor(new TextEncoder().encode(command), (result) => {
      done(result.ok ? { ok: true, value: new TextDecoder().decode(result.value) } : result);
    }, file);
  }

  /** Ends it: whoever waits is told. */
  close(): void {
    this.#over("libvirt is away, or the domain has ended");
  }

  /** See {@linkcode ConnectionUser}. */
  onOpen(connection: LibvirtConnection): void {
    connection.settle();
    const stage = this.#stage;
    assert(stage.at === "opening", "a line opens once");
    this.#stage = { at: "open" };
    for (const done of stage.waiting) done(connection.client, "");
  }

  /** See {@linkcode ConnectionUser}. */
  onEvent(): void {}

  /** See {@linkcode ConnectionUser}. */
  onEnd(why: string): void {
    this.#over(why);
    this.#onEnd(this);
  }

  #over(why: string): void {
    const stage = this.#stage;
    if (stage.at === "over") return;
    this.#stage = { at: "over", why };
    this.#connection.close();
    if (stage.at === "opening") { for (const done of stage.waiting) done(undefined, why); }
  }
}
