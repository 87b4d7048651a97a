/**
 * Leases as a test takes them: for the keyboard and mouse with the first key, kept until the machine is let
 * go of; for power around one call. A lease that another control owns fails the call, or is waited for.
 * @module
 */
import type { EndpointId } from "../base/ids.ts";
import { Fault } from "../base/fault.ts";
import { pause } from "../client/pause.ts";
import type { Client } from "../client/client.ts";
import { InputControl } from "../client/input_control.ts";
import type { Lease, LeaseClassName } from "../client/lease.ts";

/** How often a lease that is waited for is tried; nothing tells who does not own it that it is free. */
const TRY_MS = 200;

/** How a lease is taken. */
export interface LeaseTaking {
  /** How long it may take in all, ms. */
  readonly timeoutMs: number;
  /** Whether it is waited for while another control owns it. */
  readonly waits: boolean;
}

/** Takes a lease. */
export async function takeLease(
  client: Client,
  endpoint: EndpointId,
  className: LeaseClassName,
  { timeoutMs, waits }: LeaseTaking,
): Promise<Lease> {
  const endMs = performance.now() + timeoutMs;
  for (;;) {
    try {
      const leftMs = Math.max(1, Math.ceil(endMs - performance.now()));
      return await client.acquire(endpoint, className, { timeoutMs: leftMs });
    } catch (error) {
      const isOwned = error instanceof Fault && error.code === "busy";
      if (!isOwned || !waits || performance.now() + TRY_MS > endMs) throw error;
    }
    await pause(TRY_MS, undefined);
  }
}

/** The input lease of one endpoint, taken when it is needed. */
export class InputLease implements AsyncDisposable {
  readonly #client: Client;
  readonly #endpoint: EndpointId;
  #input: Promise<InputControl> | undefined;

  /** A lease that is not taken yet. */
  constructor(client: Client, endpoint: EndpointId) {
    this.#client = client;
    this.#endpoint = endpoint;
  }

  /**
   * Keyboard and mouse; taken anew when they were lost to another control.
   *
   * @throws {Fault} `busy`, `no-capability`, …
   */
  async use(taking: LeaseTaking): Promise<InputControl> {
    const known = await this.#input?.catch(() => undefined);
    if (known?.lease.owned === true) return known;
    const taken = takeLease(this.#client, this.#endpoint, "input", taking)
      .then((lease) => new InputControl(this.#client, lease));
    this.#input = taken;
    return await taken;
  }

  /** Gives it back: what is held down is released in the guest by then. */
  async [Symbol.asyncDispose](): Promise<void> {
    const known = await this.#input?.catch(() => undefined);
    this.#input = undefined;
    if (known !== undefined && this.#client.fault === undefined) await known[Symbol.asyncDispose]();
  }
}
