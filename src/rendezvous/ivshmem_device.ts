/**
 * A host process as a client of an ivshmem server, in the same role as a VM's device, so that it can be one
 * end of a channel whose other end is in a guest. It receives the memory and all clients' doorbells, and
 * notices which clients come and go.
 *
 * What the server passes is checked like an invitation: memory that could shrink, or a doorbell that is not
 * an eventfd, is refused.
 * @module
 */
import { ReceiveBatch } from "../../ffi/datagram.ts";
import { Doorbell } from "../../ffi/doorbell.ts";
import { isOsError } from "../../ffi/os_error.ts";
import { closeConnection, closeForeignFd, OwnedFd } from "../../ffi/owned_fd.ts";
import { IN, Poller } from "../../ffi/poller.ts";
import { connectUnix, SOCKET } from "../../ffi/unix_socket.ts";
import { Fault } from "../base/fault.ts";
import { RINGS_AT } from "../v2v/region_layout.ts";
import { inspectMemory } from "./foreign_memory.ts";
import {
  IVSHMEM_MEMORY,
  IVSHMEM_MESSAGE_BYTES,
  IVSHMEM_VECTORS,
  IVSHMEM_VERSION,
  ivshmemNumber,
  MAX_IVSHMEM_ID,
} from "./ivshmem_protocol.ts";
import { MappedRegion } from "./mapped_region.ts";

const MAX_REGION_BYTES = 1 << 30;
const MAX_PEERS = 64;
const MAX_VECTORS = 64;
/**
 * The kernel's maximum per message: descriptors that are not received would be closed by the kernel on this
 * thread, which can block.
 */
const MAX_MESSAGE_FDS = 253;
/** Limit of messages per turn, so that a server which sends without pause does not block us. */
const BATCHES_A_LOOK = 64;

/** A user of a device, which is closed with it at the latest. */
export interface DeviceUser {
  /** Ends the use. */
  close(): void;
}

/** The ivshmem device of a process. */
export class IvshmemDevice implements Disposable {
  /** The server's socket. */
  readonly socketPath: string;
  readonly #socket: OwnedFd;
  readonly #batch = new ReceiveBatch(16, IVSHMEM_MESSAGE_BYTES, MAX_MESSAGE_FDS);
  readonly #peers = new Map<number, Doorbell[]>();
  readonly #links = new Set<DeviceUser>();
  #version = false;
  #ownId = -1;
  #region: MappedRegion | undefined;
  #serverGone = false;

  /**
   * Connects to a server; {@linkcode open} waits until everything has been received.
   *
   * @throws {Fault} `no-endpoint` when there is no server
   */
  constructor(socketPath: string) {
    this.socketPath = socketPath;
    try {
      this.#socket = connectUnix(socketPath, SOCKET.STREAM);
    } catch (error) {
      this.#batch[Symbol.dispose]();
      if (isOsError(error, "ENOENT") || isOsError(error, "ECONNREFUSED")) {
        throw new Fault("no-endpoint", `Cannot open ${socketPath}: no ivshmem server is there.`, {
          cause: error,
        });
      }
      throw error;
    }
  }

  /**
   * Waits until the server has sent everything, blocking the thread.
   *
   * @throws {Fault} `timed-out`, `refused`, `protocol-error`
   */
  static open(socketPath: string, timeoutMs = 5000): IvshmemDevice {
    using opening = new Opening(socketPath, timeoutMs);
    for (let waitMs = opening.step(); waitMs > 0; waitMs = opening.step()) opening.poller.wait(waitMs);
    return opening.take();
  }

  /** {@linkcode open} without blocking the thread. */
  static async openAsync(socketPath: string, timeoutMs = 5000): Promise<IvshmemDevice> {
    using opening = new Opening(socketPath, timeoutMs);
    for (let waitMs = opening.step(); waitMs > 0; waitMs = opening.step()) {
      await opening.poller.waitAsync(waitMs);
    }
    return opening.take();
  }

  /** The connection, borrowed: readable when the server has sent something. */
  get fd(): number {
    return this.#socket.fd;
  }

  /** Whether everything has been received: memory, id and own doorbells. */
  get ready(): boolean {
    return this.#region !== undefined && (this.#peers.get(this.#ownId)?.length ?? 0) >= IVSHMEM_VECTORS;
  }

  /** Our id. */
  get id(): number {
    return this.#ownId;
  }

  /** Whether the server has ended: then it is unknown which clients come and go. */
  get serverGone(): boolean {
    return this.#serverGone;
  }

  /** The memory. */
  get region(): MappedRegion {
    if (this.#region === undefined) {
      throw new Fault("seam-down", `Cannot use ${this.socketPath}: its device is not open.`);
    }
    return this.#region;
  }

  /** A client's doorbells by vector, including ours; undefined if there is no such client. */
  bells(id: number): readonly Doorbell[] | undefined {
    return this.#peers.get(id);
  }

