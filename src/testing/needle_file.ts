/**
 * openQA's needles: a PNG file, and beside it a JSON file of the same name that says which parts of the
 * picture have to be on the screen, how alike, how far from their place, what not to look at, and where to
 * click. Source of the format: os-autoinst's documentation of needles, and what version 4.6 does with them.
 *
 * Areas of type "ocr" are left out, as is said by {@linkcode Needle.leftOut}.
 * @module
 */
import { Fault, messageOf } from "../base/fault.ts";
import { MAX_PICTURE_SIDE } from "../base/limits.ts";
import { printable } from "../base/printable.ts";
import type { Picture, Rectangle } from "../vgpu/picture.ts";
import { pictureFrom } from "./picture_file.ts";

/** A part of a needle that has to be on the screen. */
export interface NeedleArea extends Rectangle {
  /** How alike it has to be, 0 to 1; 0.96 unless the file says otherwise. */
  readonly match: number;
  /** How many pixels around its place it is looked for; 50 unless the file says otherwise. */
  readonly margin: number;
  /** Where a click goes, from the area's left and top; undefined when the file does not say. */
  readonly clickPoint: { readonly x: number; readonly y: number } | undefined;
}

/** A needle. */
export interface Needle {
  /** The file's name without ending. */
  readonly name: string;
  /** What it stands for. */
  readonly tags: readonly string[];
  /** Its properties: "workaround" and others. */
  readonly properties: readonly string[];
  /** The picture that it was cut from. */
  readonly picture: Picture;
  /** What has to be on the screen, at least one. */
  readonly areas: readonly NeedleArea[];
  /** What is not looked at. */
  readonly excluded: readonly Rectangle[];
  /** How many areas were left out since they want their text recognised. */
  readonly leftOut: number;
}

/** Bytes of a JSON file at most. */
const MAX_JSON_BYTES = 1 << 20;
/** Areas of a needle at most. */
const MAX_AREAS = 256;
const MAX_NAMES = 1024;
const DEFAULT_MATCH = 96;
const DEFAULT_MARGIN = 50;
/** What a file that leaves the margin to a screen's size may say at most. */
const MAX_MARGIN = MAX_PICTURE_SIDE;

/**
 * Reads a needle.
 *
 * @param path of its JSON file, or of its PNG file
 * @throws {Fault} `bad-argument` with what is wrong: JSON that is not one, no area to match, an area that is
 *   not on the picture, a PNG that is missing or broken
 */
export async function readNeedle(path: string): Promise<Needle> {
  const base = path.replace(/\.(json|png)$/, "");
  const bad = (why: string, cause?: unknown): Fault =>
    new Fault("bad-argument", `Cannot read the needle ${printable(base)}: ${why}`, { cause });
  let text: string;
  try {
    const { size, isFile } = await Deno.stat(`${base}.json`);
    if (!isFile || size > MAX_JSON_BYTES) {
      throw new Error(`it is not a plain file of ${MAX_JSON_BYTES} bytes at most`);
    }
    text = await Deno.readTextFile(`${base}.json`);
  } catch (error) {
    throw bad(messageOf(error), error);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw bad(`its JSON is broken (${messageOf(error)})`, error);
  }
  if (!isRecord(value)) throw bad("its JSON is not an object");
  const named = value["png"];
  const file = typeof named === "string" && !named.includes("/")
    ? `${folderOf(base)}${named}`
    : `${base}.png`;
  const picture = await pictureFrom(file);
  return needleOf(base.slice(base.lastIndexOf("/") + 1), value, picture, bad);
}

/**
 * A needle out of a JSON file's value and its picture.
 *
 * @param bad makes the fault that tells what is wrong
 */
