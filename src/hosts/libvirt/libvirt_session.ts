/**
 * The connection to libvirtd: made, kept, and made again with a growing pause. It is up when libvirt has let
 * us in, events are asked for, and the running domains are listed; whenever a domain starts or ends they are
 * listed anew.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { SECOND } from "../../base/clock.ts";
import { messageOf } from "../../base/fault.ts";
import type { Log } from "../../base/log.ts";
import type { LoopPort, TimerHandler } from "../../core/adapter_port.ts";
import {
  askPassesFiles,
  type Domain,
  type LibvirtEvent,
  listDomains,
  readEvent,
  watchLifecycle,
  watchQemu,
} from "./libvirt_calls.ts";
import {
  connectFailure,
  type ConnectionUser,
  LET_IN,
  type LibvirtAddress,
  LibvirtConnection,
  nonsenseOf,
  NOT_ANSWERING,
} from "./libvirt_connection.ts";
import type { RpcClient } from "./rpc_client.ts";
import { XdrError, type XdrReader } from "./xdr.ts";

const FIRST_PAUSE_NS = SECOND / 2;
const LONGEST_PAUSE_NS = 10 * SECOND;
/** How long libvirt may take for a question about itself, once somebody doubts that it answers at all. */
const DOUBT_NS = 5 * SECOND;

/** Told what libvirt says. */
export interface LibvirtUser {
  /** The domains that run now; told whenever they may have changed. */
  onDomains(domains: readonly Domain[]): void;
  /** A domain does not run any more, and libvirt says why; {@linkcode onDomains} follows. */
  onStopped(domain: Domain, why: string): void;
  /** An event of a domain's QEMU. */
  onQemuEvent(event: LibvirtEvent & { readonly kind: "qemu" }): void;
  /** libvirt is away, until the next {@linkcode onDomains}. */
  onAway(why: string): void;
}

type SessionStage =
  | { readonly at: "stopped" | "pausing" }
  | { readonly at: "opening"; readonly connection: LibvirtConnection }
  | {
    readonly at: "up";
    readonly connection: LibvirtConnection;
    /** The list of domains: `outdated` when a domain has started or stopped since it was asked for. */
    list: "known" | "asked" | "outdated";
    /** Whether libvirt was asked if it answers at all, and has not answered. */
    isDoubted: boolean;
  };

/** The connection. */
export class LibvirtSession implements TimerHandler, ConnectionUser {
  readonly #address: LibvirtAddress;
  readonly #loop: LoopPort;
  readonly #log: Log;
  readonly #user: LibvirtUser;
  #stage: SessionStage = { at: "stopped" };
  #pauseNs = FIRST_PAUSE_NS;
  #told = "";
  #passesFiles = false;

  /** Rests until it is started. */
  constructor(address: LibvirtAddress, loop: LoopPort, log: Log, user: LibvirtUser) {
    this.#address = address;
    this.#loop = loop;
    this.#log = log;
    this.#user = user;
  }

  /** The calls of the connection; null while libvirt is away. */
  get client(): RpcClient | null {
    return this.#stage.at === "up" ? this.#stage.connection.client : null;
  }
  /** Whether this libvirt passes descriptors to a QEMU; while it is away, whether it did. */
  get passesFiles(): boolean {
    return this.#passesFiles;
  }

  /** Why it is away, with what to do; "" while that is not known. */
  get why(): string {
    return this.#told;
  }

