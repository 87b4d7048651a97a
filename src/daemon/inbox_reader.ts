/**
 * The loop's side of its inbox: a ring in shared memory into which the main thread (inbox_writer.ts) and
 * other threads put messages. A bounded number is taken per turn, and what handling one throws is contained:
 * it costs that message and nothing else.
 * @module
 */
import { EventFd } from "../../ffi/event_fd.ts";
import { IN } from "../../ffi/poller.ts";
import type { Log } from "../base/log.ts";
import { SharedRing, type SharedRingHandle } from "../context/shared_ring.ts";
import type { FdHandler } from "../core/adapter_port.ts";
import type { Loop } from "../core/loop.ts";
import type { InboxTag } from "./plan.ts";

/** Messages that are taken in one turn: a config comes in hundreds of pieces. */
const MESSAGES_PER_TURN = 16;

/** What is done with a message, by its tag. */
export type InboxHandlers = Readonly<Record<InboxTag, (message: Uint8Array) => void>>;

/** Takes messages out of an inbox. */
export class InboxReader implements FdHandler, Disposable {
  readonly #handle: SharedRingHandle;
  readonly #ring: SharedRing;
  readonly #loop: Loop;
  readonly #log: Log;
  readonly #handlers: ReadonlyMap<number, (message: Uint8Array) => void>;

  /** Takes messages from the loop's next turn on. */
  constructor(handle: SharedRingHandle, loop: Loop, log: Log, handlers: InboxHandlers) {
    this.#handle = handle;
    this.#ring = new SharedRing(handle);
    this.#loop = loop;
    this.#log = log;
    this.#handlers = new Map(Object.entries(handlers).map(([tag, handler]) => [Number(tag), handler]));
    loop.watch(handle.eventFd, IN, this);
  }

  onReady(): void {
    this.#ring.drain((tag, message) => {
      try {
        const handle = this.#handlers.get(tag);
        if (handle === undefined) this.#log.error("unknown message in the inbox", { tag });
        else handle(message);
      } catch (error) {
        this.#loop.faults.contain("message", error, {
          faultAccount: () => ({ name: `message ${tag} of the inbox` }),
        });
      }
    }, MESSAGES_PER_TURN);
  }

  /** Whose fault it is: each message is contained by itself. */
  faultAccount(): { readonly name: string } {
    return { name: "the inbox" };
  }

  /** Called by the loop: what failed before a message was read is tried again. */
  onFault(): void {}

  /** Takes nothing more, and leaves the eventfd as if nothing had come: it is the main thread's. */
  [Symbol.dispose](): void {
    this.#loop.unwatch(this.#handle.eventFd);
    EventFd.borrow(this.#handle.eventFd).drain();
  }
}
