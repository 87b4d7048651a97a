/**
 * A trace as one HTML file that opens from disk: no other file, no network. Pictures are what changed since
 * the one before, deflated, with a whole one now and then; the page paints them on a canvas. What is outside
 * text is data in it and never markup.
 * @module
 */
import { deflateSync } from "node:zlib";
import { Buffer } from "node:buffer";
import { changedRects } from "../../event/recorded_picture.ts";
import { printable } from "../../base/printable.ts";
import { encodePng } from "../../vgpu/png.ts";
import { scalePicture } from "../../vgpu/scale.ts";
import { TRACE_SCRIPT } from "./trace_script.ts";
import { TRACE_STYLE } from "./trace_style.ts";
import type { TraceFrame, TraceModel } from "./trace_model.ts";

/** A whole picture comes after so many that are not. */
const WHOLE_EVERY = 60;
/** Pictures of the filmstrip. */
const MOST_IN_STRIP = 150;
const STRIP_WIDTH = 160;
const BYTES_PER_PIXEL = 4;

/** A picture as the page has it. */
interface PageFrame {
  /** When, ms. */
  readonly t: number;
  /** Which screen, by its number. */
  readonly s: number;
  readonly w: number;
  readonly h: number;
  /** Whether it needs none before it. */
  readonly k: 0 | 1;
  /** Left, top, width, height of each part. */
  readonly r: readonly number[];
  /** The parts' rows, RGBA, deflated, in base64. */
  readonly d: string;
}

interface StripPicture {
  readonly t: number;
  readonly s: number;
  readonly png: string;
}

/** Makes the page, while the recording is read. */
export class TracePage {
  readonly #frames: PageFrame[] = [];
  readonly #screens: string[] = [];
  readonly #last = new Map<number, { rgba: Uint8Array; width: number; height: number; since: number }>();
  #strip: StripPicture[] = [];
  /** Every n-th picture is in the strip; n doubles when the strip is full. */
  #nth = 1;
  #count = 0;

  /** Pictures so far. */
  get count(): number {
    return this.#frames.length;
  }

  /** One more picture. */
  add({ t, screen, picture }: TraceFrame): void {
    const { width, height, rgba } = picture;
    let s = this.#screens.indexOf(screen);
    if (s < 0) s = this.#screens.push(screen) - 1;
    const last = this.#last.get(s);
    const isWhole = last === undefined || last.width !== width || last.height !== height ||
      last.since >= WHOLE_EVERY;
    const rects = isWhole ? [0, 0, width, height] : partsOf(last.rgba, rgba, width);
    if (rects.length === 0) return;
    this.#last.set(s, { rgba, width, height, since: isWhole ? 0 : last.since + 1 });
    const d = base64(deflateSync(packed(rgba, width, rects)));
    this.#frames.push({ t: Math.round(t), s, w: width, h: height, k: isWhole ? 1 : 0, r: rects, d });
    if (this.#count++ % this.#nth === 0) {
      const small = scalePicture(picture, Math.min(1, STRIP_WIDTH / width));
      this.#strip.push({ t: Math.round(t), s, png: base64(encodePng(small)) });
      if (this.#strip.length > MOST_IN_STRIP) {
        this.#strip = this.#strip.filter((_, i) => i % 2 === 0);
        this.#nth *= 2;
      }
    }
  }

  /** The page's parts: a large one is not one string. */
  *parts(model: TraceModel, name: string): Generator<string> {
    const { header, durationMs, defect, actions, events, console, processes, leftOut } = model;
    yield `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width">
<title>${escaped(printable(name, 200))} - vmsig trace</title>
<style>${TRACE_STYLE}</style>
</head>
<body>
<header><h1></h1><p id="about"></p><input id="search" type="search" placeholder="Search actions, events, console, processes" aria-label="Search"></header>
<nav id="strip" aria-label="Filmstrip"></nav>
<div id="bar"><input id="time" type="range" min="0" step="1" value="0" aria-label="Time"><output id="now"></output><select id="screen" aria-label="Screen"></select></div>
<main>
<section id="left"><h2>Actions <span id="count"></span></h2><ol id="actions"></ol></section>
<section id="middle">
<figure><figcaption id="beforeText">Before</figcaption><canvas id="before"></canvas></figure>
<figure><figcaption id="afterText">After</figcaption><canvas id="after"></canvas></figure>
</section>
<section id="right">
<div role="tablist"><button role="tab" data-tab="events" aria-selected="true">Events</button><button role="tab" data-tab="console">Console</button><button role="tab" data-tab="processes">Processes</button></div>
<ol id="lines"></ol>
</section>
</main>
<noscript>This page needs JavaScript to show the trace.</noscript>
<script id="data" type="application/json">`;
    const head = {
      name: printable(name, 200),
      host: printable(header.host.name, 200),
      kernel: printable(header.host.kernel, 200),
      startedAt: printable(header.startedAt, 64),
      durationMs: Math.ceil(durationMs),
      defect: printable(defect, 500),
      leftOut,
      screens: this.#screens,
      actions,
      events,
      console,
      processes,
      strip: this.#strip,
    };
    yield jsonFor(head).slice(0, -1);
    yield ',"frames":[';
    for (const [i, frame] of this.#frames.entries()) yield `${i === 0 ? "" : ","}${jsonFor(frame)}`;
    yield "]}</script>\n<script>";
    yield TRACE_SCRIPT;
    yield "</script>\n</body>\n</html>\n";
  }
}

/** What changed, as rectangles of pixels. */
function partsOf(before: Uint8Array, after: Uint8Array, width: number): number[] {
  return changedRects(before, after, width * BYTES_PER_PIXEL).flatMap(([column, row, columns, rows]) => {
    const left = Math.floor(column / BYTES_PER_PIXEL);
    const right = Math.ceil((column + columns) / BYTES_PER_PIXEL);
    return [left, row, right - left, rows];
  });
}

function packed(rgba: Uint8Array, width: number, rects: readonly number[]): Uint8Array {
  let bytes = 0;
  for (let i = 0; i < rects.length; i += 4) {
    bytes += (rects[i + 2] ?? 0) * (rects[i + 3] ?? 0) * BYTES_PER_PIXEL;
  }
  const out = new Uint8Array(bytes);
  let done = 0;
  for (let i = 0; i < rects.length; i += 4) {
    const [left = 0, top = 0, columns = 0, rows = 0] = rects.slice(i, i + 4);
    for (let row = top; row < top + rows; row++) {
      const at = (row * width + left) * BYTES_PER_PIXEL;
      out.set(rgba.subarray(at, at + columns * BYTES_PER_PIXEL), done);
      done += columns * BYTES_PER_PIXEL;
    }
  }
  return out;
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
}

/** JSON inside a script element: nothing in it ends the element, or begins a comment. */
function jsonFor(value: unknown): string {
  return JSON.stringify(value).replaceAll("<", "\\u003c");
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
