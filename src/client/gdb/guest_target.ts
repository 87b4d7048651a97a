/**
 * The common part of both targets: memory of one address space of the guest, read here and written by the
 * daemon, and the VM's run state.
 * @module
 */
import { Fault } from "../../base/fault.ts";
import { MAX_MEMWRITE_BYTES } from "../../base/limits.ts";
import type { AddressSpace } from "../../guest/address_space.ts";
import type { GuestOs } from "../../guest/guest_os.ts";
import type { GdbTarget, GdbThread } from "./gdb_target.ts";
import type { GuestContexts } from "./guest_contexts.ts";
import { VmRun } from "./vm_run.ts";
import type { RegisterLayout, RegisterValues } from "./x86_registers.ts";

/** An address space of the guest. */
export interface TargetSpace {
  /** The space. */
  readonly space: AddressSpace;
  /** Its root, for writing; omitted: the kernel's. */
  readonly root?: number;
}

/** A target in a guest. */
export abstract class GuestTarget implements GdbTarget {
  /** Its registers. */
  abstract readonly layout: RegisterLayout;
  /** The guest's memory, and its VM. */
  protected readonly contexts: GuestContexts;
  readonly #run: VmRun;

  /**
   * Debugs an open guest.
   *
   * @throws {Fault} `not-supported` for one that is not x86-64
   */
  constructor(contexts: GuestContexts) {
    const { architecture } = contexts.view().os.kernel.paging;
    if (architecture === "aarch64") {
      throw new Fault("not-supported", `Cannot serve ${contexts.name} to gdb: only guests of x86-64 are`);
    }
    this.contexts = contexts;
    this.#run = new VmRun(contexts.client, contexts.endpoint);
  }

  /** Its threads. */
  abstract threads(): Promise<readonly GdbThread[]>;
  /** Registers of a thread. */
  abstract registers(id: number): Promise<RegisterValues>;
  /** The auxiliary vector of a process. */
  abstract auxv(): Uint8Array | undefined;
  /** By how much the kernel was moved. */
  abstract offset(): bigint | undefined;
  /** The address space. */
  protected abstract spaceOf(os: GuestOs): TargetSpace;

  async read(address: number, length: number): Promise<Uint8Array> {
    const { view, os } = this.contexts.view();
    view.memory.renew();
    const bytes = new Uint8Array(length);
    const have = this.spaceOf(os).space.read(address, bytes);
    await view.check();
    return bytes.subarray(0, have);
  }

  async write(address: number, bytes: Uint8Array): Promise<void> {
    const { client, endpoint } = this.contexts;
    const { root } = this.spaceOf(this.contexts.view().os);
    const options = root === undefined ? {} : { cr3: root };
    await using _lease = await client.acquire(endpoint, "memwrite");
    for (let at = 0; at < bytes.length; at += MAX_MEMWRITE_BYTES) {
      const some = bytes.subarray(at, at + MAX_MEMWRITE_BYTES);
      await client.writeMemory(endpoint, address + at, some, options);
    }
  }

  isRunning(): Promise<boolean> {
    return this.#run.isRunning();
  }

  stop(): Promise<void> {
    return this.#run.stop();
  }

  cont(): Promise<void> {
    return this.#run.cont();
  }

  leave(): Promise<void> {
    return this.#run.leave();
  }
}
