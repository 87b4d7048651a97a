/**
 * The descriptors on which a link waits: one poller for a blocking wait, one for an asynchronous wait, and an
 * eventfd that wakes the second. All of them are made with the link, so that an established channel does not
 * fail for lack of descriptors.
 * @module
 */
import { EventFd } from "../../ffi/event_fd.ts";
import { IN, Poller } from "../../ffi/poller.ts";

/** A link's pollers; the caller closes them. */
export interface LinkPollers {
  /** For blocking waits. */
  readonly sync: Poller;
  /** For asynchronous waits. */
  readonly async: Poller;
  /** Ends an asynchronous wait. */
  readonly wake: EventFd;
}

/**
 * Makes them; if one cannot be made, none is left open.
 *
 * @param maxEvents events returned per wait
 * @param wakeTag the tag with which `async` reports the wake
 * @param watch adds the link's descriptors to each poller
 */
export function openPollers(
  maxEvents: number,
  wakeTag: number,
  watch: (poller: Poller) => void,
): LinkPollers {
  using made = new DisposableStack();
  const sync = made.use(new Poller(maxEvents));
  const async = made.use(new Poller(maxEvents));
  const wake = made.use(EventFd.create());
  for (const poller of [sync, async]) watch(poller);
  async.add(wake.fd, IN, wakeTag);
  made.move();
  return { sync, async, wake };
}
