/**
 * The port of a host integration: something on the host that knows VMs, such as libvirt. It has two halves.
 * The declaration says what it is called and how its table of the config is read; every thread loads it. The
 * maker makes the host itself; only the loop's thread loads it.
 *
 * A host tells which of its VMs run, and is the way to the monitor of each: `qmp = "NAME:VM"`.
 * @module
 */
import type { Log } from "../base/log.ts";
import type { LoopPort } from "../core/adapter_port.ts";
import type { QmpTransport } from "../qemu/monitor/qmp_transport.ts";
import type { VmWays } from "../qemu/monitor/vm_ways.ts";
import type { TableReader } from "../toml/table_reader.ts";

/** What every host's table of the config has. */
export interface HostConfig {
  /** Whether its running VMs are attached by themselves. */
  readonly discover: boolean;
}

/** What is known of a host without it. */
export interface HostDeclaration<C extends HostConfig> {
  /**
   * Reads its table of the config, to the end.
   *
   * @throws {Fault} `bad-argument` with file, line and key
   */
  readonly read: (table: TableReader) => C;
}

/** A VM of a host that runs. */
export interface HostedVm {
  /** What the host calls it: as outside as the host itself. */
  readonly name: string;
  /** The way to its monitor, "NAME:VM". */
  readonly qmp: string;
  /** QEMU's process; 0 unknown. */
  readonly pid: number;
  /** Who runs it; -1 unknown. */
  readonly uid: number;
}

/** What a host is made with. */
export interface HostParts {
  /** On which it runs: a host never waits. */
  readonly loop: LoopPort;
  /** Where it logs. */
  readonly log: Log;
  /** Whether a uid is root's, the daemon's own, or that of one of these users (names or numbers). */
  readonly isTrusted: (uid: number, users: readonly string[]) => boolean;
  /** To be told all VMs that run, whenever some have come or gone. */
  readonly onVms: (vms: readonly HostedVm[]) => void;
}

/** A host. What it hears from outside ends its own connection, never the daemon. */
export interface Host {
  /** Begins to tell of VMs. Called once. */
  start(): void;
  /** Ends: monitors close, nothing more is told. Called once. */
  stop(): void;
  /**
   * The way to a VM's monitor. It may be asked before the host is reached, and for a VM that does not run:
   * then connecting fails, and is tried again.
   *
   * @param vm what the host calls it
   */
  transport(vm: string): QmpTransport;
  /**
   * What it opens of one of its VMs beside the monitor, for a monitor that was found without it; undefined
   * when no VM of its is that process.
   */
  waysOf(pid: number): VmWays | undefined;
}

/** Makes a host, at rest. */
export type HostMaker<C extends HostConfig> = (config: C, parts: HostParts) => Host;
