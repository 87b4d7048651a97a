/**
 * The way to a NATS server: `plain_transport.ts` where it wants no TLS, which its first words tell, and the
 * library's own transport over Node's sockets where it does. That one is loaded only then: its modules take 2
 * to 5 MB.
 * @module
 */
import type { ConnectionOptions } from "@nats-io/nats-core";
import {
  checkOptions,
  errors,
  NatsConnectionImpl,
  type Server,
  setTransportFactory,
  type Transport,
} from "@nats-io/nats-core/internal";
import { PlainTransport } from "./plain_transport.ts";

/** The transport. */
class ServerTransport implements Transport {
  readonly #closed = Promise.withResolvers<void | Error>();
  #inner: Transport = new PlainTransport();
  #isOver = false;

  get lang(): string {
    return this.#inner.lang;
  }

  get version(): string {
    return this.#inner.version;
  }

  get isClosed(): boolean {
    return this.#inner.isClosed;
  }

  get closeError(): Error {
    // The library asks for it whether there is one or not.
    return this.#inner.closeError as Error;
  }

  isEncrypted(): boolean {
    return this.#inner.isEncrypted();
  }

  async connect(server: Server, options: ConnectionOptions): Promise<void> {
    if (typeof options.tls !== "object" || options.tls === null) {
      const plain = new PlainTransport();
      this.#use(plain);
      const info = await plain.open(server);
      checkOptions(info, options);
      const wantsTls = info.tls_required === true || (info.tls_available === true && options.tls !== null);
      if (!wantsTls) return;
      plain.discard();
    }
    const { GuardedTransport } = await import("./guarded_transport.ts");
    if (this.#isOver) throw new errors.ConnectionError("it took too long to connect");
    const guarded = new GuardedTransport();
    this.#use(guarded);
    await guarded.connect(server, options);
  }

  send(frame: Uint8Array): void {
    this.#inner.send(frame);
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<Uint8Array> {
    return this.#inner[Symbol.asyncIterator]();
  }

  async close(error?: Error): Promise<void> {
    this.#isOver = true;
    await this.#inner.close(error);
  }

  disconnect(): void {
    this.#inner.disconnect();
  }

  closed(): Promise<void | Error> {
    return this.#closed.promise;
  }

  discard(): void {
    this.#isOver = true;
    this.#inner.discard();
  }

  #use(inner: Transport): void {
    this.#inner = inner;
    void inner.closed().then((error) => this.#closed.resolve(error));
  }
}

/**
 * Connects, as the library's own `connect` does.
 *
 * @internal
 */
export async function connectNats(options: ConnectionOptions): Promise<NatsConnectionImpl> {
  setTransportFactory({ factory: () => new ServerTransport(), dnsResolveFn: addressesOf });
  return await NatsConnectionImpl.connect(options) as NatsConnectionImpl;
}

/** The addresses of a name, as this machine resolves names. */
async function addressesOf(name: string): Promise<string[]> {
  const { lookup } = await import("node:dns/promises");
  const found = await lookup(name, { all: true });
  return found.length === 0 ? [name] : found.map(({ address }) => address);
}
