/**
 * A small loop of its own over a poller, for what has no daemon around it: tests, and commands that serve one channel.
 * @module
 */
import { IN, Poller } from "../../ffi/poller.ts";
import { EventFd } from "../../ffi/event_fd.ts";
import type { FdCallback, FdRegistrar } from "./ivshmem_server.ts";

const WAKE_TAG = 0;

/** Watches descriptors, and calls back from {@linkcode PollerRegistrar.run}. */
export class PollerRegistrar implements FdRegistrar, Disposable {
  readonly #poller = new Poller(32);
  readonly #tags = new Map<number, number>();
  readonly #handlers = new Map<number, FdCallback>();
  readonly #wake: EventFd = EventFd.create();
  #lastTag = WAKE_TAG;
  #stopped = false;

  /** Makes one that watches nothing yet. */
  constructor() {
    this.#poller.add(this.#wake.fd, IN, WAKE_TAG);
  }

  /** See `FdRegistrar`. */
  watch(fd: number, events: number, handler: FdCallback): void {
    const tag = ++this.#lastTag; // never reused: an event of a closed descriptor finds nobody
    this.#poller.add(fd, events, tag);
    this.#tags.set(fd, tag);
    this.#handlers.set(tag, handler);
  }

  /** See `FdRegistrar`. */
  unwatch(fd: number): void {
    const tag = this.#tags.get(fd);
    if (tag === undefined) return;
    this.#tags.delete(fd);
    this.#handlers.delete(tag);
    this.#poller.remove(fd);
  }

  /** Serves until {@linkcode stop}; the thread goes on meanwhile. */
  async run(): Promise<void> {
    while (!this.#stopped) {
      const count = await this.#poller.waitAsync(-1);
      for (let i = 0; i < count; i++) {
        this.#handlers.get(this.#poller.tag(i))?.onReady(this.#poller.events(i));
      }
    }
  }

  /** Ends {@linkcode run}. */
  stop(): void {
    this.#stopped = true;
    this.#wake.signal();
  }

  /** Gives everything back; after run() has ended. */
  [Symbol.dispose](): void {
    this.#poller[Symbol.dispose]();
    this.#wake[Symbol.dispose]();
  }
}
