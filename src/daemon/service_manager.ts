/**
 * Tells the service manager how the daemon is (sd_notify): a datagram to the socket in NOTIFY_SOCKET. Without that variable nothing is told and nothing is lost.
 * @module
 */
import { sendOne } from "../../ffi/datagram.ts";
import { OsError } from "../../ffi/os_error.ts";
import { connectUnix, SOCKET } from "../../ffi/unix_socket.ts";
import type { Log } from "../base/log.ts";

/** Speaks to systemd, or to nobody. */
export class ServiceManager {
  readonly #path: string | undefined;
  readonly #log: Log;
  /** How often the watchdog wants a sign of life, ms; 0 = it does not. */
  readonly watchdogMs: number;

  /**
   * Reads NOTIFY_SOCKET and WATCHDOG_USEC.
   *
   * @param env the environment
   */
  constructor(env: (name: string) => string | undefined, log: Log) {
    this.#path = env("NOTIFY_SOCKET");
    this.#log = log;
    const wantedUs = Number(env("WATCHDOG_USEC") ?? 0);
    // Twice in the time that it allows, as sd_watchdog_enabled(3) advises.
    this.watchdogMs = Number.isFinite(wantedUs) && wantedUs > 0 ? wantedUs / 2000 : 0;
  }

  /** Sends lines such as "READY=1"; failures are logged, the daemon goes on. */
  notify(...lines: readonly string[]): void {
    if (this.#path === undefined || this.#path === "") return;
    const bytes = new TextEncoder().encode(lines.join("\n"));
    try {
      using socket = connectUnix(this.#path, SOCKET.DATAGRAM);
      sendOne(socket.fd, bytes, 0, bytes.length);
    } catch (error) {
      if (!(error instanceof OsError)) throw error;
      this.#log.warn(`cannot tell the service manager: ${error.message}`, { lines: lines.join(" ") });
    }
  }
}
