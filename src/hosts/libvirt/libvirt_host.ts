/**
 * libvirt as a host: which of its domains run, and a way to the monitor of each (`qmp = "libvirt:NAME"`).
 * Nothing of a domain is changed; that commands go to its QEMU libvirt notes as a taint ("custom-monitor"),
 * which is told once.
 * @module
 */
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { CODE } from "../../base/codes.ts";
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
import type { Domain, LibvirtEvent } from "./libvirt_calls.ts";
import type { LibvirtConfig } from "./libvirt_declaration.ts";
import { type LibvirtAddress, LibvirtSession, type LibvirtUser } from "./libvirt_session.ts";

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
  }

  /** Begins. */
  start(): void {
    this.#session.start();
  }

  /** Ends: monitors close, nothing more is told. */
  stop(): void {
    this.#session.stop();
    this.#closeMonitors(() => true);
  }

  /** See {@linkcode Host}. */
  transport(name: string): QmpTransport {
    return {
      name: `${PREFIX}${name}`,
      passesDescriptors: false,
      canReconnect: true,
      connect: () => this.#connect(name),
      finish: (socket: OwnedFd): QmpAttempt => ({ outcome: "connected", socket }),
      peerOf: (): QmpPeer => this.#processOf(name) ?? UNKNOWN_PEER,
    };
  }

  /** See {@linkcode LibvirtUser}. */
  onDomains(domains: readonly Domain[]): void {
    this.#domains = new Map(domains.map((domain) => [domain.name, domain]));
    // A domain that was started anew has another number.
    this.#closeMonitors(({ domain }) => this.#domains.get(domain.name)?.id !== domain.id);
    this.#onVms(domains.map(({ name }) => {
      const { pid, uid } = this.#processOf(name) ?? UNKNOWN_PEER;
      return { name, qmp: `${PREFIX}${name}`, pid, uid };
    }));
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
    this.#closeMonitors(() => true);
  }

  #connect(name: string): QmpAttempt {
    const { client } = this.#session;
    if (client === null) return { outcome: "failed", loss: AWAY };
    const domain = this.#domains.get(name);
    if (domain === undefined) return { outcome: "failed", loss: NO_DOMAIN };
    if (!this.#hasToldTaint) {
      this.#hasToldTaint = true;
      this.#log.info("commands to QEMU go by libvirt, which marks the domain as tainted (custom-monitor)", {
        domain: printable(name, 64),
      });
    }
    const { monitor, socket } = DomainMonitor.open(
      this.#loop,
      client,
      domain,
      (ended) => this.#monitors.delete(ended),
    );
    this.#monitors.add(monitor);
    return { outcome: "connected", socket };
  }

  #processOf(name: string): QmpPeer | undefined {
    return domainProcess(this.#address.socket, name);
  }

  #closeMonitors(isMeant: (monitor: DomainMonitor) => boolean): void {
    for (const monitor of this.#monitors) {
      if (!isMeant(monitor)) continue;
      this.#monitors.delete(monitor);
      monitor.close();
    }
  }
}
