/**
 * Shows the last lines of a guest's own log after its crash event, for users who may read its memory.
 *
 * A VM that panics usually ends soon, and its context with it. So the newest context of each VM is kept from
 * the start, with open descriptors but unmapped, and read when the event arrives. After QEMU has ended, the
 * file still has the RAM's last contents.
 * @module
 */
import type { EndpointId } from "../../base/ids.ts";
import { messageOf } from "../../base/fault.ts";
import { ROSTER_STATE, VM_STATE_NUMBER } from "../../event/body_number.ts";
import { KIND } from "../../event/kind.ts";
import type { LogRecord } from "../../guest/insight.ts";
import type { Client } from "../client.ts";
import type { ClientEvent } from "../client_event.ts";
import { GuestView } from "../guest_view.ts";

/** MEMCTX_INVALIDATED's reason when the VM has ended: its RAM no longer changes. */
const ENDPOINT_GONE = 1;

/** The end of a guest's log, or why there is none. */
export type CrashLog = { readonly records: readonly LogRecord[] } | { readonly why: string };

/**
 * Number of records before the last ones in which the panic's own message is searched, since stack traces
 * follow it.
 */
const PANIC_LOOK_BACK = 256;

/** The last records, and before them the panic's own message if it is not among them. */
function withPanic(records: readonly LogRecord[], last: number): readonly LogRecord[] {
  const tail = records.slice(-last);
  const panic = records.slice(0, -last).findLast(({ text }) => text.startsWith("Kernel panic"));
  return panic === undefined ? tail : [panic, ...tail];
}

/** Keeps contexts, and reads the logs of VMs that have crashed. */
export class CrashLogs implements Disposable {
  readonly #client: Client;
  readonly #last: number;
  readonly #contexts = new Map<EndpointId, ClientEvent>();

  /**
   * Keeps nothing yet.
   *
   * @param client should receive the source MEMCTX
   * @param last number of records per log, at least 1; the panic's own message is added
   */
  constructor(client: Client, last: number) {
    this.#client = client;
    this.#last = last;
  }

  /** Processes any event: contexts are kept. */
  update(event: ClientEvent): void {
    const { endpoint, kind } = event;
    if (kind === KIND.MEMCTX) {
      this.#forget(endpoint);
      // A copy, because the event is also printed.
      this.#contexts.set(endpoint, event.share());
    } else if (kind === KIND.MEMCTX_INVALIDATED) {
      if (event.as("MEMCTX_INVALIDATED")?.reason !== ENDPOINT_GONE) this.#forget(endpoint);
    } else if (kind === KIND.ROSTER && event.as("ROSTER")?.state === ROSTER_STATE.GONE) {
      this.#forget(endpoint);
    } else if (kind === KIND.RECONNECTED) this[Symbol.dispose]();
  }

  /** Whether an event reports a crash. */
  static isCrash(event: ClientEvent): boolean {
    return event.as("VM_LIFECYCLE")?.state === VM_STATE_NUMBER.CRASHED;
  }

  /** The end of the log of a VM that has crashed; undefined for a user who may not read its memory. */
  async read(endpoint: EndpointId): Promise<CrashLog | undefined> {
    const context = this.#contexts.get(endpoint);
    if (context === undefined) {
      const trouble = this.#client.memory.trouble(endpoint);
      return trouble === undefined ? undefined : { why: trouble.text };
    }
    try {
      await using view = GuestView.of(this.#client, context.share());
      if (!view.guest.found) return { why: `${view.guest.reason}: ${view.guest.detail}` };
      const insight = view.guest.os.insight();
      if ("unsupported" in insight) return { why: insight.unsupported };
      const log = insight.log(this.#last + PANIC_LOOK_BACK);
      view.memory.verify();
      return "unsupported" in log ? { why: log.unsupported } : { records: withPanic(log.items, this.#last) };
    } catch (error) {
      // A failure here must not hide the event.
      return { why: messageOf(error) };
    }
  }

  /** Closes what was kept. */
  [Symbol.dispose](): void {
    for (const endpoint of [...this.#contexts.keys()]) this.#forget(endpoint);
  }

  #forget(endpoint: EndpointId): void {
    this.#contexts.get(endpoint)?.[Symbol.dispose]();
    this.#contexts.delete(endpoint);
  }
}
