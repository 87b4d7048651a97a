/**
 * The connecting end between two processes: connects to the prefix's socket, checks everything that the
 * listener passes, and attaches to the region.
 *
 * The listener may be anybody's program: a file that could shrink while it is mapped, a region with another
 * layout, or a descriptor that is not an eventfd is refused before it is used, and closed on another thread.
 * @module
 */
import { monotonicClock } from "../../ffi/clock.ts";
import { ReceiveBatch } from "../../ffi/datagram.ts";
import { Doorbell } from "../../ffi/doorbell.ts";
import { isOsError } from "../../ffi/os_error.ts";
import { closeConnection, closeForeignFd, OwnedFd } from "../../ffi/owned_fd.ts";
import { IN, Poller } from "../../ffi/poller.ts";
import { connectUnix, peerCredentials, SOCKET } from "../../ffi/unix_socket.ts";
import type { Clock } from "../base/clock.ts";
import { Fault } from "../base/fault.ts";
import { Channel } from "../v2v/channel.ts";
import type { ChannelTuning } from "../v2v/channel_parts.ts";
import { RegionHeader } from "../v2v/region_header.ts";
import { regionBytes } from "../v2v/region_layout.ts";
import { ownUserRule, type PeerRule } from "./admission.ts";
import { inspectMemory } from "./foreign_memory.ts";
import { decodeInvitation, type Invitation, INVITATION_FDS, MAX_INVITATION_BYTES } from "./invitation.ts";
import { MappedRegion } from "./mapped_region.ts";
import { socketPathOf } from "./prefix.ts";
import { type Doorbells, ProcessLink } from "./process_link.ts";

/** Options of connecting. */
export interface ConnectOptions {
  /** Time limit of the listener's answer, ms; 5000 by default. */
  readonly timeoutMs?: number;
  /** Who may be the listener; by default our own user and root. */
  readonly rule?: PeerRule;
  /** Options of the channel. */
  readonly tuning?: ChannelTuning;
  /** The clock. */
  readonly clock?: Clock;
}

const DEFAULT_TIMEOUT_MS = 5000;
/**
 * The kernel's maximum per packet: descriptors that are not received would be closed by the kernel on this
 * thread, which can block.
 */
const MAX_PACKET_FDS = 253;

/**
 * Connects to a prefix, blocking the thread until the listener answers.
 *
 * @throws {Fault} `no-endpoint` when nobody listens, `busy` when the listener has a connector,
 *   `not-admitted`, `timed-out`, `protocol-error` when what it passes violates RING.md, `bad-argument` for
 *   the prefix
 */
export function connectProcess(runtimeDir: string, prefix: string, options: ConnectOptions = {}): Channel {
  using call = new Call(runtimeDir, prefix, options);
  call.poller.wait(call.timeoutMs);
  return call.answer();
}

/** {@linkcode connectProcess} without blocking the thread. */
export async function connectProcessAsync(
  runtimeDir: string,
  prefix: string,
  options: ConnectOptions = {},
): Promise<Channel> {
  using call = new Call(runtimeDir, prefix, options);
  await call.poller.waitAsync(call.timeoutMs);
  return call.answer();
}

/** One attempt to connect; it owns what was received until a channel does. */
class Call implements Disposable {
  readonly poller = new Poller(1);
  readonly timeoutMs: number;
  readonly #who: string;
  readonly #options: ConnectOptions;
  #socket: OwnedFd | undefined;

