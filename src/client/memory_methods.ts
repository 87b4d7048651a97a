/**
 * The methods of `Client` that watch values in a VM's memory.
 * @module
 */
import type { Welcome } from "./handshake.ts";
import type { MemoryView } from "./memory_view.ts";
import type { MemoryWatchOptions, WatchedValue } from "./memory_event.ts";
import type { MemoryWatcher } from "./memory_watch.ts";
import { ScreenMethods } from "./screen_methods.ts";

/** Memory of VMs. */
export abstract class MemoryMethods extends ScreenMethods {
  /** What the daemon grants this connection. */
  abstract get grant(): Welcome;
  /** How each VM's memory stands. */
  abstract get memory(): MemoryView;

  /**
   * Watches values in guests' memory: each is reported once, and then whenever it has changed, as long as the
   * VM's system runs; after a reset this begins again. The memory is read on a separate thread, for thousands
   * of values at once. The client must receive the source MEMCTX, and no earlier stream may have taken the
   * contexts.
   *
   * @example
   * ```ts
   * const values = [{ endpoint: "web", address: "jiffies", sizeBytes: 8 }];
   * for await (const event of await client.watchMemory(values, { rateHz: 100 })) {
   *   if (event.what === "value") console.log(event.value);
   *   if (event.what === "rate") console.log(`${event.missed} rounds were skipped`);
   * }
   * ```
   *
   * @throws {Fault} `bad-argument`, `too-large`, `no-endpoint`, `no-capability`; `busy` when an earlier
   *   stream took the context; `seam-down`, `not-supported` when there is none
   */
  async watchMemory(
    values: readonly WatchedValue[],
    options: MemoryWatchOptions = {},
  ): Promise<MemoryWatcher> {
    const { MemoryWatcher } = await import("./memory_watch.ts");
    return await MemoryWatcher.start(this, values, options);
  }
}
