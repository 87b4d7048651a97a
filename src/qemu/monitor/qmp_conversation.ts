/**
 * A blocking QMP conversation: one command, then its answer, on a monitor of one's own. For a thread that has
 * nothing else to do meanwhile (a perception worker, a command); the daemon's loop has an asynchronous
 * client.
 *
 * A monitor serves one client at a time: one that does not greet is in use, which is reported after a time
 * limit.
 * @module
 */
import { monotonicClock } from "../../../ffi/clock.ts";
import { ERRNO } from "../../../ffi/os_error.ts";
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { IN, OUT, Poller } from "../../../ffi/poller.ts";
import { readInto, sendWithFds, writeFrom } from "../../../ffi/stream.ts";
import { connectUnix, SOCKET } from "../../../ffi/unix_socket.ts";
import { MS } from "../../base/clock.ts";
import { Fault } from "../../base/fault.ts";
import { QmpClient, type QmpReply } from "../protocol/qmp_client.ts";

/** Default time limit of the greeting, and of an answer, ms. */
const DEFAULT_TIMEOUT_MS = 5000;
const RECEIVE_BYTES = 16_384;

/** A conversation with one monitor; closed by its disposal. */
export class QmpConversation implements Disposable {
  readonly #path: string;
  readonly #socket: OwnedFd;
  readonly #poller = new Poller(4);
  readonly #client: QmpClient;
  readonly #buffer = new Uint8Array(RECEIVE_BYTES);
  #broken = "";

  private constructor(path: string, socket: OwnedFd) {
    this.#path = path;
    this.#socket = socket;
    this.#poller.add(socket.fd, IN, 0);
    this.#client = new QmpClient(
      { sendCommand: (bytes, length, descriptors) => this.#send(bytes, length, descriptors?.fds ?? []) },
      {
        onGreeting: () => {},
        onReady: () => {},
        onEvent: () => {},
        onProtocolError: (why) => this.#broken = `it does not speak QMP: ${why}`,
      },
    );
  }

  /**
   * Connects and negotiates capabilities.
   *
   * @param path the monitor's socket
   * @throws {Fault} `busy` when another client uses it, `seam-down` when nobody listens
   */
  static open(path: string, timeoutMs: number = DEFAULT_TIMEOUT_MS): QmpConversation {
    const conversation = new QmpConversation(path, connectUnix(path, SOCKET.STREAM));
    try {
      const deadlineNs = monotonicClock.nowNs() + timeoutMs * MS;
      while (conversation.#client.state !== "ready") {
        if (conversation.#turn(deadlineNs)) continue;
        throw new Fault(
          "busy",
          `Cannot use the monitor ${path}: it does not greet, so another client has it; give the VM one more (-qmp unix:PATH,server=on,wait=off)`,
        );
      }
      return conversation;
    } catch (error) {
      conversation[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Sends a command and waits for its answer.
   *
   * @param fds descriptors to send with it, borrowed
   * @returns what QEMU returned
   * @throws {Fault} `refused` with QEMU's message, `timed-out`, `seam-down` when the monitor is gone
   */
  execute(
    command: string,
    args?: object,
    fds: readonly number[] = [],
    timeoutMs = DEFAULT_TIMEOUT_MS,
  ): unknown {
    let reply: QmpReply | undefined;
    const deadlineNs = monotonicClock.nowNs() + timeoutMs * MS;
    this.#client.execute(command, args, (answer) => reply = answer, {
      deadlineNs,
      // The caller keeps them open until this returns; by then the command has been sent or never will be.
      descriptors: { fds, close() {} },
    });
    while (reply === undefined) {
      if (!this.#turn(deadlineNs)) this.#client.tick(monotonicClock.nowNs());
    }
    return this.#value(command, reply);
  }

  /** Closes the connection, which frees the monitor for others. */
  [Symbol.dispose](): void {
    this.#client.close();
    this.#poller[Symbol.dispose]();
    this.#socket.close();
  }

  #value(command: string, reply: QmpReply): unknown {
    switch (reply.outcome) {
      case "done":
        return reply.value;
      case "error":
        throw new Fault("refused", `Cannot ${command}: QEMU says: ${reply.errorText}`);
      case "timed-out":
        throw new Fault(
          "timed-out",
          `Cannot ${command}: QEMU does not answer on ${this.#path}; is it stopped?`,
        );
      default:
        throw new Fault("seam-down", `Cannot ${command}: the monitor ${this.#path} has gone`);
    }
  }

  /** Waits for data and processes it; false if the deadline came first. */
  #turn(deadlineNs: number): boolean {
    const leftNs = deadlineNs - monotonicClock.nowNs();
    if (leftNs <= 0) return false;
    if (this.#poller.waitNs(leftNs) === 0) return monotonicClock.nowNs() < deadlineNs;
    const got = readInto(this.#socket.fd, this.#buffer, 0, RECEIVE_BYTES);
    if (got > 0) this.#client.receive(this.#buffer, got);
    else if (got !== -ERRNO.EAGAIN) this.#client.close();
    if (this.#broken !== "" || this.#client.state === "closed") {
      throw new Fault(
        "seam-down",
        `Cannot use the monitor ${this.#path}: ${this.#broken || "QEMU closed it"}`,
      );
    }
    return true;
  }

  #send(bytes: Uint8Array<ArrayBuffer>, length: number, fds: readonly number[]): void {
    let done = 0;
    const deadlineNs = monotonicClock.nowNs() + DEFAULT_TIMEOUT_MS * MS;
    while (done < length) {
      const sent = done === 0 && fds.length > 0
        ? sendWithFds(this.#socket.fd, bytes.subarray(0, length), fds)
        : writeFrom(this.#socket.fd, bytes, done, length - done);
      if (sent > 0) done += sent;
      else if (sent !== -ERRNO.EAGAIN || !this.#writable(deadlineNs)) {
        throw new Fault("seam-down", `Cannot send to the monitor ${this.#path}: QEMU takes nothing`);
      }
    }
  }

  #writable(deadlineNs: number): boolean {
    this.#poller.modify(this.#socket.fd, OUT, 0);
    const ready = this.#poller.waitNs(Math.max(0, deadlineNs - monotonicClock.nowNs())) > 0;
    this.#poller.modify(this.#socket.fd, IN, 0);
    return ready;
  }
}
