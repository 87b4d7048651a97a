/**
 * A VM's host plane for a program: its state, what it is told to do, its snapshots.
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

/** RAM goes to a disk, or comes from one. */
const SNAPSHOT_TIMEOUT_MS = 1_800_000;

/** What a VM is told to do. All but `stop`, `cont` and `wakeup` need the POWER lease. */
export type VmOperation = "stop" | "cont" | "reset" | "powerdown" | "wakeup" | "quit";

/** A VM's state. */
export interface VmState {
  /** Its name: "running", "paused", … */
  readonly state: string;
  /** Why, as QEMU tells: "none", "host-request", … */
  readonly detail: string;
  /** "incoming", "outgoing", or "left" for one that runs on another host now; left out when it stays. */
  readonly migration?: string;
}

/** A snapshot. */
export interface VmSnapshot {
  /** Its name. Outside text: escape it before it is shown. */
  readonly name: string;
  /** When it was saved, ms since 1970. */
  readonly savedMs: number;
  /** How long the VM had run by then, ms. */
  readonly clockMs: number;
  /** Bytes of RAM and devices; 0 for one that has only disks. */
  readonly stateBytes: number;
  /** Disks of the VM that lack it: with any, it cannot be loaded. */
  readonly missing: readonly string[];
}

/** A VM's snapshots. */
export interface VmSnapshots {
  /** Oldest first. */
  readonly snapshots: readonly VmSnapshot[];
  /** How many older ones are not told. */
  readonly left: number;
  /** The disks that the VM writes to. */
  readonly disks: readonly { readonly name: string; readonly format: string }[];
  /** Why none can be saved, with the remedy; empty when one can. */
  readonly why: string;
  /** What is under way; null when nothing is. */
  readonly job: { readonly operation: string; readonly name: string } | null;
}

const COMMANDS: Readonly<Record<VmOperation, readonly [kind: Kind, op: number]>> = {
  stop: [KIND.CMD_VM, VM_OP.STOP],
  cont: [KIND.CMD_VM, VM_OP.CONT],
  reset: [KIND.CMD_VM, VM_OP.RESET],
  powerdown: [KIND.CMD_VM, VM_OP.POWERDOWN],
  quit: [KIND.CMD_VM, VM_OP.QUIT],
  // CMD_VM has no wakeup; the same seam carries CMD_LIFECYCLE.
  wakeup: [KIND.CMD_LIFECYCLE, LIFE.WAKEUP],
};

/** One VM. */
export class VmControl {
  readonly #client: ClientPort;
  readonly #ref: EndpointRef;

  /** Asks nothing yet. */
  constructor(client: ClientPort, ref: EndpointRef) {
    this.#client = client;
    this.#ref = ref;
  }

  /** Its state, asked of it now. */
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
   * Tells it to do something and awaits its word that it did. `reset`, `powerdown` and `quit` need the POWER
   * lease, which the client must hold.
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

  /** Its snapshots, asked of it now. */
  async snapshots(options: CommandOptions = {}): Promise<VmSnapshots> {
    const answer = await this.#snapshot(SNAPSHOT_OP.LIST, "", options);
    if (answer.kind !== KIND.SNAPSHOT_LIST) throw unexpectedAnswer("list snapshots", answer.kindName);
    return readSnapshotList(answer.body);
  }

  /**
   * Saves the whole VM, its RAM, devices and disks, under a new name, into its qcow2 disks. The VM stands
   * still meanwhile; resolves when it is saved. Needs the POWER lease, which the client must hold.
   *
   * @throws {Fault} `refused` with why: no disk that can, the name is taken, QEMU's own words; `busy`
   */
  async save(name: string, options: CommandOptions = {}): Promise<void> {
    await this.#snapshot(SNAPSHOT_OP.SAVE, name, options);
  }

  /**
   * Brings the VM back to a snapshot: what it did since is lost. What was known of its memory ends
   * (MEMCTX_INVALIDATED). It runs then if it ran before. Needs the POWER lease, which the client must hold.
   *
   * @throws {Fault} `refused` with why; `busy`
   */
  async load(name: string, options: CommandOptions = {}): Promise<void> {
    await this.#snapshot(SNAPSHOT_OP.LOAD, name, options);
  }

  /**
   * Deletes a snapshot from all disks. Needs the POWER lease, which the client must hold.
   *
   * @throws {Fault} `refused` with why; `busy`
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
