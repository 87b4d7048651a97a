/**
 * One connection to a monitor, from its socket to its end: the bytes, the conversation, and the process at
 * the other end. It has no time limits: its link has.
 * @module
 */
import { IN, pollNow } from "../../../ffi/poller.ts";
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { assert } from "../../base/assert.ts";
import { QmpClient } from "../protocol/qmp_client.ts";
import type { QmpEvent } from "../protocol/qmp_message.ts";
import { statusOf } from "../protocol/run_status.ts";
import type { MonitorLoop, ReadyHandler } from "./monitor_loop.ts";
import { QmpConnection } from "./qmp_connection.ts";
import { openPidfd } from "./qmp_peer.ts";
import type { QmpPeer } from "./qmp_transport.ts";

/** The listener of a session. */
export interface QmpSessionListener {
  /** Data has arrived; it is processed after this call. */
  onHeard(): void;
  /** The data of {@linkcode onHeard} has been processed. */
  onTaken(): void;
  /** QEMU has greeted. */
  onGreeting(version: string): void;
  /** Commands can be sent. */
  onReady(): void;
  /** An event. */
  onEvent(event: QmpEvent): void;
  /** The peer does not speak QMP. */
  onProtocolError(why: string): void;
  /** The stream has ended; open commands are not answered yet. */
  onEnd(): void;
  /** Processing the data threw. */
  onFault(error: unknown): void;
}

/**
 * The connection is open; or the stream has ended and the process's end is awaited; or everything is closed.
 */
type SessionStage = "open" | "awaiting-end" | "over";

/** A connection. */
export class QmpSession {
  /** The process at the other end. */
  readonly peer: QmpPeer;
  /** The QMP conversation. */
  readonly client: QmpClient;
  readonly #loop: MonitorLoop;
  readonly #connection: QmpConnection;
  readonly #pidfd: OwnedFd | null;
  #stage: SessionStage = "open";

  /** Takes over a connected socket, and waits for the greeting. */
  constructor(socket: OwnedFd, peer: QmpPeer, loop: MonitorLoop, listener: QmpSessionListener) {
    this.peer = peer;
    this.#loop = loop;
    this.#pidfd = openPidfd(socket.fd, peer.pid);
    const connection = new QmpConnection(socket, loop, {
      onBytes: (bytes, length) => {
        listener.onHeard();
        this.client.receive(bytes, length);
        listener.onTaken();
      },
      onEnd: () => listener.onEnd(),
      onFault: (error) => listener.onFault(error),
    });
    this.#connection = connection;
    this.client = new QmpClient(connection, listener);
  }

  /** Whether the process at the other end is alive; one that cannot be observed counts as alive. */
  get processLives(): boolean {
    return this.#pidfd === null || pollNow(this.#pidfd.fd, IN) === 0;
  }

  /** Queries QEMU's run state; without an answer nothing is called. */
  askStatus(then: (status: string) => void): void {
    this.client.execute("query-status", undefined, (reply) => {
      if (reply.outcome === "done") then(statusOf(reply));
    });
  }

  /** Reads what is there. */
  drain(): void {
    this.#connection.drain();
  }

  /**
   * The stream has ended: watches for the end of its process.
   *
   * @returns false when the process cannot be watched
   */
  awaitProcessEnd(handler: ReadyHandler): boolean {
    assert(this.#stage === "open", "a stream ends once");
    if (this.#pidfd === null) return false;
    this.#stage = "awaiting-end";
    this.#loop.watch(this.#pidfd.fd, IN, handler);
    return true;
  }

  /** Closes everything. Open commands are answered afterwards by {@linkcode answerAll}. */
  close(): void {
    if (this.#stage === "over") return;
    const wasWatching = this.#stage === "awaiting-end";
    this.#stage = "over";
    this.#connection.close();
    if (this.#pidfd === null) return;
    if (wasWatching) this.#loop.unwatch(this.#pidfd.fd);
    this.#pidfd.close();
  }

  /** Answers every open and queued command; no others are accepted. */
  answerAll(): void {
    this.client.close();
  }
}
