/**
 * A control that a benchmark measures with: it waits on its socket itself, so that no event loop of its own
 * stands between a frame's arrival and the clock. It speaks the protocol's frames and nothing more.
 * @module
 */
import type { EndpointId } from "../../src/base/ids.ts";
import { encode } from "cborg";
import { monotonicClock } from "../../ffi/clock.ts";
import { ReceiveBatch, sendOne } from "../../ffi/datagram.ts";
import type { OwnedFd } from "../../ffi/owned_fd.ts";
import { IN, Poller } from "../../ffi/poller.ts";
import { connectUnix, SOCKET } from "../../ffi/unix_socket.ts";
import { readU64 } from "../../src/base/layout.ts";
import { MAX_FRAME_BYTES, MAX_FRAME_FDS } from "../../src/base/limits.ts";
import { ROSTER } from "../../src/event/body_layout.ts";
import { DIR } from "../../src/event/defaults.ts";
import { encodeFrame, FRAME } from "../../src/protocol/frame.ts";
import { readText } from "../../src/event/inline_text.ts";
import { KIND, type Kind, kindName } from "../../src/event/kind.ts";
import { ALL_SOURCES } from "../../src/event/source.ts";
import { BODY, EventPool, type TransferEvent } from "../../src/event/transfer_event.ts";

const WAIT_MS = 10_000;

/** A blocking control. */
export class RawControl implements Disposable {
  /** Endpoint numbers by name, as the roster came. */
  readonly endpoints = new Map<string, number>();
  readonly #socket: OwnedFd;
  readonly #poller = new Poller(1);
  readonly #batch = new ReceiveBatch(1, MAX_FRAME_BYTES, MAX_FRAME_FDS);
  readonly #pool = new EventPool();
  readonly #frame = new Uint8Array(MAX_FRAME_BYTES);
  readonly #view = new DataView(this.#frame.buffer);
  #corr = 0;

  /** Joins with the given sources. */
  constructor(path: string, sources: number = ALL_SOURCES) {
    this.#socket = connectUnix(path, SOCKET.SEQPACKET);
    this.#poller.add(this.#socket.fd, IN, 1);
    const sub = { sources, prio_min: 0, endpoints: 0xffff_ffff_ffff_ffffn };
    const hello = this.frameOf(KIND.HELLO, 0, (event) => {
      event.setBody(BODY.CBOR, encode({ proto: 1, name: "bench", sub }));
    });
    this.#send(hello);
    this.await((kind) => kind === KIND.WELCOME);
  }

  /** A frame of a command, to be sent again and again. */
  frameOf(kind: number, endpoint: number, fill: (event: TransferEvent) => void): Uint8Array<ArrayBuffer> {
    const event = this.#pool.acquire();
    event.kind = kind as Kind;
    event.dir = DIR.DOWN;
    event.prio = 1;
    event.endpoint = endpoint as EndpointId;
    event.corr = ++this.#corr;
    fill(event);
    const length = encodeFrame(event, 0, this.#view, this.#frame, 0);
    event.release();
    return this.#frame.slice(0, length);
  }

  /** Sends a frame, and waits for the answer to its corr. The answer's view is good until the next call. */
  ask(frame: Uint8Array<ArrayBuffer>): DataView {
    const corr = new DataView(frame.buffer).getUint32(FRAME.corr, true);
    this.#send(frame);
    return this.await((_kind, view) => view.getUint32(FRAME.corr, true) === corr);
  }

  /** Sends a frame; the answer is taken in by a later wait. */
  tell(frame: Uint8Array<ArrayBuffer>): void {
    this.#send(frame);
  }

  /** Waits for the first frame that `is` accepts; what comes before it is read and left. */
  await(is: (kind: number, view: DataView) => boolean): DataView {
    for (;;) {
      const { view } = this.#receive();
      const kind = view.getUint16(FRAME.kind, true);
      if (kind === KIND.REFUSED) throw new Error("the daemon refuses this control");
      if (kind === KIND.ROSTER) this.#noteRoster(view);
      if (is(kind, view)) return view;
    }
  }

  /** Reads everything that has come, and leaves it: what is awaited next has not happened yet. */
  drain(): void {
    while (this.#batch.receive(this.#socket.fd) > 0);
    if (this.#batch.closed) throw new Error("the daemon has closed the socket");
  }

  /** Whether an ACT_ACK says ok; throws with its code otherwise. */
  static mustBeOk(answer: DataView): void {
    const kind = answer.getUint16(FRAME.kind, true);
    const code = answer.getUint32(FRAME.inline + 4, true);
    if (kind !== KIND.ACT_ACK || code !== 0) throw new Error(`${kindName(kind)} with code ${code}`);
  }

  /** When an answer's event was made, ns. */
  static stampOf(answer: DataView): number {
    return readU64(answer, FRAME.tsNs);
  }

  /** Now, ns, of the same clock. */
  static nowNs(): number {
    return monotonicClock.nowNs();
  }

  /** Leaves. */
  [Symbol.dispose](): void {
    this.#poller.remove(this.#socket.fd);
    this.#poller[Symbol.dispose]();
    this.#batch[Symbol.dispose]();
    this.#socket.close();
  }

  #send(frame: Uint8Array<ArrayBuffer>): void {
    const sent = sendOne(this.#socket.fd, frame, 0, frame.length);
    if (sent !== frame.length) throw new Error(`a frame was not taken: ${sent}`);
  }

  #receive(): ReceiveBatch {
    while (this.#batch.receive(this.#socket.fd) === 0) {
      if (this.#batch.closed) throw new Error("the daemon has closed the socket");
      if (this.#poller.wait(WAIT_MS) === 0) throw new Error("nothing came from the daemon for 10 s");
    }
    return this.#batch;
  }

  #noteRoster(view: DataView): void {
    const inline = new Uint8Array(view.buffer, view.byteOffset + FRAME.inline, 48);
    this.endpoints.set(readText(inline, ROSTER.at.name, 32), view.getUint32(FRAME.endpoint, true));
  }
}
