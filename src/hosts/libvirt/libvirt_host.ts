/**
 * libvirt as a host: which of its domains run, and a way to the monitor of each (`qmp = "libvirt:NAME"`).
 * Nothing of a domain is changed; that commands go to its QEMU libvirt notes as a taint ("custom-monitor"),
 * which is told once.
 * @module
 */
import { OsError } from "../../../ffi/os_error.ts";
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { CODE } from "../../base/codes.ts";
import { messageOf } from "../../base/fault.ts";
import type { Log } from "../../base/log.ts";
import { printable } from "../../base/printable.ts";
import type { LoopPort } from "../../core/adapter_port.ts";
import { SEAM_REASON } from "../../event/body_number.ts";
import type { QmpLoss } from "../../qemu/monitor/qmp_loss.ts";
import {
  type QmpAttempt,
  type QmpPeer,
  type QmpTransport,
  UNKNOWN_PEER,
} from "../../qemu/monitor/qmp_transport.ts";
import type { Host, HostedVm, HostParts } from "../host.ts";
import { DomainMonitor } from "./domain_monitor.ts";
import { domainProcess } from "./domain_process.ts";
import { DomainWays } from "./domain_ways.ts";
import type { CallResult, Domain, LibvirtEvent } from "./libvirt_calls.ts";
import { type LibvirtAddress, refusalOf } from "./libvirt_connection.ts";
import type { LibvirtConfig } from "./libvirt_declaration.ts";
import { LibvirtSession, type LibvirtUser } from "./libvirt_session.ts";

const PREFIX = "libvirt:";

const AWAY: QmpLoss = {
  reason: SEAM_REASON.PEER_CLOSED,
  code: CODE["seam-down"],
  text: "libvirt is away",
  remedy: "start libvirtd; the connection is tried again",
};
const NO_DOMAIN: QmpLoss = {
  reason: SEAM_REASON.PROCESS_GONE,
  code: CODE["seam-down"],
  text: "no libvirt domain of that name runs",
  remedy: "start it, or look at the names that virsh list tells",
};
/** Domains of which it is remembered why they stopped. */
const MAX_STOPPED = 64;

/** Makes libvirt, at rest. */
export function makeLibvirt(config: LibvirtConfig, { loop, log, isTrusted, onVms }: HostParts): LibvirtHost {
  const { uri, socket, users } = config;
  return new LibvirtHost({ uri, socket, isTrusted: (uid) => isTrusted(uid, users) }, loop, log, onVms);
}

/** libvirt. */
export class LibvirtHost implements Host, LibvirtUser {
  readonly #session: LibvirtSession;
  readonly #address: LibvirtAddress;
  readonly #loop: LoopPort;
  readonly #log: Log;
  readonly #onVms: (vms: readonly HostedVm[]) => void;
  #domains = new Map<string, Domain>();
  readonly #monitors = new Set<DomainMonitor>();
  readonly #ways: DomainWays;
  /** Why domains stopped, by name; the newest last. */
  readonly #stopped = new Map<string, string>();
  /** What libvirt refused at the last try, by name: told at the next. */
  readonly #refused = new Map<string, QmpLoss>();
  #hasToldTaint = false;

  /**
   * Rests until it is started.
   *
   * @param onVms told whenever domains have come or gone
   */
  constructor(
    address: LibvirtAddress,
    loop: LoopPort,
    log: Log,
    onVms: (vms: readonly HostedVm[]) => void,
  ) {
    this.#address = address;
    this.#loop = loop;
    this.#log = log;
    this.#onVms = onVms;
    this.#session = new LibvirtSession(address, loop, log, this);
    const now = (name: string) => {
      const { client } = this.#session;
      const domain = this.#domains.get(name);
      return client === null || domain === undefined ? undefined : { client, domain };
    };
    this.#ways = new DomainWays({ address, loop, now });
  }

  /** Begins. */
  start(): void {
    this.#session.start();
  }

  /** Ends: monitors close, nothing more is told. */
  stop(): void {
    this.#session.stop();
    this.#close(() => true);
  }

  /** See {@linkcode Host}. */
  transport(name: string): QmpTransport {
    const session = this.#session;
    return {
      name: `${PREFIX}${name}`,
      get passesDescriptors(): boolean {
        return session.passesFiles;
      },
      canReconnect: true,
      ways: this.#ways.to(name),
      connect: () => this.#connect(name),
      finish: (socket: OwnedFd): QmpAttempt => ({ outcome: "connected", socket }),
      peerOf: (): QmpPeer => this.#processOf(name) ?? UNKNOWN_PEER,
      lossNow: () => this.#lossNow(name),
    };
  }

