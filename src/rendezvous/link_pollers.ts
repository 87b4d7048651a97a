/**
 * The descriptors by which a link waits: one poller for a thread that stops meanwhile, one for a thread that
 * goes on, and what wakes the second. All that a link will ever need is made with it: a channel that is
 * established does not end for lack of descriptors.
 * @module
 */
import { EventFd } from "../../ffi/event_fd.ts";
import { IN, Poller } from "../../ffi/poller.ts";

/** A link's pollers; whoever asks for them closes them. */
export interface LinkPollers {
  /** Waited for by a thread that stops. */
  readonly sync: Poller;
  /** Waited for by a thread that goes on. */
  readonly async: Poller;
  /** Ends a wait of the second. */
  readonly wake: EventFd;
}

/**
 * Makes them; none is left open when one cannot be made.
 *
 * @param maxEvents how many one wait tells at most
 * @param wakeTag the tag under which `async` tells of the wake
 * @param watch adds to each poller what the link hears
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
