/**
 * How a client requests a lease: to get it or be denied at once, or to wait until it is given back; with a
 * message to its owner and other observers.
 * @module
 */
import { Fault } from "../base/fault.ts";
import type { LeaseClass } from "../event/body_number.ts";
import { KIND, type Kind } from "../event/kind.ts";
import { CLAIM_FLAG, MAX_LEASE_MESSAGE } from "../event/kinds/lease_kinds.ts";
import { BODY, type TransferEvent } from "../event/transfer_event.ts";
import type { CommandOptions } from "./command_options.ts";

/** Options for acquiring a lease. */
export interface AcquireOptions extends CommandOptions {
  /**
   * Revoke it when the daemon has not heard from this client for this long, ms; the client sends keepalives.
   */
  readonly ttlMs?: number;
  /** The reason, shown to its owner and other observers: at most {@linkcode MAX_LEASE_MESSAGE} bytes. */
  readonly message?: string;
  /**
   * Wait until it is given back if it would be denied. `timeoutMs` then has no default: it waits without
   * limit, or until `signal` aborts. False by default.
   */
  readonly wait?: boolean;
}

/** A command that requests a lease. */
export interface Claim {
  /** Its kind. */
  readonly kind: Kind;
  /** Writes its contents. */
  readonly fill: (event: TransferEvent) => void;
  /** Its time limit, ms. */
  readonly options: CommandOptions;
}

/**
 * The command that requests a lease.
 *
 * @param what what it does, for messages
 * @param knowsClaims whether the daemon knows CMD_LEASE_CLAIM; otherwise the message is not sent
 * @throws {Fault} `bad-argument` for a message that is too long; `not-supported` when the daemon cannot let
 *   it wait
 */
export function claimOf(
  what: string,
  cls: LeaseClass,
  { ttlMs = 0, message = "", wait = false, ...options }: AcquireOptions,
  knowsClaims: boolean,
): Claim {
  const bytes = new TextEncoder().encode(message);
  if (bytes.length > MAX_LEASE_MESSAGE) {
    throw new Fault(
      "bad-argument",
      `Cannot ${what}: the message has ${bytes.length} bytes, and may have ${MAX_LEASE_MESSAGE}`,
    );
  }
  if (wait && !knowsClaims) {
    throw new Fault(
      "not-supported",
      `Cannot ${what}: this daemon does not queue requests for a lease; update it`,
    );
  }
  if (!knowsClaims || (!wait && bytes.length === 0)) {
    const fill = (event: TransferEvent) => {
      event.words[0] = cls;
      event.words[2] = ttlMs;
    };
    return { kind: KIND.CMD_ACQUIRE, fill, options };
  }
  const fill = (event: TransferEvent) => {
    event.words[0] = cls;
    event.words[1] = wait ? CLAIM_FLAG.WAIT : 0;
    event.words[2] = ttlMs;
    if (bytes.length > 0) event.setBody(BODY.RAW, bytes);
  };
  return { kind: KIND.CMD_LEASE_CLAIM, fill, options: wait ? { timeoutMs: Infinity, ...options } : options };
}

/** Whether a claim was given up and may still be waiting at the daemon. */
export function isGivenUp(error: unknown): boolean {
  return error instanceof Fault && (error.code === "interrupted" || error.code === "timed-out");
}
