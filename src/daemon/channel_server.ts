/**
 * The daemon as an ivshmem server: one shared memory and one socket per `[[channel]]` of the config, at
 * `v2v/NAME.ivshmem` in the runtime directory, for QEMU's `-device ivshmem-doorbell` and for processes on the
 * host. A reload adds and removes channels; an unchanged channel keeps its clients.
 *
 * A channel that cannot be served is logged and does not affect the others. If descriptors or memory were
 * lacking, it is tried again periodically.
 * @module
 */
import { isShortage } from "../../ffi/accept_loop.ts";
import { assert } from "../base/assert.ts";
import { SECOND } from "../base/clock.ts";
import { messageOf } from "../base/fault.ts";
import type { Log } from "../base/log.ts";
import type { UserLookup } from "../access/admission.ts";
import type { LoopPort, TimerHandler } from "../core/adapter_port.ts";
import { usersRule } from "../rendezvous/admission.ts";
import { IvshmemServer } from "../rendezvous/ivshmem_server.ts";
import type { ChannelConfig } from "./config.ts";

/** Interval of retries for lack of descriptors or memory, ns. */
const TRY_AGAIN_NS = 5 * SECOND;

/** Serves the channels of the config. */
export class ChannelServers implements TimerHandler, Disposable {
  readonly #folder: string;
  readonly #loop: LoopPort;
  readonly #users: UserLookup;
  readonly #log: Log;
  readonly #servers = new Map<string, { readonly key: string; readonly server: IvshmemServer }>();
  #channels: readonly ChannelConfig[] = [];
  /** Channels that lacked descriptors or memory: each is logged once. */
  readonly #short = new Set<string>();

  /**
   * Starts with no channel.
   *
   * @param runtimeDir directory of the sockets (in its folder `v2v`)
   */
  constructor(runtimeDir: string, loop: LoopPort, users: UserLookup, log: Log) {
    this.#folder = `${runtimeDir}/v2v`;
    this.#loop = loop;
    this.#users = users;
    this.#log = log.for("channel");
  }

  /** Serves exactly these channels. One that cannot be served is logged and does not affect the others. */
  serve(channels: readonly ChannelConfig[]): void {
    this.#loop.disarm(this);
    this.#channels = channels;
    this.#short.clear();
    const wanted = new Map(channels.map((channel) => [channel.name, channel]));
    for (const [name, { key, server }] of this.#servers) {
      const channel = wanted.get(name);
      if (channel !== undefined && JSON.stringify(channel) === key) continue;
      this.#servers.delete(name);
      this.#end(name, server);
    }
    for (const channel of channels) if (!this.#servers.has(channel.name)) this.#start(channel);
    this.#armIfShort();
  }

  /** Called by the loop: retries the channels that lacked descriptors or memory. */
  onTimer(): void {
    for (const channel of this.#channels) if (this.#short.has(channel.name)) this.#start(channel);
    this.#armIfShort();
  }

  #armIfShort(): void {
    if (this.#short.size > 0) this.#loop.arm(this, this.#loop.clock.nowNs() + TRY_AGAIN_NS);
  }

  #end(name: string, server: IvshmemServer): void {
    try {
      server[Symbol.dispose]();
    } catch (error) {
      this.#log.error(`cannot end the channel ${name} cleanly: ${messageOf(error)}`);
    }
  }

  /** Ends all channels and removes their sockets. */
  [Symbol.dispose](): void {
    this.serve([]);
  }

  #start(channel: ChannelConfig): void {
    const { name, order } = channel;
    assert(!this.#servers.has(name), "a channel is served once");
    try {
      Deno.mkdirSync(this.#folder, { recursive: true, mode: 0o755 });
      const uids = this.#uidsOf(channel);
      const server = new IvshmemServer({
        socketPath: `${this.#folder}/${name}.ivshmem`,
        order,
        rule: usersRule(uids),
        socketMode: uids.length > 0 ? 0o666 : 0o600,
        onChange: (peers) => this.#log.info("clients", { channel: name, count: peers.length }),
        log: this.#log,
      });
      try {
        server.addTo(this.#loop);
      } catch (error) {
        this.#end(name, server);
        throw error;
      }
      this.#servers.set(name, { key: JSON.stringify(channel), server });
      this.#short.delete(name);
      this.#log.info("serving", { channel: name, socket: server.socketPath, bytes: server.sizeBytes });
    } catch (error) {
      // Any error concerns this channel only: the bus and the other channels go on.
      const isTold = this.#short.delete(name);
      if (isShortage(error)) this.#short.add(name);
      if (isTold && this.#short.has(name)) return;
      this.#log.error(`cannot serve the channel ${name}: ${messageOf(error)}`);
    }
  }

  #uidsOf(channel: ChannelConfig): number[] {
    const uids: number[] = [];
    for (const user of channel.users) {
      const uid = /^[0-9]+$/.test(user) ? Number(user) : this.#users.uidOf(user);
      if (uid !== undefined) uids.push(uid);
      else if (!this.#short.has(channel.name)) {
        this.#log.warn("no such user", { channel: channel.name, user });
      }
    }
    return uids;
  }
}
