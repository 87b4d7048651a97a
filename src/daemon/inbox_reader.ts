/**
 * The loop's end of its inbox: a ring in shared memory into which the main thread (inbox_writer.ts) and other
 * threads write messages. A bounded number is handled per turn, and an exception is contained: it loses that
 * message and nothing else.
 * @module
 */
import { EventFd } from "../../ffi/event_fd.ts";
import { IN } from "../../ffi/poller.ts";
import type { Log } from "../base/log.ts";
import { SharedRing, type SharedRingHandle } from "../context/shared_ring.ts";
import type { FdHandler } from "../core/adapter_port.ts";
import type { Loop } from "../core/loop.ts";
import type { InboxTag } from "./plan.ts";

/** Messages handled per turn: a config comes in hundreds of pieces. */
const MESSAGES_PER_TURN = 16;

/** The handlers of messages, by tag. */
export type InboxHandlers = Readonly<Record<InboxTag, (message: Uint8Array) => void>>;

/** Reads messages from an inbox. */
export class InboxReader implements FdHandler, Disposable {
  readonly #handle: SharedRingHandle;
  readonly #ring: SharedRing;
  readonly #loop: Loop;
  readonly #log: Log;
  readonly #handlers: ReadonlyMap<number, (message: Uint8Array) => void>;

  /** Starts reading in the loop's next turn. */
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

  /** Names the owner of faults; each message is contained separately. */
  faultAccount(): { readonly name: string } {
    return { name: "the inbox" };
  }

  /** Called by the loop: an error before a message was read is retried. */
  onFault(): void {}

  /** Stops reading. The eventfd belongs to the main thread, and is left unsignalled. */
  [Symbol.dispose](): void {
    this.#loop.unwatch(this.#handle.eventFd);
    EventFd.borrow(this.#handle.eventFd).drain();
  }
}
