/**
 * libvirt as a host: which of its domains run, and a way to the monitor of each (`qmp = "libvirt:NAME"`).
 * Nothing of a domain is changed; that commands go to its QEMU libvirt notes as a taint ("custom-monitor"),
 * which is told once.
 * @module
 */
import { OsError } from "../../../ffi/os_error.ts";
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { SECOND } from "../../base/clock.ts";
import { CODE } from "../../base/codes.ts";
import type { Log } from "../../base/log.ts";
import { printable } from "../../base/printable.ts";
import type { LoopPort, TimerHandler } from "../../core/adapter_port.ts";
import { SEAM_REASON } from "../../event/body_number.ts";
import { QUIET_NS } from "../../qemu/monitor/link_pulse.ts";
import { MIGRATED } from "../../qemu/monitor/link_outlook.ts";
import { type QmpLoss, STALE } from "../../qemu/monitor/qmp_loss.ts";
import {
  type QmpAttempt,
  type QmpPeer,
  type QmpTransport,
  UNKNOWN_PEER,
} from "../../qemu/monitor/qmp_transport.ts";
import type { OpenQmpStream } from "../../qemu/monitor/qmp_stream.ts";
import type { VmWays } from "../../qemu/monitor/vm_ways.ts";
import type { Host, HostedVm, HostParts } from "../host.ts";
import { DomainLine } from "./domain_line.ts";
import { DomainMonitor, type DomainMonitorHost } from "./domain_monitor.ts";
import { domainProcess } from "./domain_process.ts";
import { DomainWays } from "./domain_ways.ts";
import { type CallResult, type Domain, type LibvirtEvent, MIGRATED_AWAY } from "./libvirt_calls.ts";
import { connectFailure, LET_SPEAK, type LibvirtAddress } from "./libvirt_connection.ts";
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
const SILENT: QmpLoss = {
  reason: SEAM_REASON.HEARTBEAT_STALE,
  code: CODE["timed-out"],
  text: "QEMU does not answer through libvirt",
  remedy: "it is stopped (SIGSTOP) or stuck; it is used again as soon as it answers",
};
/**
 * Nothing may come for so long before a QEMU is asked for a sign of life: each question is a call through
 * libvirtd, of which 64 domains would make 50 a second at the pace of QEMU's own monitors.
 */
const QUIET_BEHIND_NS = 10 * SECOND;
/** How long a domain that runs no more is kept when libvirt has not said yet why: it says so after it. */
const REASON_NS = 2 * SECOND;
/** Domains of which it is remembered why they stopped. */
const MAX_STOPPED = 64;

/** Makes libvirt, at rest. */
export function makeLibvirt(config: LibvirtConfig, { loop, log, isTrusted, onVms }: HostParts): LibvirtHost {
  const { uri, socket, users, ownMonitor } = config;
  const address = { uri, socket, isTrusted: (uid: number) => isTrusted(uid, users) };
  return new LibvirtHost(address, { loop, log, ownMonitor, onVms });
}

/** What libvirt is made with. */
export interface LibvirtHostOptions extends Pick<HostParts, "loop" | "log" | "onVms"> {
  /** Whether QEMUs may be given a monitor of the daemon's own. */
  readonly ownMonitor: boolean;
}

/** libvirt. */
export class LibvirtHost implements Host, LibvirtUser, TimerHandler {
  readonly #session: LibvirtSession;
  readonly #address: LibvirtAddress;
  readonly #loop: LoopPort;
  readonly #log: Log;
  readonly #mayOwn: boolean;
  readonly #onVms: (vms: readonly HostedVm[]) => void;
  /** Domains whose QEMU serves the daemon itself, by a monitor of its own. */
  readonly #owned = new Set<string>();
  #domains = new Map<string, Domain>();
  /** What libvirt listed last. */
  #listed: readonly Domain[] = [];
  /** What was told of the domains last. */
  #told: readonly HostedVm[] = [];
  /** Until when domains that it does not list any more are kept. */
  readonly #leaving = new Map<string, number>();
  /** The connection of each domain that was spoken to, by name. */
  readonly #lines = new Map<string, DomainLine>();
  /** Domains by their QEMU's process. */
  readonly #names = new Map<number, string>();
  readonly #monitors = new Set<DomainMonitor>();
  readonly #ways: DomainWays;
  /** Why domains stopped, by name; the newest last. */
  readonly #stopped = new Map<string, string>();
  /** What libvirt refused at the last try, by name: told at the next. */
  readonly #refused = new Map<string, QmpLoss>();
  #hasToldTaint = false;

