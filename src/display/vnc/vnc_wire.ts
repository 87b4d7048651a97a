/**
 * The socket of a VNC client and what is on its way through it: connecting, the handshake, and then updates.
 * Bytes come into one small buffer, or, where a rectangle is as wide as the picture, straight into it.
 * @module
 */
import { ERRNO } from "../../../ffi/os_error.ts";
import { IN, OUT } from "../../../ffi/poller.ts";
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { readInto } from "../../../ffi/stream.ts";
import { assert } from "../../base/assert.ts";
import { ClientHandshake, type ServerInit } from "../../rfb/client_handshake.ts";
import type { Picture } from "../../rfb/update_sink.ts";
import type { UpdateStream } from "../../rfb/update_stream.ts";
import { checkConnected, closeVnc, openVnc, type VncAddress } from "./vnc_address.ts";
import { VncOutput } from "./vnc_output.ts";

/** Bytes that are taken from the socket in one step at most: others have their turn. */
const STEP_BYTES = 8 * 1024 * 1024;
const BUFFER_BYTES = 64 * 1024;
/** So much of a rectangle as wide as the picture is read without a buffer between. */
const DIRECT_BYTES = 16 * 1024;

type Phase =
  | { readonly name: "connecting" }
  | { readonly name: "handshake"; readonly handshake: ClientHandshake }
  | { readonly name: "running"; readonly stream: UpdateStream }
  | { readonly name: "ended" };

/** What a {@linkcode VncWire} is made from. */
export interface VncWireOptions {
  /** The server; a descriptor is taken over. */
  readonly address: VncAddress;
  /** For servers that ask for one. */
  readonly password: string | undefined;
  /** What updates are painted on. */
  readonly picture: Picture;
  /** The handshake is over: makes what reads the messages that follow. */
  readonly begin: (server: ServerInit) => UpdateStream;
}

/** A connection to a VNC server. */
export class VncWire implements Disposable {
  /** What is to be sent; the owner adds to it while the wire runs. */
  readonly output = new VncOutput();
  readonly #options: VncWireOptions;
  readonly #socket: OwnedFd;
  readonly #buffer = new Uint8Array(BUFFER_BYTES);
  readonly #view = new DataView(this.#buffer.buffer);
  /** Bytes in the buffer that are not used yet begin at 0 and end here. */
  #length = 0;
  #phase: Phase;

  /**
   * Begins to connect.
   *
   * @throws {Fault} `bad-argument` for what is not an address
   * @throws {OsError} when nobody listens there, or it is not allowed
   */
  constructor(options: VncWireOptions) {
    const { socket, isPending } = openVnc(options.address);
    this.#options = options;
    this.#socket = socket;
    this.#phase = isPending ? { name: "connecting" } : this.#handshake();
  }

  /** The socket, borrowed; -1 once it is disposed of. */
  get fd(): number {
    return this.#socket.closed ? -1 : this.#socket.fd;
  }

  /** epoll's bits that it waits for. */
  get events(): number {
    if (this.#phase.name === "ended") return 0;
    if (this.#phase.name === "connecting") return OUT;
    return this.output.isEmpty ? IN : IN | OUT;
  }

  /** The server's updates, once the handshake is over. */
  get stream(): UpdateStream | undefined {
    return this.#phase.name === "running" ? this.#phase.stream : undefined;
  }

  /** Whether nothing comes and goes any more. */
  get isEnded(): boolean {
    return this.#phase.name === "ended";
  }

  /** Nothing comes and goes from now on; its socket stays open until it is disposed of. */
  end(): void {
    this.#phase = { name: "ended" };
  }

  /**
   * Sends what waits, and uses what has come, up to a bound.
   *
   * @returns bytes that came; undefined when the server is gone
   * @throws {Fault} what the handshake and the updates throw
   */
  run(): number | undefined {
    if (this.#phase.name === "connecting") {
      checkConnected(this.#socket, this.#options.address);
      this.#phase = this.#handshake();
    }
    this.stream?.beginTurn();
    if (!this.flush()) return undefined;
    for (let came = 0;;) {
      this.#decode();
      // Whoever is told of what was read may end it.
      if (this.isEnded || this.#isTired() || came >= STEP_BYTES) return came;
      const room = this.#room();
      const n = this.#receive(room);
      if (n === -ERRNO.EAGAIN) return came;
      if (n <= 0) return undefined;
      came += n;
      if (n === room) continue;
      // The socket is empty.
      this.#decode();
      return came;
    }
  }

  /** Sends what waits; false when the server is gone. */
  flush(): boolean {
    return this.isEnded || this.output.flush(this.#socket.fd);
  }

  /** Closes the connection. */
  [Symbol.dispose](): void {
    this.end();
    closeVnc(this.#socket);
  }

  #handshake(): Phase {
    const options = { password: this.#options.password, shared: true };
    return {
      name: "handshake",
      handshake: new ClientHandshake(options, (bytes) => this.output.add(bytes)),
    };
  }

  #isTired(): boolean {
    return this.stream?.isTired ?? false;
  }

  /** Bytes of the picture that can be read without a buffer; 0 for too few. */
  #span(): number {
    const span = this.#length > 0 ? 0 : this.stream?.span ?? 0;
    return span >= DIRECT_BYTES ? span : 0;
  }

  #room(): number {
    const span = this.#span();
    return span > 0 ? Math.min(span, STEP_BYTES) : BUFFER_BYTES - this.#length;
  }

  #receive(room: number): number {
    const { stream } = this;
    if (stream !== undefined && this.#span() > 0) {
      const pixels = this.#options.picture.pixels as Uint8Array<ArrayBuffer>;
      const n = readInto(this.#socket.fd, pixels, stream.spanOffset, room);
      if (n > 0) stream.spanRead(n);
      return n;
    }
    const n = readInto(this.#socket.fd, this.#buffer, this.#length, room);
    if (n > 0) this.#length += n;
    return n;
  }

  /** Hands over what is in the buffer, and moves what is left to its beginning. */
  #decode(): void {
    let at = 0;
    if (this.#phase.name === "handshake") {
      const { handshake } = this.#phase;
      at += handshake.feed(this.#buffer, 0, this.#length);
      const { result } = handshake;
      if (result !== undefined) {
        const stream = this.#options.begin(result);
        // Whoever is told of the server may end it.
        if (this.isEnded) return;
        this.#phase = { name: "running", stream };
      }
    }
    if (this.#phase.name === "running") {
      at += this.#phase.stream.feed(this.#buffer, this.#view, at, this.#length);
    }
    if (at > 0) this.#buffer.copyWithin(0, at, this.#length);
    this.#length -= at;
    assert(this.#length < BUFFER_BYTES || this.#isTired(), "no head of a message is as long as the buffer");
  }
}
