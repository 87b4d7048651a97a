/**
 * A trace's pictures as a film: a GIF by the library gifenc, or an MP4 by the ffmpeg of this machine. One
 * screen, at its real pace, but no pause longer than a second.
 * @module
 */
import * as library from "gifenc";
import type { Gifenc } from "gifenc";
import { assert } from "../../base/assert.ts";
import { Fault } from "../../base/fault.ts";
import { decodeRecording } from "../../event/recording.ts";
import type { Picture } from "../../vgpu/picture.ts";
import { scalePicture } from "../../vgpu/scale.ts";
import type { TraceFrame } from "./trace_model.ts";

/** Deno takes the library's CommonJS form, all of which is its default; a bundler its ES module. */
const gifenc: Gifenc = (library as Partial<Gifenc>).quantize === undefined ? library.default : library;
/** A picture is shown for so long at most, ms. */
const MOST_MS = 1000;
/** And at least: browsers show shorter ones slower. */
const LEAST_MS = 20;
const MOST_WIDTH = 1024;
const COLOURS = 256;
/** Pictures per second of an MP4. */
const MP4_RATE = 10;

/** Takes pictures, and makes a file of them. */
export interface Film {
  /** One more. */
  add(frame: TraceFrame): void | Promise<void>;
  /** The file's bytes; undefined where they were written already. */
  finish(): Promise<Uint8Array | undefined>;
}

/** How large a film of a recording is: as the largest picture of its first screen. */
export function filmSize(bytes: Uint8Array): FilmSize {
  let size: FilmSize = { width: 0, height: 0 };
  let first: string | undefined;
  for (const item of decodeRecording(bytes)) {
    if (item.type !== "event" || item.event.picture === undefined) continue;
    const { endpoint, picture: { head, width, height } } = item.event;
    first ??= `${endpoint}:${head}`;
    if (first !== `${endpoint}:${head}`) continue;
    size = { width: Math.max(size.width, width), height: Math.max(size.height, height) };
  }
  return size;
}

/** Pixels of a film. */
export interface FilmSize {
  /** In a row. */
  readonly width: number;
  /** Rows. */
  readonly height: number;
}

/** A picture in the top left corner of a film's; black around it. */
function onFilm(picture: Picture, { width, height }: FilmSize): Picture {
  if (picture.width === width && picture.height === height) return picture;
  const rgba = new Uint8Array(width * height * 4);
  new Uint32Array(rgba.buffer).fill(0xff00_0000);
  const columns = Math.min(width, picture.width) * 4;
  for (let row = 0; row < Math.min(height, picture.height); row++) {
    const from = row * picture.width * 4;
    rgba.set(picture.rgba.subarray(from, from + columns), row * width * 4);
  }
  return { width, height, rgba };
}

/** A GIF. */
export class GifFilm implements Film {
  readonly #gif = gifenc.GIFEncoder();
  #last: { readonly t: number; readonly picture: Picture } | undefined;
  #screen: string | undefined;
  #count = 0;
  readonly #size: FilmSize;

  /** Of this size. */
  constructor(size: FilmSize) {
    this.#size = size;
  }

  add({ t, screen, picture }: TraceFrame): void {
    this.#screen ??= screen;
    if (screen !== this.#screen) return;
    const whole = onFilm(picture, this.#size);
    const small = scalePicture(whole, Math.min(1, MOST_WIDTH / whole.width));
    if (this.#last !== undefined) {
      const { t: since } = this.#last;
      if (t - since < LEAST_MS) return;
      this.#write(this.#last.picture, Math.min(MOST_MS, t - since));
    }
    this.#last = { t, picture: small };
  }

  finish(): Promise<Uint8Array> {
    if (this.#last !== undefined) this.#write(this.#last.picture, MOST_MS);
    if (this.#count === 0) throw noPictures();
    this.#gif.finish();
    return Promise.resolve(this.#gif.bytes());
  }

  #write({ width, height, rgba }: Picture, delay: number): void {
    const palette = gifenc.quantize(rgba, COLOURS);
    this.#gif.writeFrame(gifenc.applyPalette(rgba, palette), width, height, { palette, delay });
    this.#count++;
  }
}

/** An MP4, by ffmpeg. */
export class Mp4Film implements Film {
  readonly #path: string;
  #child: Deno.ChildProcess | undefined;
  #writer: WritableStreamDefaultWriter<Uint8Array> | undefined;
  #last: TraceFrame | undefined;
  #screen: string | undefined;
  #nextMs = 0;
  #failed: unknown;

  readonly #size: FilmSize;

  /** To a file; ffmpeg is started with the first picture. */
  constructor(path: string, size: FilmSize) {
    this.#path = path;
    this.#size = size;
  }

  async add(frame: TraceFrame): Promise<void> {
    this.#screen ??= frame.screen;
    if (frame.screen !== this.#screen) return;
    const last = this.#last;
    if (last === undefined) this.#start(this.#size);
    else await this.#repeat(last, Math.min(MOST_MS, frame.t - last.t));
    this.#last = { ...frame, picture: onFilm(frame.picture, this.#size) };
  }

  async finish(): Promise<undefined> {
    if (this.#last === undefined || this.#child === undefined) throw noPictures();
    await this.#repeat(this.#last, MOST_MS);
    await this.#writer?.close().catch(() => {});
    const { success, stderr } = await this.#child.output();
    if (success && this.#failed === undefined) return undefined;
    const words = new TextDecoder().decode(stderr).trim().split("\n").at(-1) ?? "";
    throw new Fault("refused", `Cannot make the MP4: ffmpeg says: ${words}`, { cause: this.#failed });
  }

  #start({ width, height }: FilmSize): void {
    assert(this.#child === undefined, "one film is one process");
    const even = "crop=trunc(iw/2)*2:trunc(ih/2)*2,format=yuv420p";
    const words = ["-hide_banner", "-loglevel", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgba"];
    words.push("-s", `${width}x${height}`, "-r", `${MP4_RATE}`, "-i", "-", "-vf", even);
    words.push("-movflags", "+faststart", "-f", "mp4", "--", this.#path);
    try {
      this.#child = new Deno.Command("ffmpeg", {
        args: words,
        stdin: "piped",
        stdout: "null",
        stderr: "piped",
      })
        .spawn();
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
      throw new Fault(
        "missing",
        "Cannot make an MP4: there is no ffmpeg here; install it (apt-get install ffmpeg), or make a GIF (--gif)",
        { cause: error },
      );
    }
    this.#writer = this.#child.stdin.getWriter();
  }

  /** Shows a picture for so long. */
  async #repeat({ picture: { rgba } }: TraceFrame, ms: number): Promise<void> {
    this.#nextMs += ms;
    for (; this.#nextMs > 0 && this.#failed === undefined; this.#nextMs -= 1000 / MP4_RATE) {
      // ffmpeg's own words tell why it went.
      await this.#writer?.write(rgba).catch((error) => this.#failed = error);
    }
  }
}

function noPictures(): Fault {
  return new Fault(
    "bad-argument",
    "Cannot make a film: the recording has no pictures (record --trace keeps them)",
  );
}
