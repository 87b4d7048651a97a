/**
 * The daemon as an ivshmem server: one memory and one socket a `[[channel]]` of the config, at `v2v/NAME.ivshmem` in the runtime directory, for QEMU's
 * `-device ivshmem-doorbell` and for processes of the host. Channels come and go with the config; one that stays the same keeps its clients through a reload.
 * @module
 */
import { Fault, messageOf } from "../base/fault.ts";
import type { Log } from "../base/log.ts";
import type { UserLookup } from "../access/admission.ts";
import type { LoopPort } from "../core/adapter_port.ts";
import { usersRule } from "../rendezvous/admission.ts";
import { IvshmemServer } from "../rendezvous/ivshmem_server.ts";
import type { ChannelConfig } from "./config.ts";

/** Serves the channels that the config names. */
export class ChannelServers {
  readonly #folder: string;
  readonly #loop: LoopPort;
  readonly #users: UserLookup;
  readonly #log: Log;
  readonly #servers = new Map<string, { readonly key: string; readonly server: IvshmemServer }>();

  /**
   * Serves nothing yet.
   *
   * @param runtimeDir where the sockets go, in a folder `v2v`
   */
  constructor(runtimeDir: string, loop: LoopPort, users: UserLookup, log: Log) {
    this.#folder = `${runtimeDir}/v2v`;
    this.#loop = loop;
    this.#users = users;
    this.#log = log.for("channel");
  }

  /** Serves exactly these channels. One that cannot be served says why and does not hold the others back. */
  serve(channels: readonly ChannelConfig[]): void {
    const wanted = new Map(channels.map((channel) => [channel.name, channel]));
    for (const [name, { key, server }] of this.#servers) {
      const channel = wanted.get(name);
      if (channel !== undefined && JSON.stringify(channel) === key) continue;
      server[Symbol.dispose]();
      this.#servers.delete(name);
    }
    for (const channel of channels) if (!this.#servers.has(channel.name)) this.#start(channel);
  }

  /** Ends them all; their sockets are gone. */
  close(): void {
    this.serve([]);
  }

  #start(channel: ChannelConfig): void {
    const { name, order } = channel;
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
      server.addTo(this.#loop);
      this.#servers.set(name, { key: JSON.stringify(channel), server });
      this.#log.info("serving", { channel: name, socket: server.socketPath, bytes: server.sizeBytes });
    } catch (error) {
      if (!(error instanceof Fault) && !(error instanceof Deno.errors.PermissionDenied)) throw error;
      this.#log.error(`cannot serve the channel ${name}: ${messageOf(error)}`);
    }
  }

  #uidsOf(channel: ChannelConfig): number[] {
    const uids: number[] = [];
    for (const user of channel.users) {
      const uid = /^[0-9]+$/.test(user) ? Number(user) : this.#users.uidOf(user);
      if (uid === undefined) this.#log.warn("no such user", { channel: channel.name, user });
      else uids.push(uid);
    }
    return uids;
  }
}
