/**
 * The connection to a NATS server, for readers and hosts: our identity, errors in words, and whether it is
 * connected. The library reconnects by itself, without limit; what must be sent again afterwards is up to the
 * user of the link.
 * @module
 */
import type { ConnectionOptions, NatsConnection, Status } from "@nats-io/nats-core";
import type { NatsConnectionImpl } from "@nats-io/transport-node";
import { Fault, messageOf } from "../../base/fault.ts";
import { oneLine, printable } from "../../base/printable.ts";
import { type Credentials, readCredentials } from "./credentials.ts";
import { PublishBatch } from "./publish_batch.ts";
import { connectGuarded } from "./guarded_transport.ts";
import { inboxPrefix, isName, token } from "./subjects.ts";

/** The server's address, and our identity. */
export interface NatsOptions {
  /** `nats://HOST:PORT` or `tls://HOST:PORT`; several servers of one cluster by commas. */
  readonly url: string;
  /** A file with credentials, see `credentials.ts`. */
  readonly creds?: string | undefined;
  /** The name in subjects, if the credentials have a different one or none. */
  readonly as?: string | undefined;
  /** A file with the certificate authority; by default the machine's own. */
  readonly ca?: string | undefined;
  /** A file with our certificate, and one with its key, for a server that asks for one. */
  readonly cert?: string | undefined;
  /** See `cert`. */
  readonly key?: string | undefined;
  /** The ttl of a session, ms: 2,000 to 60,000 (10,000). */
  readonly sessionTtlMs?: number;
}

/** The parts of a message that we use. */
export interface NatsMessage {
  /** The subject. */
  readonly subject: string;
  /** The contents, in the library's memory. */
  readonly data: Uint8Array;
  /** The subject for an answer. */
  readonly reply?: string;
  /** The server's status: 503 means that there is no subscriber. */
  readonly headers?: { readonly code: number };
}

/** The listener of a connection. */
export interface NatsListener {
  /** It is connected again. */
  onUp?(): void;
  /** It is disconnected; the library tries to reconnect. */
  onDown?(): void;
  /** The server refused something: a subject without permission, a message that is too large. */
  onRefusal?(text: string): void;
}

const PING_MS = 4000;
const RECONNECT_MS = 250;
const FIRST_TIMEOUT_MS = 5000;
const NO_BYTES = new Uint8Array(0);

/** A connection. */
export class NatsLink implements AsyncDisposable {
  /**
   * The library's connection.
   *
   * @internal
   */
  readonly nc: NatsConnection;
  readonly #impl: NatsConnectionImpl;
  readonly #batch: PublishBatch;
  /** The name in subjects. */
  readonly user: string;
  readonly #listeners = new Set<NatsListener>();
  #isUp = true;
  #downs = 0;

  private constructor(nc: NatsConnectionImpl, user: string) {
    this.nc = nc as NatsConnection;
    this.#impl = nc;
    this.#batch = new PublishBatch((piece) => nc.protocol.sendCommand(piece));
    this.user = user;
    void this.#follow(nc.status());
  }

  /**
   * Connects.
   *
   * @param name our name in the server's lists
   * @throws {Fault} `usage`, `missing`, `refused`; `unreachable`; `not-admitted` when the server does not
   *   admit us
   */
  static async open(options: NatsOptions, name: string): Promise<NatsLink> {
    const servers = serversOf(options.url);
    const credentials: Credentials | undefined = options.creds === undefined
      ? undefined
      : readCredentials(options.creds);
    const user = options.as ?? credentials?.user ?? Deno.env.get("USER") ?? "nobody";
    if (!isName(user)) throw new Fault("usage", `Cannot use NATS: ${printable(user)} is not a valid name`);
    const isTls = servers.some((each) => each.startsWith("tls://"));
    const { ca, cert, key } = options;
    const tls = {
      ...(ca === undefined ? {} : { ca: pem(ca) }),
      ...(cert === undefined ? {} : { cert: pem(cert) }),
      ...(key === undefined ? {} : { key: pem(key) }),
    };
    const wanted: ConnectionOptions = {
      servers,
      name,
      inboxPrefix: inboxPrefix(token(user)),
      timeout: FIRST_TIMEOUT_MS,
      maxReconnectAttempts: -1,
      reconnectTimeWait: RECONNECT_MS,
      pingInterval: PING_MS,
      maxPingOut: 2,
      noEcho: true,
      // Revoked credentials may be restored: we stay disconnected, and say so.
      ignoreAuthErrorAbort: true,
      ...(credentials === undefined ? {} : { authenticator: credentials.authenticator }),
      ...(isTls || Object.keys(tls).length > 0 ? { tls } : {}),
    };
    try {
      return new NatsLink(await connectGuarded(wanted), user);
    } catch (error) {
      throw connectFault(error, options.url, credentials?.untilMs);
    }
  }

  /** Whether it is connected, as far as is known. */
  get isUp(): boolean {
    return this.#isUp && !this.nc.isClosed();
  }

  /** Number of disconnections. */
  get downs(): number {
    return this.#downs;
  }

  /** Adds a listener. */
  listen(listener: NatsListener): void {
    this.#listeners.add(listener);
  }

  /** Subscribes; an exception in the callback is a defect, and is not caught. */
  on(subject: string, callback: (message: NatsMessage) => void): void {
    this.nc.subscribe(subject, {
      callback: (error, message) => {
        if (error === null) callback(message);
      },
    });
  }

