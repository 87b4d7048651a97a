/**
 * A VM's control plane for a program: its state, power commands, snapshots.
 * @module
 */
import { Fault } from "../base/fault.ts";
import { decodeBounded, EVENT_CBOR } from "../event/bounded_cbor.ts";
import {
  LIFE,
  MIGRATION_WAY_NAMES,
  SNAPSHOT_OP,
  SNAPSHOT_OP_NAMES,
  type SnapshotOp,
  VM_DETAIL_NAMES,
  VM_OP,
  VM_STATE_NAMES,
} from "../event/body_number.ts";
import { KIND, type Kind } from "../event/kind.ts";
import { MAX_SNAPSHOT_NAME } from "../event/kinds/vm_kinds.ts";
import { BODY } from "../event/transfer_event.ts";
import type { ClientEvent } from "./client_event.ts";
import { unexpectedAnswer } from "./command_fault.ts";
import type { CommandOptions } from "./command_options.ts";
import type { ClientPort } from "./client_port.ts";
import type { EndpointRef } from "./roster_view.ts";

/** RAM is written to or read from a disk, which takes time. */
const SNAPSHOT_TIMEOUT_MS = 1_800_000;

/** Commands to a VM. All but `stop`, `cont` and `wakeup` need the POWER lease. */
export type VmOperation = "stop" | "cont" | "reset" | "powerdown" | "wakeup" | "quit";

/** A VM's state. */
export interface VmState {
  /** Its name: "running", "paused", … */
  readonly state: string;
  /** The reason, from QEMU: "none", "host-request", … */
  readonly detail: string;
  /** "incoming", "outgoing", or "left" for a VM that now runs on another host; omitted otherwise. */
  readonly migration?: string;
}

/** A snapshot. */
export interface VmSnapshot {
  /** Its name. Text from outside: escape it before it is shown. */
  readonly name: string;
  /** When it was saved, ms since 1970. */
  readonly savedMs: number;
  /** How long the VM had run before, ms. */
  readonly clockMs: number;
  /** Size of RAM and device state, bytes; 0 for one that has only disks. */
  readonly stateBytes: number;
  /** The VM's disks that lack it; if there are any, it cannot be loaded. */
  readonly missing: readonly string[];
}

/** A VM's snapshots. */
export interface VmSnapshots {
  /** The snapshots, oldest first. */
  readonly snapshots: readonly VmSnapshot[];
  /** Number of older ones that are not listed. */
  readonly left: number;
  /** The disks that the VM writes to. */
  readonly disks: readonly { readonly name: string; readonly format: string }[];
  /** Why none can be saved, and what to do about it; empty when that is possible. */
  readonly why: string;
  /** The operation in progress; null when there is none. */
  readonly job: { readonly operation: string; readonly name: string } | null;
}

const COMMANDS: Readonly<Record<VmOperation, readonly [kind: Kind, op: number]>> = {
  stop: [KIND.CMD_VM, VM_OP.STOP],
  cont: [KIND.CMD_VM, VM_OP.CONT],
  reset: [KIND.CMD_VM, VM_OP.RESET],
  powerdown: [KIND.CMD_VM, VM_OP.POWERDOWN],
  quit: [KIND.CMD_VM, VM_OP.QUIT],
  // CMD_VM has no wakeup; it is a CMD_LIFECYCLE of the same seam.
  wakeup: [KIND.CMD_LIFECYCLE, LIFE.WAKEUP],
};

/** The control plane of one VM. */
export class VmControl {
  readonly #client: ClientPort;
  readonly #ref: EndpointRef;

  /** Sends nothing yet. */
  constructor(client: ClientPort, ref: EndpointRef) {
    this.#client = client;
    this.#ref = ref;
  }

