/**
 * How a client asks for a lease: at once or denied, or waiting until it is given back; with a message for
 * those who have it or watch.
 * @module
 */
import { Fault } from "../base/fault.ts";
import type { LeaseClass } from "../event/body_number.ts";
import { KIND, type Kind } from "../event/kind.ts";
import { CLAIM_FLAG, MAX_LEASE_MESSAGE } from "../event/kinds/lease_kinds.ts";
import { BODY, type TransferEvent } from "../event/transfer_event.ts";
import type { CommandOptions } from "./command_options.ts";

/** How a lease is acquired. */
export interface AcquireOptions extends CommandOptions {
  /** Have it revoked when this client has not been heard for that long, ms; the client keeps it alive. */
  readonly ttlMs?: number;
  /** Why, for whoever has it or watches: at most {@linkcode MAX_LEASE_MESSAGE} bytes. */
  readonly message?: string;
  /**
   * Wait until it is given back where it would be denied. `timeoutMs` then has no default: it waits as long
   * as it takes, or until `signal` aborts. False unless told.
   */
  readonly wait?: boolean;
}

/** A command that asks for a lease. */
export interface Claim {
  /** Its kind. */
  readonly kind: Kind;
  /** Writes it. */
  readonly fill: (event: TransferEvent) => void;
  /** How long it may take. */
  readonly options: CommandOptions;
}

/**
 * The command that asks for a lease.
 *
 * @param what what it does, for messages
 * @param knowsClaims whether the daemon knows more than CMD_ACQUIRE: without that the message is not told
 * @throws {Fault} `bad-argument` for a message that is too long; `not-supported` when the daemon knows no
 *   waiting
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

/** Whether a claim was given up, and may still wait at the daemon. */
export function isGivenUp(error: unknown): boolean {
  return error instanceof Fault && (error.code === "interrupted" || error.code === "timed-out");
}
