/**
 * Stops and resumes a VM for GDB, under the POWER lease, which is owned while this has stopped the VM. A VM
 * that somebody else has stopped stays stopped.
 * @module
 */
import { assert } from "../../base/assert.ts";
import { Fault } from "../../base/fault.ts";
import type { EndpointId } from "../../base/ids.ts";
import type { Client } from "../client.ts";
import type { Lease } from "../lease.ts";

/** The run state of a VM. */
export class VmRun {
  readonly #client: Client;
  readonly #endpoint: EndpointId;
  /** Owned while this has stopped the VM. */
  #lease: Lease | undefined;

  /** Sends nothing yet. */
  constructor(client: Client, endpoint: EndpointId) {
    this.#client = client;
    this.#endpoint = endpoint;
  }

  /** Whether it runs, from QEMU. */
  async isRunning(): Promise<boolean> {
    return (await this.#client.vm(this.#endpoint).state()).state === "running";
  }

  /**
   * Stops it, unless it is stopped.
   *
   * @throws {Fault} `busy` when another control owns the POWER lease; `no-capability`, `outside-grant`
   */
  async stop(): Promise<void> {
    if (!await this.isRunning()) return;
    await this.#release();
    const lease = await this.#client.acquire(this.#endpoint, "power");
    try {
      await this.#client.vm(this.#endpoint, "stop");
    } catch (error) {
      await lease.release();
      throw error;
    }
    assert(this.#lease === undefined, "one lease is owned at most");
    this.#lease = lease;
  }

  /**
   * Resumes it, unless it runs.
   *
   * @throws {Fault} as {@linkcode VmRun.stop}; `refused` for a VM that cannot resume
   */
  async cont(): Promise<void> {
    if (!await this.isRunning()) {
      if (this.#lease?.owned !== true) {
        await this.#release();
        this.#lease = await this.#client.acquire(this.#endpoint, "power");
      }
      try {
        await this.#client.vm(this.#endpoint, "cont");
      } catch (error) {
        if (!(error instanceof Fault)) throw error;
        throw new Fault(error.code, `${error.message}; the VM stays stopped`, { cause: error });
      }
    }
    await this.#release();
  }

  /**
   * Resumes the VM if this had stopped it. If another control has taken the lease meanwhile, that control
   * decides.
   *
   * @throws {Fault} when it cannot be told to
   */
  async leave(): Promise<void> {
    try {
      if (this.#lease?.owned === true) await this.cont();
    } finally {
      await this.#release();
    }
  }

  async #release(): Promise<void> {
    const lease = this.#lease;
    this.#lease = undefined;
    await lease?.release();
  }
}
