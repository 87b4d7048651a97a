/**
 * Thumbnails of VMs that are visible in some page: at most one per second, made once for all viewers of a
 * person, and only if it has changed visibly. While nobody looks, no pictures are requested from the VM.
 * Frames are read in place, since a thumbnail needs only part of the rows that changed.
 * @module
 */
import { assert } from "../base/assert.ts";
import type { Client } from "../client/client.ts";
import { ScreenFeed } from "../client/vnc/screen_feed.ts";
import { ThumbnailPicture } from "./thumbnail_picture.ts";

/** Approximate length of a thumbnail's longer side, pixels. */
const THUMBNAIL_SIDE = 320;

/** A small picture. */
export interface Thumbnail {
  /** A PNG. */
  readonly png: Uint8Array<ArrayBuffer>;
}

interface Watch {
  readonly feed: ScreenFeed;
  viewers: number;
}

/** Small pictures of all VMs. */
export class Thumbnails implements AsyncDisposable {
  readonly #client: Client;
  readonly #onPicture: (vm: string, picture: Thumbnail) => void;
  readonly #watches = new Map<string, Watch>();
  readonly #pictures = new Map<string, Thumbnail>();
  readonly #ending = new Set<Promise<void>>();

  /** Starts without VMs. @param onPicture called with each new one */
  constructor(client: Client, onPicture: (vm: string, picture: Thumbnail) => void) {
    this.#client = client;
    this.#onPicture = onPicture;
  }

  /** The watched VMs. */
  get watched(): number {
    return this.#watches.size;
  }

  /** The latest thumbnail of a visible VM. */
  of(vm: string): Thumbnail | undefined {
    return this.#pictures.get(vm);
  }

  /** A page shows the VM. */
  see(vm: string): void {
    const there = this.#watches.get(vm);
    if (there !== undefined) {
      there.viewers++;
      return;
    }
    const picture = new ThumbnailPicture(THUMBNAIL_SIDE);
    const feed = new ScreenFeed({
      client: this.#client,
      ref: vm,
      head: 0,
      perSecond: 1,
      taker: {
        read: (frame, part) => picture.read(frame, part),
        onRead: () => {
          const isOther = picture.update();
          if (isOther && this.#watches.get(vm)?.feed === feed) this.#show(vm, { png: picture.png() });
        },
      },
      // The page shows the last picture, or that there is none.
      onTrouble: () => {},
    });
    this.#watches.set(vm, { feed, viewers: 1 });
    feed.want(true);
  }

  /** A page no longer shows the VM. */
  unsee(vm: string): void {
    const watch = this.#watches.get(vm);
    assert(watch !== undefined, "what is not seen any more was seen");
    if (--watch.viewers > 0) return;
    this.#watches.delete(vm);
    this.#pictures.delete(vm);
    this.#end(watch);
  }

  /** Ends all watches. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const watch of this.#watches.values()) this.#end(watch);
    this.#watches.clear();
    this.#pictures.clear();
    await Promise.all(this.#ending);
  }

  #end({ feed }: Watch): void {
    const ending = feed.close().finally(() => this.#ending.delete(ending));
    this.#ending.add(ending);
  }

  #show(vm: string, picture: Thumbnail): void {
    this.#pictures.set(vm, picture);
    this.#onPicture(vm, picture);
  }
}
