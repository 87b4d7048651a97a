/**
 * The last lines of a guest's own log beside the event that it has crashed, for who may read its memory.
 *
 * A VM that panics is mostly gone a moment later, and its context with it: so the newest context of each VM
 * is kept from the beginning, its descriptors open and nothing mapped, and read when the event comes. What
 * QEMU leaves behind when it ends is still the RAM as it was.
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

/** MEMCTX_INVALIDATED's reason when the VM has gone: its RAM stays what it was. */
const ENDPOINT_GONE = 1;

/** The end of a guest's log, or why there is none. */
export type CrashLog = { readonly records: readonly LogRecord[] } | { readonly why: string };

/** So many records before the last ones the panic's own message is looked for: traces of stacks follow it. */
const PANIC_LOOK_BACK = 256;

/** The last records, and before them the panic's own message when it is not among them. */
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
   * @param client receives the source MEMCTX where it may
   * @param last how many records a log is told with, from 1 on; the panic's own message comes along
   */
  constructor(client: Client, last: number) {
    this.#client = client;
    this.#last = last;
  }

  /** Takes an event in, whichever: those of contexts are kept. */
  update(event: ClientEvent): void {
    const { endpoint, kind } = event;
    if (kind === KIND.MEMCTX) {
      this.#forget(endpoint);
      // Of its own: the event goes on to whoever prints it.
      this.#contexts.set(endpoint, event.share());
    } else if (kind === KIND.MEMCTX_INVALIDATED) {
      if (event.as("MEMCTX_INVALIDATED")?.reason !== ENDPOINT_GONE) this.#forget(endpoint);
    } else if (kind === KIND.ROSTER && event.as("ROSTER")?.state === ROSTER_STATE.GONE) {
      this.#forget(endpoint);
    } else if (kind === KIND.RECONNECTED) this[Symbol.dispose]();
  }

  /** Whether an event tells of a crash. */
  static isCrash(event: ClientEvent): boolean {
    return event.as("VM_LIFECYCLE")?.state === VM_STATE_NUMBER.CRASHED;
  }

  /** The end of the log of a VM that has crashed; undefined for who may not read its memory. */
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
      // The event is worth more than what stands beside it.
      return { why: messageOf(error) };
    }
  }

  /** Closes what is kept. */
  [Symbol.dispose](): void {
    for (const endpoint of [...this.#contexts.keys()]) this.#forget(endpoint);
  }

  #forget(endpoint: EndpointId): void {
    this.#contexts.get(endpoint)?.[Symbol.dispose]();
    this.#contexts.delete(endpoint);
  }
}
