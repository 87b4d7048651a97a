/**
 * The samples of a PNG as pixels of red, green and blue, 8 bits each: of every colour type and depth that the
 * format has (PNG, third edition, 11.2.1). Fewer bits than 8 are packed, the leftmost pixel highest, and each
 * row begins with a byte; grey of fewer bits is spread over the whole range, 16 bits are cut to the upper 8.
 * @module
 */
import { Fault } from "../base/fault.ts";

/** Pixels of a picture at most: few bytes of a file may unfold to many. */
const MOST_PIXELS = 1 << 26;

/** What a decoder tells of a picture without interpreting its samples. */
export interface PngSamples {
  /** Pixels in a row. */
  readonly width: number;
  /** Rows. */
  readonly height: number;
  /** 1: grey, or an index into the palette; 2: grey and alpha; 3: RGB; 4: RGBA. */
  readonly channels: number;
  /** Bits of one sample. */
  readonly depth: number;
  /** The samples. */
  readonly data: ArrayLike<number>;
  /** The colours that are indexed, red, green, blue and perhaps alpha each. */
  readonly palette?: readonly ArrayLike<number>[] | undefined;
}

/**
 * Pixels of RGB, or of RGBA where there is alpha.
 *
 * @throws {Fault} `bad-argument` when there are too many pixels, fewer samples than pixels, or an index past
 *   the palette
 */
export function pixelsOf(samples: PngSamples): { readonly channels: 3 | 4; readonly bytes: Uint8Array } {
  const { width, height, channels, palette } = samples;
  if (width * height > MOST_PIXELS) throw broken(`it has more than ${MOST_PIXELS} pixels`);
  const hasAlpha = channels === 2 || channels === 4 || (palette?.[0]?.length ?? 0) > 3;
  const out = hasAlpha ? 4 : 3;
  const bytes = new Uint8Array(width * height * out);
  const sampleAt = samplesOf(samples);
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0; x < width; x++, to += out) {
      const first = sampleAt(y, x * channels);
      if (palette !== undefined) {
        const colour = palette[first];
        if (colour === undefined) throw broken(`a pixel has colour ${first} of ${palette.length}`);
        for (let i = 0; i < out; i++) bytes[to + i] = colour[i] ?? 255;
      } else if (channels <= 2) {
        bytes.fill(first, to, to + 3);
        if (hasAlpha) bytes[to + 3] = sampleAt(y, x * channels + 1);
      } else {
        for (let i = 0; i < out; i++) bytes[to + i] = sampleAt(y, x * channels + i);
      }
    }
  }
  return { channels: out, bytes };
}

/** Reads the sample of a row: an index as it is, anything else in 8 bits. */
function samplesOf(samples: PngSamples): (row: number, at: number) => number {
  const { width, height, channels, depth, data, palette } = samples;
  const most = 2 ** depth - 1;
  const perRow = depth < 8 ? Math.ceil(width * channels * depth / 8) : width * channels;
  if (data.length < perRow * height) {
    throw broken(`${width}x${height} pixels have ${data.length} samples, not ${perRow * height}`);
  }
  if (depth === 8) return (row, at) => data[row * perRow + at] as number;
  if (depth === 16) return (row, at) => (data[row * perRow + at] as number) >> 8;
  return (row, at) => {
    const bit = at * depth;
    const value = ((data[row * perRow + (bit >> 3)] as number) >> (8 - depth - (bit & 7))) & most;
    return palette === undefined ? Math.round(value * 255 / most) : value;
  };
}

function broken(why: string): Fault {
  return new Fault("bad-argument", `Cannot read the picture: ${why}`);
}
