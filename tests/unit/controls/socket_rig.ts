/**
 * A core behind a real control socket, on a loop that the test turns, and raw clients of it in the same
 * process.
 * @module
 */
import "../ffi/loaded_shim.ts";
import { assert, assertEquals } from "@std/assert";
import { ReceiveBatch, sendOne } from "../../../ffi/datagram.ts";
import type { Source } from "../../../src/event/source.ts";
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { connectUnix, listenUnix, SOCKET } from "../../../ffi/unix_socket.ts";
import { ManualClock } from "../../../src/base/clock.ts";
import { CODE } from "../../../src/base/codes.ts";
import type { EndpointId } from "../../../src/base/ids.ts";
import { Log } from "../../../src/base/log.ts";
import { fullGrant, type Grant } from "../../../src/access/grant.ts";
import { type AdmissionPolicy, SocketListener } from "../../../src/controls/socket/socket_listener.ts";
import { ALL_CAPS, CAP } from "../../../src/event/capability.ts";
import { Core } from "../../../src/core/core.ts";
import { Loop } from "../../../src/core/loop.ts";
import { FakeAdapter } from "../core/fake_adapter.ts";
import { type ParsedFrame, parseFrame, type RawFrame, rawFrame, rawHello } from "./raw_frame.ts";

/** Whoever speaks the socket's protocol by hand. */
export class RawClient {
  readonly socket: OwnedFd;
  readonly frames: ParsedFrame[] = [];
  /** Descriptors that came, by frame. */
  readonly fds: number[] = [];
  /** The connection has ended. */
  ended = false;
  readonly #batch: ReceiveBatch;

  constructor(path: string, batch: ReceiveBatch) {
    this.socket = connectUnix(path, SOCKET.SEQPACKET);
    this.#batch = batch;
  }

  /** Sends one packet as it is; what the system call gave. */
  sendBytes(bytes: Uint8Array<ArrayBuffer>, fds: readonly number[] = []): number {
    return sendOne(this.socket.fd, bytes, 0, bytes.length, fds);
  }

  /** Sends one frame. */
  send(frame: RawFrame, fds: readonly number[] = []): void {
    assert(this.sendBytes(rawFrame(frame), fds) > 0, "the frame is sent");
  }

  /** Takes all that is there. */
  read(): ParsedFrame[] {
    const fresh: ParsedFrame[] = [];
    while (!this.ended) {
      const count = this.#batch.receive(this.socket.fd);
      for (let i = 0; i < count; i++) {
        const offset = this.#batch.offset(i);
        fresh.push(parseFrame(this.#batch.bytes.slice(offset, offset + this.#batch.length(i))));
        for (let k = 0; k < this.#batch.fdCount(i); k++) this.fds.push(this.#batch.takeFd(i, k));
      }
      if (this.#batch.closed) this.ended = true;
      if (count === 0) break;
    }
    this.frames.push(...fresh);
    return fresh;
  }

  /** Frames of a kind, among all that were read. */
  of(kind: number): ParsedFrame[] {
    return this.frames.filter((frame) => frame.kind === kind);
  }

  /** Codes of the ACT_ACKs to a corr. */
  acks(corr: number): number[] {
    return this.of(48).filter((frame) => frame.corr === corr).map((frame) => frame.words[1] as number);
  }

  /** Closes. */
  close(): void {
    if (!this.socket.closed) this.socket.close();
  }
}

/** Options of a rig. */
export interface RigOptions {
  readonly queueEvents?: number;
  readonly maxControls?: number;
}

/** The daemon's socket side, with fake adapters. */
export class SocketRig {
  readonly clock = new ManualClock();
  readonly loop: Loop;
  readonly core: Core;
  readonly listener: SocketListener;
  readonly path: string;
  readonly lines: string[] = [];
  /** What the next HELLO is granted, all but AUDIT unless a test says otherwise; undefined = not admitted. */
  grant: Grant | undefined = { ...fullGrant(1000), caps: ALL_CAPS & ~CAP.AUDIT };
  /** How many have left. */
  left = 0;
  readonly #dir: string;
  readonly #listening: OwnedFd;
  readonly #clients: RawClient[] = [];
  readonly #batch = new ReceiveBatch(64, 96 + 65_536, 8);

  constructor(options: RigOptions = {}) {
    this.#dir = Deno.makeTempDirSync({ prefix: "vmsig-" });
    this.path = `${this.#dir}/control.sock`;
    this.#listening = listenUnix(this.path, SOCKET.SEQPACKET);
    const log = new Log("test", "info", (line) => this.lines.push(line));
    this.loop = new Loop({ clock: this.clock, log });
    this.core = new Core({ loop: this.loop, log });
    const admission: AdmissionPolicy = {
      admit: () =>
        this.grant === undefined
          ? { ok: false, code: CODE["not-admitted"], reason: "not you" }
          : { ok: true, grant: this.grant },
      left: () => this.left++,
    };
    this.listener = new SocketListener({
      listener: this.#listening,
      core: this.core,
      loop: this.loop,
      log,
      admission,
      maxControls: options.maxControls ?? 1024,
      queueEvents: options.queueEvents ?? 1024,
    });
  }

  /** Turns the loop. */
  turn(times = 6): void {
    for (let i = 0; i < times; i++) this.loop.turn(0);
  }

  /** Attaches an endpoint with fake adapters of these sources. */
  attach(id: number, ...sources: Source[]): FakeAdapter[] {
    const adapters = sources.map((source) => new FakeAdapter(source));
    this.core.attach({ id: id as EndpointId, name: `vm${id}`, vmid: id, adapters });
    this.turn();
    return adapters;
  }

  /** Connects without a word. */
  connect(): RawClient {
    const client = new RawClient(this.path, this.#batch);
    this.#clients.push(client);
    return client;
  }

  /** Connects, says HELLO, and reads the WELCOME and all that is retained. */
  join(map: Record<string, unknown> = {}): RawClient {
    const client = this.connect();
    client.sendBytes(rawHello(map));
    this.turn();
    client.read();
    assertEquals(client.frames[0]?.kind, 97, "it is welcome");
    return client;
  }

  /** Takes everything down; asserts that nothing is left. */
  end(): void {
    for (const client of this.#clients) client.close();
    this.turn(300);
    this.listener.close();
    for (const slot of this.core.endpoints()) this.core.detach(slot.id, "shutting-down", () => {});
    for (const slot of this.core.fanOut.controls.values()) this.core.leave(slot, "end");
    this.turn();
    assertEquals(this.core.fanOut.controls.size, 0);
    assertEquals(this.listener.controls.size, 0);
    assertEquals(this.core.bus.ledger.count, 0);
    this.core.dispose();
    this.listener.dispose();
    this.#listening.close();
    this.#batch[Symbol.dispose]();
    this.loop[Symbol.dispose]();
    Deno.removeSync(this.#dir, { recursive: true });
  }
}

/** CMD_ACQUIRE of a class, of endpoint 0. */
export function acquireFrame(cls: number, corr: number): RawFrame {
  return { kind: 73, corr, words: [cls] };
}

/** Runs a test with a rig, and ends the rig however the test ends. */
export function withRig(body: (rig: SocketRig) => void, options: RigOptions = {}): void {
  const rig = new SocketRig(options);
  try {
    body(rig);
  } finally {
    rig.end();
  }
}
