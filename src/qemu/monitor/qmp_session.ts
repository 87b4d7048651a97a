/**
 * One connection to a monitor, from its opening to its end: the bytes, the conversation, and the process at
 * the other end. It keeps no time and gives up nothing by itself: its link does.
 * @module
 */
import { IN, pollNow } from "../../../ffi/poller.ts";
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { assert } from "../../base/assert.ts";
import { QmpClient } from "../protocol/qmp_client.ts";
import type { QmpEvent } from "../protocol/qmp_message.ts";
import { statusOf } from "../protocol/run_status.ts";
import type { MonitorLoop, ReadyHandler } from "./monitor_loop.ts";
import type { OpenQmpStream, QmpStream } from "./qmp_stream.ts";
import { openPidfd } from "./qmp_peer.ts";
import type { QmpPeer } from "./qmp_transport.ts";

/** A way to a peer that is there. */
export interface QmpWay {
  /** Opens the stream. */
  readonly open: OpenQmpStream;
  /** Its socket, borrowed until {@linkcode open}; undefined when there is none. */
  readonly fd: number | undefined;
}

/** Told what happens on a session. */
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
  readonly #stream: QmpStream;
  readonly #pidfd: OwnedFd | null;
  #stage: SessionStage = "open";

  /** Opens the stream, and listens for the greeting. */
  constructor({ open, fd }: QmpWay, peer: QmpPeer, loop: MonitorLoop, listener: QmpSessionListener) {
    this.peer = peer;
    this.#loop = loop;
    this.#pidfd = openPidfd(fd, peer.pid);
    this.#stream = open({
      onBytes: (bytes, length) => {
        listener.onHeard();
        this.client.receive(bytes, length);
        listener.onTaken();
      },
      onEnd: () => listener.onEnd(),
      onFault: (error) => listener.onFault(error),
    });
    this.client = new QmpClient(this.#stream, listener);
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
    this.#stream.drain();
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
    this.#stream.close();
    if (this.#pidfd === null) return;
    if (wasWatching) this.#loop.unwatch(this.#pidfd.fd);
    this.#pidfd.close();
  }

  /** Answers every open and queued command; no others are accepted. */
  answerAll(): void {
    this.client.close();
  }
}
