/**
 * The other thread of event_fd_test.ts: signals the eventfd whose number it is told.
 * @module
 */
import { EventFd } from "../../../ffi/event_fd.ts";

self.onmessage = (message: MessageEvent<number>): void => {
  EventFd.borrow(message.data).signal(41);
  self.postMessage("done");
};
