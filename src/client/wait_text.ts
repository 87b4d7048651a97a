/**
 * The text of a screen for a wait: the daemon's text where it has one, which is exact; otherwise the text
 * read from the picture here, glyph by glyph.
 * @module
 */
import type { EndpointId } from "../base/ids.ts";
import type { CodeName } from "../base/codes.ts";
import { Fault } from "../base/fault.ts";
import type { GlyphFrame } from "../display/text/glyph_cell.ts";
import { vgaFonts } from "../display/text/glyph_font.ts";
import { GlyphReader } from "../display/text/glyph_reader.ts";
import { decodeScreenText, type ScreenText } from "../display/text/screen_text.ts";
import { FRAME_REQUEST } from "../event/body_layout.ts";
import { FRAME_OP } from "../event/body_number.ts";
import { KIND } from "../event/kind.ts";
import type { Client } from "./client.ts";
import type { Picture } from "../vgpu/picture.ts";

/** Which screen. */
export interface TextTarget {
  /** The endpoint's number. */
  readonly endpoint: EndpointId;
  /** The head. */
  readonly head: number;
  /** Aborts the request. */
  readonly signal: AbortSignal;
}

/**
 * The current text of a head, from the daemon.
 *
 * @returns undefined when it shows no text
 * @throws {Fault} `not-supported` when the daemon reports no texts; `seam-down`, `timed-out`, …
 */
async function askText(
  client: Client,
  { endpoint, head, signal }: TextTarget,
): Promise<ScreenText | undefined> {
  const what = `read the screen of ${client.roster.nameOf(endpoint)}`;
  await using stream = client.events({ kinds: ["SCREEN_TEXT"], endpoints: [endpoint] });
  await client.command(KIND.CMD_FRAME, endpoint, what, (event) => {
    event.words[FRAME_REQUEST.at.op / 4] = FRAME_OP.TEXT;
    event.words[FRAME_REQUEST.at.head / 4] = head;
  }, { signal });
  // The text is sent before the answer.
  const [event] = stream.drain().slice(-1);
  if (event === undefined) throw new Fault("not-supported", `Cannot ${what}: no text came along`);
  using _event = event;
  return event.body.length === 0 ? undefined : decodeScreenText(event.body);
}

/** Reads the text of one head by whichever way works. */
export class TextSource {
  readonly #client: Client;
  readonly #target: TextTarget;
  readonly #glyphs = new GlyphReader(vgaFonts());
  #asksDaemon = true;

  /** Tries the daemon first. */
  constructor(client: Client, target: TextTarget) {
    this.#client = client;
    this.#target = target;
  }

  /**
   * The text.
   *
   * @param picture the screen's picture, for when the daemon has no text
   * @throws {Fault} when the daemon, the VM or its display is gone
   */
  async read(picture: Picture): Promise<ScreenText | undefined> {
    if (this.#asksDaemon) {
      try {
        return await askText(this.#client, this.#target);
      } catch (error) {
        if (!(error instanceof Fault) || !FALLS_BACK.has(error.code as CodeName)) throw error;
        this.#asksDaemon = false;
      }
    }
    return this.#glyphs.read(frameOf(picture));
  }
}

/** Codes that mean this daemon will never report texts. */
const FALLS_BACK: ReadonlySet<string> = new Set<CodeName>([
  "not-supported",
  "timed-out",
  "bad-argument",
  "refused",
]);

function frameOf({ width, height, rgba }: Picture): GlyphFrame {
  const words = new Int32Array(rgba.buffer, rgba.byteOffset, rgba.length >>> 2);
  return { width, height, strideWords: width, words, isRgb: true };
}