  /** See {@linkcode LibvirtUser}. */
  onDomains(domains: readonly Domain[]): void {
    this.#domains = new Map(domains.map((domain) => [domain.name, domain]));
    // A domain that was started anew has another number.
    this.#close((domain) => this.#domains.get(domain.name)?.id !== domain.id);
    for (const { name } of domains) this.#stopped.delete(name);
    this.#onVms(domains.map(({ name }) => {
      const { pid, uid } = this.#processOf(name) ?? UNKNOWN_PEER;
      return { name, qmp: `${PREFIX}${name}`, pid, uid };
    }));
  }

  /** See {@linkcode LibvirtUser}. */
  onStopped({ name }: Domain, why: string): void {
    this.#stopped.delete(name);
    this.#stopped.set(name, why);
    const [oldest] = this.#stopped.keys();
    if (this.#stopped.size > MAX_STOPPED && oldest !== undefined) this.#stopped.delete(oldest);
    this.#log.info("a domain does not run any more", { domain: printable(name, 64), why });
  }

  /** See {@linkcode LibvirtUser}. */
  onQemuEvent(event: LibvirtEvent & { readonly kind: "qemu" }): void {
    for (const monitor of this.#monitors) {
      if (monitor.domain.uuid === event.domain.uuid) monitor.tell(event);
    }
  }

  /** See {@linkcode LibvirtUser}. */
  onAway(): void {
    this.#domains = new Map();
    this.#close(() => true);
  }

  #connect(name: string): QmpAttempt {
    const loss = this.#lossNow(name);
    this.#refused.delete(name);
    const { client } = this.#session;
    const domain = this.#domains.get(name);
    if (loss !== undefined || client === null || domain === undefined) {
      return { outcome: "failed", loss: loss ?? NO_DOMAIN };
    }
    this.#tellTaint(name);
    try {
      const { monitor, socket } = DomainMonitor.open(this.#loop, client, domain, {
        onEnd: (ended) => this.#monitors.delete(ended),
        onRefused: (ended, result) => this.#onRefused(ended, result),
      });
      this.#monitors.add(monitor);
      return { outcome: "connected", socket };
    } catch (error) {
      if (!(error instanceof OsError)) throw error;
      return {
        outcome: "failed",
        loss: { ...AWAY, text: "no descriptor is left", remedy: messageOf(error) },
      };
    }
  }

  /** Why this domain's monitor cannot be had, as far as libvirt or its absence tells. */
  #lossNow(name: string): QmpLoss | undefined {
    if (this.#session.client === null) return AWAY;
    if (this.#domains.has(name)) return this.#refused.get(name);
    const why = this.#stopped.get(name);
    return why === undefined ? NO_DOMAIN : { ...NO_DOMAIN, remedy: `${why}; start it` };
  }

  #onRefused(monitor: DomainMonitor, result: CallResult<unknown> & { readonly ok: false }): void {
    this.#monitors.delete(monitor);
    if (result.isClosed) return;
    const { name } = monitor.domain;
    if (this.#refused.size >= MAX_STOPPED) this.#refused.clear();
    this.#refused.set(name, {
      reason: result.isDenied ? SEAM_REASON.NO_PERMISSION : SEAM_REASON.PEER_CLOSED,
      code: CODE.refused,
      text: "libvirt refuses commands to this QEMU",
      remedy: refusalOf(result),
    });
  }

  /** What it means to speak to a QEMU by libvirt: once, not for each domain. */
  #tellTaint(name: string): void {
    if (this.#hasToldTaint) return;
    this.#hasToldTaint = true;
    this.#log.info(
      "commands to QEMU go by libvirt, which marks the domain as tainted (custom-monitor): " +
        "it notes that others than libvirt have spoken to QEMU, and changes nothing",
      { domain: printable(name, 64) },
    );
  }

  #processOf(name: string): QmpPeer | undefined {
    return domainProcess(this.#address.socket, name);
  }

  #close(isMeant: (domain: Domain) => boolean): void {
    for (const monitor of this.#monitors) {
      if (!isMeant(monitor.domain)) continue;
      this.#monitors.delete(monitor);
      monitor.close();
    }
    this.#ways.close(isMeant);
  }
}