  constructor(runtimeDir: string, prefix: string, options: ConnectOptions) {
    const path = socketPathOf(runtimeDir, prefix);
    this.#who = `the channel ${prefix}`;
    this.#options = options;
    this.timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    try {
      this.#socket = this.#dial(path, prefix);
      this.poller.add(this.#socket.fd, IN, 0);
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  #dial(path: string, prefix: string): OwnedFd {
    try {
      const socket = connectUnix(path, SOCKET.SEQPACKET);
      const peer = peerCredentials(socket.fd);
      if ((this.#options.rule ?? ownUserRule())(peer)) return socket;
      closeConnection(socket.release());
      throw new Fault(
        "not-admitted",
        `Cannot connect to ${this.#who}: user ${peer.uid} listens there, who is neither we nor root nor admitted.`,
      );
    } catch (error) {
      if (isOsError(error, "ENOENT") || isOsError(error, "ECONNREFUSED")) {
        throw new Fault(
          "no-endpoint",
          `Cannot connect to ${this.#who}: nobody listens at ${path}. Start \`vmsig v2v listen ${prefix}\` first.`,
          { cause: error },
        );
      }
      if (isOsError(error, "EAGAIN")) {
        throw new Fault("busy", `Cannot connect to ${this.#who}: too many are waiting there, try again.`);
      }
      throw error;
    }
  }

  /** The listener has answered, or the time is over. */
  answer(): Channel {
    const socket = this.#socket;
    if (socket === undefined) throw new Fault("bad-argument", "Cannot take an answer twice.");
    using batch = new ReceiveBatch(1, MAX_INVITATION_BYTES, MAX_PACKET_FDS);
    if (batch.receive(socket.fd) === 0) {
      if (batch.wouldBlock) {
        throw new Fault(
          "timed-out",
          `Cannot connect to ${this.#who}: no answer within ${this.timeoutMs} ms.`,
        );
      }
      throw new Fault("refused", `Cannot connect to ${this.#who}: the listener hung up without a word.`);
    }
    const fds: OwnedFd[] = [];
    try {
      for (let k = 0; k < batch.fdCount(0); k++) fds.push(new OwnedFd(batch.takeFd(0, k)));
      const invitation = decodeInvitation(batch.bytes.slice(0, batch.length(0)), this.#who);
      return this.#join(socket, invitation, fds);
    } finally {
      for (const fd of fds) if (!fd.closed) closeForeignFd(fd.release());
    }
  }

  #join(socket: OwnedFd, invitation: Invitation, fds: OwnedFd[]): Channel {
    const [file, ...rest] = fds;
    if (file === undefined || fds.length !== INVITATION_FDS) {
      throw this.#wrong(`it sent ${fds.length} descriptors, not ${INVITATION_FDS}`);
    }
    const sizeBytes = this.#checkFile(file, invitation);
    const region = new MappedRegion(file.fd, sizeBytes);
    const bells: Doorbell[] = [];
    try {
      file.close();
      const header = this.#checkRegion(region, invitation);
      for (const fd of rest) bells.push(this.#doorbell(fd));
      const link = new ProcessLink("connector", bells as unknown as Doorbells, socket, region);
      this.#socket = undefined; // the link's from here on
      header.join(invitation.generation);
      link.ringData();
      link.ringSpace();
      const { tuning, clock = monotonicClock } = this.#options;
      return new Channel({
        role: "connector",
        region,
        header,
        link,
        clock,
        ...invitation,
        ...(tuning === undefined ? {} : { tuning }),
      });
    } catch (error) {
      for (const bell of bells) bell[Symbol.dispose]();
      region[Symbol.dispose]();
      throw error;
    }
  }

  #doorbell(fd: OwnedFd): Doorbell {
    const bell = Doorbell.receive(fd);
    if (bell === undefined) throw this.#wrong("a doorbell is not an eventfd");
    return bell;
  }

  #checkFile(file: OwnedFd, invitation: Invitation): number {
    const needed = regionBytes(invitation.prodOrder, invitation.consOrder);
    const memory = inspectMemory(file.fd);
    if (!memory.ok) throw this.#wrong(`its region ${memory.reason}`);
    if (memory.sizeBytes < needed) {
      throw this.#wrong(`its region has ${memory.sizeBytes} bytes, and its rings need ${needed}`);
    }
    return needed;
  }

  #checkRegion(region: MappedRegion, invitation: Invitation): RegionHeader {
    const header = new RegionHeader(region);
    const found = header.inspect();
    if (!found.ok) throw this.#wrong(`its region cannot be used: ${found.reason}`);
    if (found.generation !== invitation.generation) {
      throw new Fault(
        "refused",
        `Cannot connect to ${this.#who}: the invitation is stale (generation ${invitation.generation}, ` +
          `the region has ${found.generation}). Connect again.`,
      );
    }
    if (found.prodOrder !== invitation.prodOrder || found.consOrder !== invitation.consOrder) {
      throw this.#wrong("its region has other ring orders than its invitation says");
    }
    const state = header.state("listener");
    if (state !== "listening" && state !== "connected") {
      throw new Fault("refused", `Cannot connect to ${this.#who}: its listener is ${state}. Connect again.`);
    }
    return header;
  }

  #wrong(why: string): Fault {
    return new Fault("protocol-error", `Cannot connect to ${this.#who}: ${why}.`);
  }

  [Symbol.dispose](): void {
    this.poller[Symbol.dispose]();
    if (this.#socket !== undefined) closeConnection(this.#socket.release());
  }
}