  /** Its current state, from QEMU. */
  async state(options: CommandOptions = {}): Promise<VmState> {
    const endpoint = await this.#client.endpoint(this.#ref);
    const what = `query ${this.#client.roster.nameOf(endpoint)}`;
    const answer = await this.#client.command(KIND.CMD_VM, endpoint, what, (event) => {
      event.words[0] = VM_OP.QUERY;
    }, options);
    const vm = answer.as("VM_LIFECYCLE");
    if (vm === undefined) throw unexpectedAnswer(what, answer.kindName);
    const migration = MIGRATION_WAY_NAMES[vm.migration];
    return {
      state: VM_STATE_NAMES[vm.state] ?? `state-${vm.state}`,
      detail: VM_DETAIL_NAMES[vm.detail] ?? `detail-${vm.detail}`,
      ...(vm.migration === 0 || migration === undefined ? {} : { migration }),
    };
  }

  /**
   * Sends a command to the VM and waits until it is confirmed. `reset`, `powerdown` and `quit` need the POWER
   * lease, which the client must own.
   *
   * @returns the ACT_ACK
   */
  async operate(operation: VmOperation, options: CommandOptions = {}): Promise<ClientEvent> {
    const endpoint = await this.#client.endpoint(this.#ref);
    const [kind, op] = COMMANDS[operation];
    const what = `${operation} ${this.#client.roster.nameOf(endpoint)}`;
    return await this.#client.command(kind, endpoint, what, (event) => {
      event.words[0] = op;
    }, options);
  }

  /** Its current snapshots, from QEMU. */
  async snapshots(options: CommandOptions = {}): Promise<VmSnapshots> {
    const answer = await this.#snapshot(SNAPSHOT_OP.LIST, "", options);
    if (answer.kind !== KIND.SNAPSHOT_LIST) throw unexpectedAnswer("list snapshots", answer.kindName);
    return readSnapshotList(answer.body);
  }

  /**
   * Saves the whole VM (RAM, devices and disks) under a new name in its qcow2 disks. The VM is paused
   * meanwhile; resolves when it is saved. Needs the POWER lease, which the client must own.
   *
   * @throws {Fault} `refused` with the reason: no disk can hold it, the name is taken, or QEMU's own message;
   *   `busy`
   */
  async save(name: string, options: CommandOptions = {}): Promise<void> {
    await this.#snapshot(SNAPSHOT_OP.SAVE, name, options);
  }

  /**
   * Returns the VM to a snapshot: its changes since then are lost, and its memory context ends
   * (MEMCTX_INVALIDATED). It runs afterwards if it was running before. Needs the POWER lease, which the
   * client must own.
   *
   * @throws {Fault} `refused` with the reason; `busy`
   */
  async load(name: string, options: CommandOptions = {}): Promise<void> {
    await this.#snapshot(SNAPSHOT_OP.LOAD, name, options);
  }

  /**
   * Deletes a snapshot from all disks. Needs the POWER lease, which the client must own.
   *
   * @throws {Fault} `refused` with the reason; `busy`
   */
  async delete(name: string, options: CommandOptions = {}): Promise<void> {
    await this.#snapshot(SNAPSHOT_OP.DELETE, name, options);
  }

  async #snapshot(op: SnapshotOp, name: string, options: CommandOptions): Promise<ClientEvent> {
    const endpoint = await this.#client.endpoint(this.#ref);
    const vm = this.#client.roster.nameOf(endpoint);
    const what = op === SNAPSHOT_OP.LIST
      ? `list the snapshots of ${vm}`
      : `${SNAPSHOT_OP_NAMES[op]} snapshot ${name} of ${vm}`;
    const bytes = new TextEncoder().encode(name);
    if (op !== SNAPSHOT_OP.LIST && (bytes.length === 0 || bytes.length > MAX_SNAPSHOT_NAME)) {
      throw new Fault("bad-argument", `Cannot ${what}: a name has 1 to ${MAX_SNAPSHOT_NAME} bytes`);
    }
    return await this.#client.command(KIND.CMD_SNAPSHOT, endpoint, what, (event) => {
      event.words[0] = op;
      if (bytes.length > 0) event.setBody(BODY.RAW, bytes);
    }, op === SNAPSHOT_OP.LIST ? options : { timeoutMs: SNAPSHOT_TIMEOUT_MS, ...options });
  }
}

/**
 * The body of a SNAPSHOT_LIST.
 *
 * @throws {Fault} `protocol-error`
 */
export function readSnapshotList(body: Uint8Array): VmSnapshots {
  const value = decodeBounded(body, EVENT_CBOR) as Record<string, unknown> | null;
  const { snapshots, disks, left, why, job } = value ?? {};
  if (!Array.isArray(snapshots) || !Array.isArray(disks)) {
    throw new Fault("protocol-error", "Cannot list snapshots: the daemon answers with something else");
  }
  return {
    snapshots: snapshots.map((one) => {
      const { name, savedMs, clockMs, stateBytes, missing } = (one ?? {}) as Record<string, unknown>;
      return {
        name: textOf(name),
        savedMs: numberOf(savedMs),
        clockMs: numberOf(clockMs),
        stateBytes: numberOf(stateBytes),
        missing: Array.isArray(missing) ? missing.map(textOf) : [],
      };
    }),
    left: numberOf(left),
    disks: disks.map((one) => {
      const { name, format } = (one ?? {}) as Record<string, unknown>;
      return { name: textOf(name), format: textOf(format) };
    }),
    why: textOf(why),
    job: typeof job === "object" && job !== null
      ? {
        operation: SNAPSHOT_OP_NAMES[numberOf((job as Record<string, unknown>)["op"])] ?? "",
        name: textOf((job as Record<string, unknown>)["name"]),
      }
      : null,
  };
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function numberOf(value: unknown): number {
  return typeof value === "number" && Number.isFinite(value) ? value : 0;
}
