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
  /** Bytes have come; they are taken after this call. */
  onHeard(): void;
  /** The bytes of {@linkcode onHeard} have been taken, and all that was in them was told. */
  onTaken(): void;
  /** QEMU has greeted. */
  onGreeting(version: string): void;
  /** Commands may be sent. */
  onReady(): void;
  /** An event. */
  onEvent(event: QmpEvent): void;
  /** The peer does not speak QMP. */
  onProtocolError(why: string): void;
  /** The stream has ended; commands under way are not answered yet. */
  onEnd(): void;
  /** Something that was done with what came threw. */
  onFault(error: unknown): void;
}

/** The connection open, the stream ended and its process awaited, or nothing left. */
type SessionStage = "open" | "awaiting-end" | "over";

/** A connection. */
export class QmpSession {
  /** Who is at the other end. */
  readonly peer: QmpPeer;
  /** The conversation. */
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

  /** Whether the process at the other end lives; one that cannot be seen counts as living. */
  get processLives(): boolean {
    return this.#pidfd === null || pollNow(this.#pidfd.fd, IN) === 0;
  }

  /** Asks for QEMU's run state; nobody is told when there is no answer. */
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
   * The stream has ended: has its process's end told.
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

  /** Closes what it has open. Commands under way are answered by {@linkcode answerAll}, afterwards. */
  close(): void {
    if (this.#stage === "over") return;
    const wasWatching = this.#stage === "awaiting-end";
    this.#stage = "over";
    this.#stream.close();
    if (this.#pidfd === null) return;
    if (wasWatching) this.#loop.unwatch(this.#pidfd.fd);
    this.#pidfd.close();
  }

  /** Answers every command that is under way or waits; no other is taken. */
  answerAll(): void {
    this.client.close();
  }
}
