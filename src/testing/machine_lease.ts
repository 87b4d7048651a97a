/**
 * Leases as a test takes them: for the keyboard and mouse with the first key, kept until the machine is
 * disposed of; for power around one call. A lease that another control owns fails the call, or is waited for.
 * @module
 */
import type { EndpointId } from "../base/ids.ts";
import { Fault } from "../base/fault.ts";
import { KIND } from "../event/kind.ts";
import { pause } from "../client/pause.ts";
import type { Client } from "../client/client.ts";
import { DEFAULT_TIMEOUT_MS } from "../client/command_options.ts";
import { InputControl } from "../client/input_control.ts";
import type { Lease, LeaseClassName } from "../client/lease.ts";

/** How often a lease is tried at a daemon that lets nobody wait for it. */
const TRY_MS = 200;

/** How a lease is taken. */
export interface LeaseTaking {
  /** How long it may take in all, ms. */
  readonly timeoutMs: number;
  /** Whether it is waited for while another control owns it. */
  readonly waits: boolean;
  /** Why, for whoever owns it or watches. */
  readonly message?: string;
}

/** Takes a lease. */
export async function takeLease(
  client: Client,
  endpoint: EndpointId,
  className: LeaseClassName,
  { timeoutMs, waits, message = "" }: LeaseTaking,
): Promise<Lease> {
  const endMs = performance.now() + timeoutMs;
  const knowsWaiting = client.knowsKind(KIND.CMD_LEASE_CLAIM);
  for (;;) {
    const leftMs = () => Math.max(1, Math.ceil(endMs - performance.now()));
    try {
      return await client.acquire(endpoint, className, { timeoutMs: leftMs(), message });
    } catch (error) {
      const isOwned = error instanceof Fault && error.code === "busy";
      if (!isOwned || !waits) throw error;
      if (knowsWaiting) {
        return await waitFor(client, { endpoint, className, message, leftMs: leftMs(), error });
      }
      if (performance.now() + TRY_MS > endMs) throw error;
    }
    await pause(TRY_MS, undefined);
  }
}

/** Waits until it is given back; after that time the refusal that says whose it is. */
async function waitFor(
  client: Client,
  { endpoint, className, message, leftMs, error }: {
    readonly endpoint: EndpointId;
    readonly className: LeaseClassName;
    readonly message: string;
    readonly leftMs: number;
    readonly error: Fault;
  },
): Promise<Lease> {
  try {
    return await client.acquire(endpoint, className, { timeoutMs: leftMs, message, wait: true });
  } catch (late) {
    throw late instanceof Fault && late.code === "timed-out" ? error : late;
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
   * Keyboard and mouse for one step; taken anew when they were lost to another control. What is sent may take
   * as long as the step.
   *
   * @throws {Fault} `busy`, `no-capability`, …
   */
  async use(taking: LeaseTaking): Promise<InputControl> {
    const known = await this.#input?.catch(() => undefined);
    const timeoutMs = Math.max(DEFAULT_TIMEOUT_MS, taking.timeoutMs);
    if (known?.lease.owned === true) return new InputControl(this.#client, known.lease, { timeoutMs });
    const taken = takeLease(this.#client, this.#endpoint, "input", taking)
      .then((lease) => new InputControl(this.#client, lease, { timeoutMs }));
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
