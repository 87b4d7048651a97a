/**
 * What a viewer is told beside pixels, as rectangles without pixels (pseudo-encodings).
 * @module
 */
import { assert } from "../../base/assert.ts";
import type { PixelFormat } from "../pixel_format.ts";
import { ENCODING } from "../protocol.ts";
import { PixelCodec } from "./pixel_codec.ts";
import { type CursorPicture, cursorRect, ledsRect, nameRect, tellRect } from "./server_messages.ts";

/** What there is to tell. */
export type News = "size" | "extended-size" | "cursor" | "name" | "leds" | "keys" | "pointer-mode";

/** What is told of. */
export interface NewsSource {
  /** The cursor's shape, where it is known. */
  readonly cursor: CursorPicture | undefined;
  /** The keyboard's lights, where they are known. */
  readonly leds: number | undefined;
  /** Whether the pointer is absolute. */
  readonly isAbsolute: boolean;
}

/** A rectangle that tells one of them; sizes are told alone, otherwise. */
export function newsRect(
  news: Exclude<News, "size" | "extended-size">,
  { cursor, leds, isAbsolute }: NewsSource,
  { title, format }: { readonly title: string; readonly format: PixelFormat },
): Uint8Array<ArrayBuffer> {
  switch (news) {
    case "name":
      return nameRect(title);
    case "keys":
      return tellRect(ENCODING.QEMU_EXTENDED_KEY);
    case "pointer-mode":
      return tellRect(ENCODING.QEMU_POINTER_MODE, isAbsolute ? 1 : 0);
    case "leds":
      return ledsRect(leds ?? 0);
    case "cursor": {
      assert(cursor !== undefined, "a cursor that is told is known");
      const codec = new PixelCodec(format);
      const sink = { bytes: new Uint8Array(cursor.width * cursor.height * codec.pixelBytes), at: 0 };
      for (const word of cursor.words) codec.pixel(sink, word & 0xff_ffff);
      return cursorRect(cursor, sink.bytes);
    }
  }
}