function needleOf(
  name: string,
  value: Readonly<Record<string, unknown>>,
  picture: Picture,
  bad: (why: string) => Fault,
): Needle {
  const listed = value["area"] ?? [];
  if (!Array.isArray(listed) || listed.length > MAX_AREAS) {
    throw bad(`its areas are not a list of at most ${MAX_AREAS}`);
  }
  const areas: NeedleArea[] = [];
  const excluded: Rectangle[] = [];
  let leftOut = 0;
  for (const [at, area] of listed.entries()) {
    if (!isRecord(area)) throw bad(`its area ${at} is not an object`);
    const wrong = (why: string): Fault => bad(`its area ${at} ${why}`);
    const type = area["type"] ?? "match";
    if (type === "ocr") {
      leftOut++;
      continue;
    }
    const place = placeOf(area, picture, wrong);
    if (type === "exclude") excluded.push(place);
    else if (type === "match") areas.push({ ...place, ...matchingOf(area, place, wrong) });
    else throw wrong(`has the type ${JSON.stringify(type)}: there are match, exclude and ocr`);
  }
  if (areas.length === 0) throw bad("it has no area to match");
  const tags = namesOf(value["tags"], "tags", bad);
  const properties = namesOf(value["properties"], "properties", bad);
  return { name, tags, properties, picture, areas, excluded, leftOut };
}

function placeOf(
  area: Readonly<Record<string, unknown>>,
  { width: most, height: highest }: Picture,
  wrong: (why: string) => Fault,
): Rectangle {
  const [x, y, width, height] = ["xpos", "ypos", "width", "height"].map((name) => {
    const value = numberOf(area[name] ?? 0);
    if (value === undefined || !Number.isInteger(value) || value < 0) {
      throw wrong(`has a ${name} that is not a whole number from 0 on`);
    }
    return value;
  }) as [number, number, number, number];
  if (width === 0 || height === 0) throw wrong("has no pixels");
  if (x + width > most || y + height > highest) {
    throw wrong(`is not on the picture of ${most}x${highest} pixels`);
  }
  return { x, y, width, height };
}

function matchingOf(
  area: Readonly<Record<string, unknown>>,
  { width, height }: Rectangle,
  wrong: (why: string) => Fault,
): Pick<NeedleArea, "match" | "margin" | "clickPoint"> {
  // 0 is what the format's own reader takes for "not said".
  const percent = numberOf(area["match"] ?? 0);
  if (percent === undefined || !(percent >= 0 && percent <= 100)) {
    throw wrong("has a match that is not 0 to 100");
  }
  const margin = numberOf(area["margin"] ?? 0);
  if (margin === undefined || !Number.isInteger(margin) || margin < 0 || margin > MAX_MARGIN) {
    throw wrong(`has a margin that is not a whole number from 0 to ${MAX_MARGIN}`);
  }
  return {
    match: (percent || DEFAULT_MATCH) / 100,
    margin: margin || DEFAULT_MARGIN,
    clickPoint: clickPointOf(area["click_point"], { width, height }, wrong),
  };
}

function clickPointOf(
  value: unknown,
  { width, height }: { readonly width: number; readonly height: number },
  wrong: (why: string) => Fault,
): { readonly x: number; readonly y: number } | undefined {
  if (value === undefined || value === null) return undefined;
  if (value === "center") return { x: width / 2, y: height / 2 };
  const [x, y] = isRecord(value) ? [numberOf(value["xpos"]), numberOf(value["ypos"])] : [];
  if (x === undefined || y === undefined || !(x >= 0 && y >= 0 && x < width && y < height)) {
    throw wrong('has a click_point that is neither "center" nor a place within it');
  }
  return { x, y };
}

/** Numbers stand in needles as numbers and as texts. */
function numberOf(value: unknown): number | undefined {
  if (typeof value === "number") return Number.isFinite(value) ? value : undefined;
  return typeof value === "string" && /^\d{1,9}(\.\d{1,9})?$/.test(value) ? Number(value) : undefined;
}

/** Names; a property may be an object with a name. */
function namesOf(value: unknown, what: string, bad: (why: string) => Fault): string[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value) || value.length > MAX_NAMES) {
    throw bad(`its ${what} are not a list of at most ${MAX_NAMES}`);
  }
  return value.map((item) => {
    const name = isRecord(item) ? item["name"] : item;
    if (typeof name !== "string") throw bad(`its ${what} are not names`);
    return name;
  });
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function folderOf(base: string): string {
  return base.slice(0, base.lastIndexOf("/") + 1);
}