  /** Ids of the other clients. */
  get others(): number[] {
    return [...this.#peers.keys()].filter((id) => id !== this.#ownId);
  }

  /** Registers a user, which is closed when the device is disposed of before it. */
  use(user: DeviceUser): void {
    this.#links.add(user);
  }

  /** The end of {@linkcode use}. */
  unuse(user: DeviceUser): void {
    this.#links.delete(user);
  }

  /** Receives what the server has sent, up to a limit; never blocks. */
  hear(): void {
    for (let n = 0; n < BATCHES_A_LOOK; n++) {
      const count = this.#serverGone ? 0 : this.#batch.receive(this.#socket.fd);
      for (let i = 0; i < count; i++) {
        if (this.#batch.fdCount(i) > 1) {
          this.#batch.closeFds();
          throw this.#wrong("a message has several descriptors");
        }
        const fd = this.#batch.fdCount(i) > 0 ? new OwnedFd(this.#batch.takeFd(i, 0)) : undefined;
        try {
          this.#take(this.#batch.length(i), this.#batch.offset(i), fd);
        } catch (error) {
          if (fd !== undefined && !fd.closed) closeForeignFd(fd.release());
          throw error;
        }
      }
      if (this.#batch.closed) this.#end();
      if (count < this.#batch.frames) return;
    }
  }

  #take(length: number, offset: number, fd: OwnedFd | undefined): void {
    const number = length === IVSHMEM_MESSAGE_BYTES ? ivshmemNumber(this.#batch.view, offset) : undefined;
    if (number === undefined || number < IVSHMEM_MEMORY || number > MAX_IVSHMEM_ID) {
      throw this.#wrong("a message is not a valid number");
    }
    if (!this.#version) {
      if (number !== IVSHMEM_VERSION || fd !== undefined) throw this.#wrong(`it speaks version ${number}`);
      this.#version = true;
    } else if (this.#ownId < 0) {
      if (number < 0 || fd !== undefined) throw this.#wrong("it gave no id");
      this.#ownId = number;
    } else if (number === IVSHMEM_MEMORY) {
      this.#map(fd);
    } else if (fd === undefined) {
      this.#forget(number);
    } else {
      this.#meet(number, fd);
    }
  }

  #map(fd: OwnedFd | undefined): void {
    if (fd === undefined || this.#region !== undefined) {
      throw this.#wrong("it gave no memory, or gave it twice");
    }
    const memory = inspectMemory(fd.fd);
    if (!memory.ok) throw this.#wrong(`its memory ${memory.reason}`);
    const { sizeBytes } = memory;
    if (sizeBytes < RINGS_AT || sizeBytes > MAX_REGION_BYTES || sizeBytes % 4096 !== 0) {
      throw this.#wrong(`its memory has ${sizeBytes} bytes`);
    }
    this.#region = new MappedRegion(fd.fd, sizeBytes);
    fd.close();
  }

  #meet(id: number, fd: OwnedFd): void {
    const bells = this.#peers.get(id) ?? [];
    if (bells.length >= MAX_VECTORS || this.#peers.size >= MAX_PEERS) {
      throw this.#wrong("it has too many clients or vectors");
    }
    const bell = Doorbell.receive(fd);
    if (bell === undefined) throw this.#wrong("a doorbell is not an eventfd");
    bells.push(bell);
    this.#peers.set(id, bells);
  }

  #forget(id: number): void {
    for (const bell of this.#peers.get(id) ?? []) bell[Symbol.dispose]();
    this.#peers.delete(id);
  }

  #end(): void {
    this.#serverGone = true;
    if (!this.ready) {
      throw new Fault("refused", `Cannot open ${this.socketPath}: the server hung up; does it admit us?`);
    }
  }

  #wrong(why: string): Fault {
    return new Fault("protocol-error", `Cannot use the ivshmem server at ${this.socketPath}: ${why}.`);
  }

  /** Closes and unmaps everything; channels should have been disconnected. */
  [Symbol.dispose](): void {
    for (const link of [...this.#links]) link.close();
    for (const id of [...this.#peers.keys()]) this.#forget(id);
    this.#region?.[Symbol.dispose]();
    this.#region = undefined;
    this.#batch[Symbol.dispose]();
    if (!this.#socket.closed) closeConnection(this.#socket.release());
  }
}

/** A device that is being opened. Disposal closes it, unless it was taken. */
class Opening implements Disposable {
  /** Becomes readable when the server has sent something. */
  readonly poller: Poller;
  readonly #device: IvshmemDevice;
  readonly #timeoutMs: number;
  readonly #endMs: number;
  #taken = false;

  constructor(socketPath: string, timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
    this.#endMs = performance.now() + timeoutMs;
    this.#device = new IvshmemDevice(socketPath);
    try {
      this.poller = new Poller(1);
      this.poller.add(this.#device.fd, IN, 0);
    } catch (error) {
      this.#device[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Processes what was received.
   *
   * @returns how long to wait for more, ms; 0 when complete
   */
  step(): number {
    this.#device.hear();
    if (this.#device.ready) return 0;
    const leftMs = this.#endMs - performance.now();
    if (leftMs > 0) return Math.max(1, Math.ceil(leftMs));
    throw new Fault(
      "timed-out",
      `Cannot open ${this.#device.socketPath}: its server said too little within ${this.#timeoutMs} ms.`,
    );
  }

  /** The open device, owned by the caller from now on. */
  take(): IvshmemDevice {
    this.#taken = true;
    return this.#device;
  }

  [Symbol.dispose](): void {
    this.poller[Symbol.dispose]();
    if (!this.#taken) this.#device[Symbol.dispose]();
  }
}