  /** Rests until it is started. */
  constructor(address: LibvirtAddress, { loop, log, ownMonitor, onVms }: LibvirtHostOptions) {
    this.#address = address;
    this.#loop = loop;
    this.#log = log;
    this.#mayOwn = ownMonitor;
    this.#onVms = onVms;
    this.#session = new LibvirtSession(address, loop, log, this);
    this.#ways = new DomainWays({ address, loop, lineOf: (name) => this.#lineOf(name) });
  }

  /** Begins. */
  start(): void {
    this.#session.start();
  }

  /** Ends: monitors close, nothing more is told. */
  stop(): void {
    this.#session.stop();
    this.#loop.disarm(this);
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
      peerOf: () => this.#peerOf(name),
      lossNow: () => {
        // A monitor of our own ends with its QEMU alone.
        if (!this.#owned.has(name)) return this.#lossNow(name);
        return this.#stopped.has(name) ? this.#lossNow(name) : undefined;
      },
      // libvirt tells of itself when a QEMU ends; a QEMU that stands still is told of later than elsewhere.
      quietNs: () => this.#owned.has(name) ? QUIET_NS : QUIET_BEHIND_NS,
      silenceNow: () => {
        if (this.#owned.has(name)) return STALE;
        // Which of the two is silent libvirt itself shows: it answers for itself, or not.
        session.suspect();
        return this.#lossNow(name) ?? SILENT;
      },
    };
  }

  /** See {@linkcode Host}. */
  waysOf(pid: number): VmWays | undefined {
    const name = pid === 0 ? undefined : this.#names.get(pid);
    return name === undefined ? undefined : this.#ways.to(name);
  }

  /** See {@linkcode LibvirtUser}. */
  onDomains(listed: readonly Domain[]): void {
    this.#listed = listed;
    const domains = [...listed, ...this.#withoutReason(listed)];
    const former = this.#domains;
    this.#domains = new Map(domains.map((domain) => [domain.name, domain]));
    for (const name of this.#owned) if (!this.#domains.has(name)) this.#owned.delete(name);
    // A domain that was started anew has another number.
    this.#close((domain) => this.#domains.get(domain.name)?.id !== domain.id);
    for (const { name } of listed) this.#stopped.delete(name);
    this.#names.clear();
    const told = this.#told;
    this.#told = domains.map(({ name, id }) => {
      const process = this.#processOf(name);
      // One that is about to end has no process any more, and is the same all the same.
      const isKnown = process === undefined && former.get(name)?.id === id;
      const before = isKnown ? told.find((each) => each.name === name) : undefined;
      if (before !== undefined) return before;
      const { pid, uid } = process ?? UNKNOWN_PEER;
      return { name, qmp: `${PREFIX}${name}`, pid, uid };
    });
    for (const { name, pid } of this.#told) if (pid > 0) this.#names.set(pid, name);
    this.#onVms(this.#told);
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
    this.#leaving.clear();
    this.#loop.disarm(this);
    this.#close(() => true);
  }

  /** Called by the loop: what is not explained by now is not waited for. */
  onTimer(): void {
    this.onDomains(this.#listed);
  }

  /** Domains that have just ended, of which libvirt is about to say why. */
  #withoutReason(listed: readonly Domain[]): Domain[] {
    const running = new Set(listed.map(({ name }) => name));
    const nowNs = this.#loop.clock.nowNs();
    const kept: Domain[] = [];
    for (const domain of this.#domains.values()) {
      const { name } = domain;
      if (running.has(name) || this.#stopped.has(name)) continue;
      const untilNs = this.#leaving.get(name) ?? nowNs + REASON_NS;
      if (untilNs > nowNs) {
        this.#leaving.set(name, untilNs);
        kept.push(domain);
      }
    }
    for (const name of this.#leaving.keys()) {
      if (!kept.some((domain) => domain.name === name)) this.#leaving.delete(name);
    }
    if (kept.length === 0) this.#loop.disarm(this);
    else this.#loop.arm(this, Math.min(...this.#leaving.values()));
    return kept;
  }

  #connect(name: string): QmpAttempt {
    const loss = this.#lossNow(name);
    this.#refused.delete(name);
    this.#owned.delete(name);
    if (loss !== undefined) return { outcome: "failed", loss };
    this.#tellTaint(name);
    try {
      const line = this.#lineOf(name);
      // What was asked before has not returned: asked once more it would hold another worker of libvirtd's.
      if (line === undefined || line.isAsked) return { outcome: "failed", loss: SILENT };
      const host: DomainMonitorHost = {
        onEnd: (ended) => this.#monitors.delete(ended),
        onRefused: (ended, result) => this.#onRefused(ended, result),
        mayOwn: this.#mayOwn && this.#session.passesFiles,
        onOwn: (ended) => this.#onOwn(ended),
        onNoOwn: (_, why) =>
          this.#log.warn("QEMU gives no monitor of our own: commands go by libvirt", {
            domain: printable(name, 64),
            why: printable(why, 512),
          }),
      };
      const open: OpenQmpStream = (listener) => {
        const monitor = new DomainMonitor(this.#loop, line, host, listener);
        this.#monitors.add(monitor);
        return monitor;
      };
      return { outcome: "carried", open, peer: this.#peerOf(name) };
    } catch (error) {
      if (!(error instanceof OsError)) throw error;
      return {
        outcome: "failed",
        loss: { ...AWAY, text: "libvirt cannot be reached", remedy: connectFailure(error) },
      };
    }
  }

  /**
   * The line to a domain, made when there is none; undefined when libvirt or the domain is away.
   *
   * @throws {OsError} when libvirtd cannot be reached
   */
  #lineOf(name: string): DomainLine | undefined {
    const domain = this.#domains.get(name);
    if (this.#session.client === null || domain === undefined) return undefined;
    const made = this.#lines.get(name) ??
      new DomainLine(this.#address, this.#loop, domain, (line) => {
        if (this.#lines.get(name) === line) this.#lines.delete(name);
      });
    this.#lines.set(name, made);
    return made;
  }

  /** Why this domain's monitor cannot be had, as far as libvirt or its absence tells. */
  #lossNow(name: string): QmpLoss | undefined {
    if (this.#session.client === null) {
      const { why } = this.#session;
      return why === "" ? AWAY : { ...AWAY, remedy: why };
    }
    if (this.#domains.has(name)) return this.#refused.get(name);
    const why = this.#stopped.get(name);
    // Also when its QEMU had not said so before it ended.
    if (why === MIGRATED_AWAY) return MIGRATED;
    return why === undefined ? NO_DOMAIN : { ...NO_DOMAIN, remedy: `${why}; start it` };
  }

  #onRefused(monitor: DomainMonitor, result: CallResult<unknown> & { readonly ok: false }): void {
    this.#monitors.delete(monitor);
    const { name } = monitor.domain;
    if (this.#refused.size >= MAX_STOPPED) this.#refused.clear();
    if (result.isClosed) {
      this.#refused.set(name, { ...AWAY, text: "the way through libvirt has ended", remedy: result.why });
      return;
    }
    this.#refused.set(name, {
      reason: result.isDenied ? SEAM_REASON.NO_PERMISSION : SEAM_REASON.PEER_CLOSED,
      code: CODE.refused,
      text: "libvirt refuses commands to this QEMU",
      // First what to do: libvirt's words may be long, and what is told has an end.
      remedy: `${result.isDenied ? `${LET_SPEAK}; ` : ""}libvirt says: ${result.why}`,
    });
  }

  #onOwn(monitor: DomainMonitor): void {
    this.#monitors.delete(monitor);
    const { name } = monitor.domain;
    this.#owned.add(name);
    this.#log.info("QEMU has a monitor of our own: commands go to it without libvirt", {
      domain: printable(name, 64),
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

  #peerOf(name: string): QmpPeer {
    return this.#processOf(name) ?? UNKNOWN_PEER;
  }

  #processOf(name: string): QmpPeer | undefined {
    return domainProcess(this.#address.socket, name);
  }

  #close(isMeant: (domain: Domain) => boolean): void {
    for (const monitor of this.#monitors) if (isMeant(monitor.domain)) monitor.end();
    this.#ways.close(isMeant);
    for (const [name, line] of this.#lines) {
      if (!isMeant(line.domain)) continue;
      this.#lines.delete(name);
      line.close();
    }
  }
}
