/**
 * Small pictures of VMs, for those that somebody has in view: one a second at most, taken and encoded once
 * for everybody, and only when the screen has changed. When nobody looks nothing is asked of the VM.
 * @module
 */
import { assert } from "../base/assert.ts";
import { Fault } from "../base/fault.ts";
import type { Client } from "../client/client.ts";
import { pause } from "../client/pause.ts";
import { encodePng } from "../vgpu/png.ts";
import { scalePicture } from "../vgpu/scale.ts";

/** Pixels of a small picture's longer side, about. */
export const THUMBNAIL_SIDE = 320;
const REST_MS = 2000;

/** A small picture. */
export interface Thumbnail {
  /** A PNG. */
  readonly png: Uint8Array<ArrayBuffer>;
  /** Grows by one a picture. */
  readonly n: number;
}

interface Watch {
  readonly ending: AbortController;
  viewers: number;
  running: Promise<void>;
}

/** Small pictures of all VMs. */
export class Thumbnails implements AsyncDisposable {
  readonly #client: Client;
  readonly #onPicture: (vm: string, n: number) => void;
  readonly #watches = new Map<string, Watch>();
  readonly #pictures = new Map<string, Thumbnail>();
  #count = 0;

  /** Asks nothing yet. @param onPicture told of each new one */
  constructor(client: Client, onPicture: (vm: string, n: number) => void) {
    this.#client = client;
    this.#onPicture = onPicture;
  }

  /** VMs that are watched. */
  get watched(): number {
    return this.#watches.size;
  }

  /** The last one of a VM that somebody has in view. */
  of(vm: string): Thumbnail | undefined {
    return this.#pictures.get(vm);
  }

  /** Somebody has it in view. */
  see(vm: string): void {
    const there = this.#watches.get(vm);
    if (there !== undefined) {
      there.viewers++;
      return;
    }
    const ending = new AbortController();
    const watch: Watch = { ending, viewers: 1, running: Promise.resolve() };
    this.#watches.set(vm, watch);
    watch.running = this.#run(vm, ending.signal);
  }

  /** Somebody has it in view no longer. */
  unsee(vm: string): void {
    const watch = this.#watches.get(vm);
    assert(watch !== undefined, "what is not seen any more was seen");
    if (--watch.viewers > 0) return;
    this.#watches.delete(vm);
    this.#pictures.delete(vm);
    watch.ending.abort();
  }

  /** Ends all. */
  async [Symbol.asyncDispose](): Promise<void> {
    const running = [...this.#watches.values()].map((watch) => {
      watch.ending.abort();
      return watch.running;
    });
    this.#watches.clear();
    this.#pictures.clear();
    await Promise.all(running);
  }

  async #run(vm: string, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        for await (const frame of this.#client.frames(vm, { perSecond: 1, signal })) {
          const picture = frame.picture();
          const factor = Math.min(1, THUMBNAIL_SIDE / Math.max(picture.width, picture.height));
          const png = new Uint8Array(encodePng(scalePicture(picture, factor)));
          if (signal.aborted) return;
          this.#pictures.set(vm, { png, n: ++this.#count });
          this.#onPicture(vm, this.#count);
        }
      } catch (error) {
        // It has no display, it is not there yet, it has gone, the daemon restarts: later again.
        if (!(error instanceof Fault)) throw error;
      }
      await pause(REST_MS, signal);
    }
  }
}