  /** Connects, and from then on keeps the connection. */
  start(): void {
    assert(this.#stage.at === "stopped", "it is started once");
    this.#connect();
  }

  /** Ends; its user is told nothing more. */
  stop(): void {
    const stage = this.#stage;
    this.#stage = { at: "stopped" };
    this.#loop.disarm(this);
    if ("connection" in stage) stage.connection.close();
  }

  /** Asks whether libvirt answers at all: when it does not, it is away. */
  suspect(): void {
    const stage = this.#stage;
    if (stage.at !== "up" || stage.isDoubted) return;
    stage.isDoubted = true;
    this.#loop.arm(this, this.#loop.clock.nowNs() + DOUBT_NS);
    askPassesFiles(stage.connection.client, () => {
      if (this.#stage !== stage) return;
      stage.isDoubted = false;
      this.#loop.disarm(this);
    });
  }

  /** Called by the loop. */
  onTimer(): void {
    if (this.#stage.at === "pausing") this.#connect();
    else if (this.#stage.at === "up" && this.#stage.isDoubted) this.#lose(NOT_ANSWERING);
  }

  /** Something of its own threw: the connection is lost, and made again. */
  onFault(error: unknown): void {
    this.#lose(messageOf(error));
  }

  /** See {@linkcode ConnectionUser}. */
  onOpen(connection: LibvirtConnection): void {
    const { client } = connection;
    const up = (passesFiles: boolean): void => {
      assert(this.#stage.at === "opening", "a connection that is up was being opened");
      this.#stage = { at: "up", connection, list: "known", isDoubted: false };
      this.#passesFiles = passesFiles;
      connection.settle();
      this.#pauseNs = FIRST_PAUSE_NS;
      this.#told = "";
      const { uri, socket } = this.#address;
      this.#log.info("libvirt is there", { uri, socket });
      this.#list();
    };
    watchLifecycle(
      client,
      connection.then(() =>
        watchQemu(client, connection.then(() => askPassesFiles(client, connection.then(up))))
      ),
    );
  }

  /** See {@linkcode ConnectionUser}. */
  onEvent(program: number, procedure: number, body: XdrReader): void {
    let event: LibvirtEvent | undefined;
    try {
      event = readEvent(program, procedure, body);
    } catch (error) {
      if (!(error instanceof XdrError)) throw error;
      return this.#lose(nonsenseOf(`an event that cannot be read: ${error.message}`));
    }
    if (event?.kind === "qemu") this.#user.onQemuEvent(event);
    else if (event?.kind === "lifecycle") {
      if (event.stopped !== "") this.#user.onStopped(event.domain, event.stopped);
      this.#list();
    }
  }

  /** See {@linkcode ConnectionUser}. */
  onEnd(why: string): void {
    this.#fail(why);
  }

  #connect(): void {
    try {
      this.#stage = { at: "opening", connection: new LibvirtConnection(this.#address, this.#loop, this) };
    } catch (error) {
      this.#fail(connectFailure(error));
    }
  }

  /** Events that come while they are listed ask for one more list, and not for one each. */
  #list(): void {
    const stage = this.#stage;
    if (stage.at !== "up") return;
    if (stage.list !== "known") {
      stage.list = "outdated";
      return;
    }
    stage.list = "asked";
    listDomains(stage.connection.client, (result) => {
      if (this.#stage !== stage) return;
      const isOutdated = stage.list === "outdated";
      stage.list = "known";
      if (!result.ok) {
        const remedy = result.isDenied ? LET_IN : "look at libvirtd, and whether that is its socket";
        if (!result.isClosed) this.#lose(`libvirt does not list its domains: ${result.why}; ${remedy}`);
        return;
      }
      this.#user.onDomains(result.value);
      if (isOutdated) this.#list();
    });
  }

  #lose(why: string): void {
    if ("connection" in this.#stage) this.#stage.connection.end(why);
  }

  #fail(why: string): void {
    this.#stage = { at: "pausing" };
    this.#loop.arm(this, this.#loop.clock.nowNs() + this.#pauseNs);
    this.#pauseNs = Math.min(2 * this.#pauseNs, LONGEST_PAUSE_NS);
    // The same obstacle again and again is told once.
    if (why !== this.#told) this.#log.warn("libvirt is away", { why, socket: this.#address.socket });
    this.#told = why;
    this.#user.onAway(why);
  }
}