  /** Publishes, if connected. False: it is not, and nothing was sent. */
  publish(subject: string, bytes: Uint8Array, reply?: string): boolean {
    if (!this.isUp) return false;
    this.#batch.flush();
    this.nc.publish(subject, bytes, reply === undefined ? {} : { reply });
    return true;
  }

  /**
   * Publishes like {@linkcode NatsLink.publish}, faster for many messages to one subject.
   *
   * @param head from `messageHead`
   * @param bytes the buffer with the message; copied
   * @param at the message's offset
   * @param length its length
   * @param before bytes to send before it; copied
   * @throws {Fault} `too-large` for the server
   */
  post(
    head: Uint8Array,
    bytes: Uint8Array,
    at: number,
    length: number,
    before: Uint8Array = NO_BYTES,
  ): boolean {
    const { protocol } = this.#impl;
    if (!this.#isUp || protocol.isClosed()) return false;
    const most = protocol.info?.max_payload;
    if (most !== undefined && before.length + length > most) throw tooLong(most);
    this.#batch.add(head, before, bytes, at, length);
    return true;
  }

  /**
   * Resolves when the server has received everything published so far; false when it disconnected meanwhile.
   */
  async flush(): Promise<boolean> {
    if (!this.isUp) return false;
    const downs = this.#downs;
    // The library reports it only when it dials again, which may be never.
    const { promise: gone, resolve: onDown } = Promise.withResolvers<void>();
    const listener = { onDown };
    this.#listeners.add(listener);
    try {
      this.#batch.flush();
      await Promise.race([this.nc.flush(), gone]);
      return this.isUp && downs === this.#downs;
    } catch {
      return false;
    } finally {
      this.#listeners.delete(listener);
    }
  }

  /** Leaves. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#listeners.clear();
    if (this.isUp) this.#batch.flush();
    await this.nc.close();
  }

  async #follow(statuses: AsyncIterable<Status>): Promise<void> {
    for await (const status of statuses) {
      switch (status.type) {
        case "disconnect":
        case "staleConnection":
          this.#goDown();
          break;
        case "reconnect":
          this.#isUp = true;
          for (const each of this.#listeners) each.onUp?.();
          break;
        case "error":
          for (const each of this.#listeners) {
            each.onRefusal?.(oneLine(messageOf(status.error)).slice(0, 300));
          }
          break;
        case "close":
          this.#goDown();
      }
    }
  }

  #goDown(): void {
    if (!this.#isUp) return;
    this.#isUp = false;
    this.#downs++;
    for (const each of this.#listeners) each.onDown?.();
  }
}

/**
 * The servers in an address.
 *
 * @throws {Fault} `usage`
 */
export function serversOf(url: string): string[] {
  const servers = url.split(",").map((each) => each.trim()).filter((each) => each !== "");
  if (servers.length === 0) throw new Fault("usage", "Cannot use NATS: the address is empty");
  for (const each of servers) {
    let parsed: URL;
    try {
      parsed = new URL(each);
    } catch {
      throw new Fault(
        "usage",
        `Cannot use NATS: ${printable(each)} is not a valid address; nats://HOST:4222 is one`,
      );
    }
    if (parsed.protocol !== "nats:" && parsed.protocol !== "tls:") {
      throw new Fault("usage", `Cannot use NATS: ${printable(each)} begins with neither nats:// nor tls://`);
    }
    if (parsed.username !== "" || parsed.password !== "") {
      throw new Fault(
        "usage",
        "Cannot use NATS: the address holds credentials, which every user of this machine could read; put them into a file and pass --creds FILE",
      );
    }
    if (parsed.hostname === "") {
      throw new Fault("usage", `Cannot use NATS: ${printable(each)} names no host`);
    }
  }
  return servers;
}

function tooLong(most: number): Fault {
  return new Fault("too-large", `Cannot publish: the NATS server takes messages of at most ${most} bytes`);
}

function pem(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch (error) {
    throw new Fault("missing", `Cannot read ${printable(path)}: ${messageOf(error)}`, { cause: error });
  }
}

function connectFault(error: unknown, url: string, untilMs = Infinity): Fault {
  if (error instanceof Fault) return error;
  const where = printable(url);
  const text = oneLine(messageOf(error)).slice(0, 300);
  const all = `${error instanceof Error ? error.name : ""} ${text}`;
  if (/authentication timeout/i.test(all)) {
    // nats-server waits two seconds for them, unless configured otherwise.
    return new Fault(
      "unreachable",
      `Cannot join NATS at ${where}: the server did not get the credentials in time; try again`,
      { cause: error },
    );
  }
  // The server only refuses: that they have expired is in the credentials themselves.
  const isRefused = /authoriz|authentication|nkey/i.test(all);
  if (/expired/i.test(all) || (isRefused && untilMs < Date.now())) {
    return new Fault(
      "not-admitted",
      `Cannot join NATS at ${where}: the credentials have expired; have them renewed`,
      {
        cause: error,
      },
    );
  }
  if (isRefused) {
    return new Fault(
      "not-admitted",
      `Cannot join NATS at ${where}: the server does not accept these credentials; pass --creds FILE, or have them added to the server's accounts (config/nats/)`,
      { cause: error },
    );
  }
  if (/certificate|tls|ssl|handshake/i.test(all)) {
    return new Fault(
      "unreachable",
      `Cannot join NATS at ${where}: no trusted encrypted connection (${text}); pass --nats-ca FILE with the CA of its certificate`,
      { cause: error },
    );
  }
  return new Fault(
    "unreachable",
    `Cannot reach NATS at ${where}: ${text}; is a nats-server running there (Debian: apt install nats-server)?`,
    { cause: error },
  );
}
