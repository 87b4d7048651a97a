/**
 * Reports the daemon's state to the service manager (sd_notify): a datagram to the socket in NOTIFY_SOCKET,
 * which is a path or, after an `@`, an abstract name. Without that variable nothing is sent. Messages that
 * the manager cannot take at the moment are queued, in order.
 * @module
 */
import { assert } from "../base/assert.ts";
import { sendOne } from "../../ffi/datagram.ts";
import { OsError } from "../../ffi/os_error.ts";
import type { OwnedFd } from "../../ffi/owned_fd.ts";
import { connectAbstract, connectUnix, MAX_SOCKET_PATH_BYTES, SOCKET } from "../../ffi/unix_socket.ts";
import type { Log } from "../base/log.ts";

const EAGAIN = -11;
const RETRY_MS = 100;
/** Queue limit for a manager that does not read, messages. */
const MAX_WAITING = 64;

/** Sends to the service manager, if there is one. */
export class ServiceManager {
  readonly #address: string;
  readonly #log: Log;
  readonly #waiting: string[] = [];
  #retry: ReturnType<typeof setTimeout> | undefined;
  /** The watchdog's interval, ms; 0 = no watchdog. */
  readonly watchdogMs: number;

  /**
   * Reads NOTIFY_SOCKET and WATCHDOG_USEC. An invalid address is logged once, and then nothing is sent.
   *
   * @param env the environment
   */
  constructor(env: (name: string) => string | undefined, log: Log) {
    this.#log = log;
    const address = env("NOTIFY_SOCKET") ?? "";
    const defect = addressDefect(address);
    if (defect !== "") {
      log.error(`cannot notify the service manager: NOTIFY_SOCKET ${defect}`, { address });
    }
    this.#address = defect === "" ? address : "";
    const wantedUs = Number(env("WATCHDOG_USEC") ?? 0);
    // Half of the allowed time, as sd_watchdog_enabled(3) recommends.
    this.watchdogMs = Number.isFinite(wantedUs) && wantedUs > 0 ? wantedUs / 2000 : 0;
  }

  /** Sends lines such as "READY=1"; failures are logged, and the daemon goes on. */
  notify(...lines: readonly string[]): void {
    if (this.#address === "") return;
    const message = lines.join("\n");
    // Sending the same again (WATCHDOG=1) would be redundant.
    if (this.#waiting.at(-1) === message) return;
    if (this.#waiting.length >= MAX_WAITING) this.#waiting.shift();
    this.#waiting.push(message);
    assert(this.#waiting.length <= MAX_WAITING, "what waits is bounded");
    this.#flush();
  }

  #flush(): void {
    clearTimeout(this.#retry);
    while (this.#waiting.length > 0) {
      const message = this.#waiting[0] as string;
      try {
        using socket = this.#connect();
        const bytes = new TextEncoder().encode(message) as Uint8Array<ArrayBuffer>;
        const sent = sendOne(socket.fd, bytes, 0, bytes.length);
        if (sent === EAGAIN) return this.#later();
        if (sent < 0) throw new OsError("send to it", sent);
      } catch (error) {
        if (!(error instanceof OsError)) throw error;
        if (error.errnoName === "EAGAIN") return this.#later();
        this.#log.warn(`cannot notify the service manager: ${error.message}`, { lines: message });
      }
      this.#waiting.shift();
    }
  }

  #later(): void {
    this.#retry = setTimeout(() => this.#flush(), RETRY_MS);
    Deno.unrefTimer(this.#retry);
  }

  #connect(): OwnedFd {
    return this.#address.startsWith("@")
      ? connectAbstract(this.#address.slice(1), SOCKET.DATAGRAM)
      : connectUnix(this.#address, SOCKET.DATAGRAM);
  }
}

/** Why a text is not a valid address of a unix socket; "" if it is valid or empty. */
function addressDefect(address: string): string {
  if (address === "") return "";
  if (!/^[/@]./.test(address)) return "is neither an absolute path nor @NAME";
  const bytes = new TextEncoder().encode(address.startsWith("@") ? address.slice(1) : address).length;
  if (bytes <= MAX_SOCKET_PATH_BYTES) return "";
  return `has ${bytes} bytes, and ${MAX_SOCKET_PATH_BYTES} are possible`;
}
