/**
 * What stands on a text screen: its shape in memory, and as CBOR in an event.
 *
 * One character a cell: a line is as long as its last character that is not blank. Attributes are runs of a
 * few styles, in the order of the cells. What could not be told is U+FFFD and is counted. Characters come
 * from a guest: show them through `src/base/printable.ts`.
 * @module
 */
import { encode } from "cborg";
import { assert } from "../../base/assert.ts";
import { Fault } from "../../base/fault.ts";
import { MAX_BODY_BYTES } from "../../base/limits.ts";
import { type CborBounds, decodeBounded } from "../../event/bounded_cbor.ts";

/** Cells of a screen at most: 480 columns of 270 rows, which is 3840x2160 in 8x8. */
export const MAX_TEXT_CELLS: number = 480 * 270;
/** Styles of one screen at most; a screen with more has its rarest told as the first one. */
export const MAX_TEXT_STYLES = 256;
/** What stands for a cell that is not a known character. */
export const UNKNOWN_CHARACTER = "\ufffd";

/** Where a text comes from: video memory in a VGA text mode, a picture, a console in a Linux guest's RAM. */
export type TextSource = "vga" | "glyphs" | "console";

/** How a cell looks. */
export interface TextStyle {
  /** 0xRRGGBB. */
  readonly foreground: number;
  /** 0xRRGGBB. */
  readonly background: number;
}

/** A place on the screen. */
export interface TextPlace {
  /** From 0, at the left. */
  readonly column: number;
  /** From 0, at the top. */
  readonly row: number;
}

/** A text screen. */
export interface ScreenText {
  /** Where it comes from. */
  readonly source: TextSource;
  /** Cells in a line. */
  readonly columns: number;
  /** Lines. */
  readonly rows: number;
  /** The lines, without blanks at their ends; at most `columns` characters each. */
  readonly lines: readonly string[];
  /** The styles that occur; empty where they are not known. */
  readonly styles: readonly TextStyle[];
  /** Pairs: how many cells, which style. All cells in order, or none. */
  readonly runs: readonly number[];
  /** The cursor's cell; undefined where it is not shown, or not known. */
  readonly cursor: TextPlace | undefined;
  /** Cells that are {@linkcode UNKNOWN_CHARACTER} because they are not a known character. */
  readonly unknown: number;
  /** A Linux guest's console by number, from 1; undefined for other sources. */
  readonly console: number | undefined;
}

/** Puts a screen together cell by cell, in order. */
export class TextBuilder {
  readonly #columns: number;
  readonly #rows: number;
  readonly #lines: string[] = [];
  readonly #styles: TextStyle[] = [];
  readonly #byKey = new Map<number, number>();
  readonly #runs: number[] = [];
  #line = "";
  #length = 0;
  #cells = 0;
  #unknown = 0;

  /** An empty screen. */
  constructor(columns: number, rows: number) {
    assert(columns >= 1 && rows >= 1 && columns * rows <= MAX_TEXT_CELLS, "a screen has cells");
    this.#columns = columns;
    this.#rows = rows;
  }

  /**
   * The next cell.
   *
   * @param character one character, as UTF-16 has it
   * @param foreground 0xRRGGBB
   * @param background 0xRRGGBB
   */
  add(character: string, foreground: number, background: number): void {
    assert(this.#cells < this.#columns * this.#rows, "a cell lies on its screen");
    this.#line += character;
    this.#cells++;
    if (character === UNKNOWN_CHARACTER) this.#unknown++;
    const style = this.#styleOf(foreground, background);
    const { length } = this.#runs;
    if (length > 0 && this.#runs[length - 1] === style) (this.#runs[length - 2] as number)++;
    else this.#runs.push(1, style);
    if (++this.#length < this.#columns) return;
    this.#lines.push(this.#line.trimEnd());
    this.#line = "";
    this.#length = 0;
  }

  /** The screen, once all cells are there. */
  finish(source: TextSource, cursor?: TextPlace, console?: number): ScreenText {
    assert(this.#cells === this.#columns * this.#rows, "a screen has all of its cells");
    return {
      source,
      columns: this.#columns,
      rows: this.#rows,
      lines: this.#lines,
      styles: this.#styles,
      runs: this.#runs,
      cursor,
      unknown: this.#unknown,
      console,
    };
  }

  #styleOf(foreground: number, background: number): number {
    const key = foreground * 0x100_0000 + background;
    const known = this.#byKey.get(key);
    if (known !== undefined) return known;
    if (this.#styles.length === MAX_TEXT_STYLES) return 0;
    this.#byKey.set(key, this.#styles.length);
    return this.#styles.push({ foreground, background }) - 1;
  }
}

const SOURCES: readonly TextSource[] = ["vga", "glyphs", "console"];
const BOUNDS: CborBounds = { bytes: MAX_BODY_BYTES, depth: 3 };

/**
 * A screen as CBOR: a map of short keys, as src/event/PROTOCOL.md says of SCREEN_TEXT. Styles that would not
 * fit an event's body are left out.
 *
 * @throws {Fault} `too-large` when the characters alone do not fit
 */
export function encodeScreenText(text: ScreenText): Uint8Array<ArrayBuffer> {
  const { source, columns, rows, lines, styles, runs, cursor, unknown, console } = text;
  const plain = {
    source: SOURCES.indexOf(source),
    columns,
    rows,
    lines,
    unknown,
    ...(cursor === undefined ? {} : { cursor: [cursor.column, cursor.row] }),
    ...(console === undefined ? {} : { console }),
  };
  const flat = styles.flatMap(({ foreground, background }) => [foreground, background]);
  const whole = encode({ ...plain, styles: flat, runs });
  const bytes = whole.length <= MAX_BODY_BYTES ? whole : encode(plain);
  if (bytes.length > MAX_BODY_BYTES) {
    throw new Fault("too-large", `Cannot encode a screen's text: it takes ${bytes.length} bytes`);
  }
  return new Uint8Array(bytes);
}

/**
 * A screen out of CBOR from outside.
 *
 * @throws {Fault} `protocol-error` for anything that is no such screen
 */
export function decodeScreenText(bytes: Uint8Array): ScreenText {
  const value = decodeBounded(bytes, BOUNDS);
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw wrong("it is not a map");
  const map = value as Readonly<Record<string, unknown>>;
  const { lines, styles = [], runs = [], cursor, console } = map;
  const source = SOURCES[integer(map, "source", 0, SOURCES.length - 1)];
  const columns = integer(map, "columns", 1, MAX_TEXT_CELLS);
  const rows = integer(map, "rows", 1, MAX_TEXT_CELLS);
  const cells = columns * rows;
  if (cells > MAX_TEXT_CELLS || source === undefined) throw wrong(`it has ${cells} cells`);
  if (!isLines(lines, columns, rows)) throw wrong("its lines are not those of such a screen");
  if (!isIntegers(styles, 0xff_ffff) || styles.length % 2 !== 0 || styles.length > 2 * MAX_TEXT_STYLES) {
    throw wrong("its styles are not pairs of colours");
  }
  if (!isIntegers(runs, cells) || !isRuns(runs, cells, styles.length / 2)) {
    throw wrong("its runs do not cover it");
  }
  const place = placeOf(cursor, columns, rows);
  return {
    source,
    columns,
    rows,
    lines,
    styles: pairsOf(styles),
    runs,
    cursor: place,
    unknown: integer(map, "unknown", 0, cells),
    console: console === undefined ? undefined : integer(map, "console", 1, 63),
  };
}

function wrong(why: string): Fault {
  return new Fault("protocol-error", `Cannot read a screen's text: ${why}`);
}

function integer(map: Readonly<Record<string, unknown>>, name: string, from: number, to: number): number {
  const value = map[name];
  if (typeof value === "number" && Number.isInteger(value) && value >= from && value <= to) return value;
  throw wrong(`its ${name} is not a number from ${from} to ${to}`);
}

function isIntegers(value: unknown, most: number): value is number[] {
  return Array.isArray(value) &&
    value.every((item) => Number.isInteger(item) && (item as number) >= 0 && (item as number) <= most);
}

function isLines(value: unknown, columns: number, rows: number): value is string[] {
  return Array.isArray(value) && value.length === rows &&
    value.every((line) => typeof line === "string" && line.length <= 2 * columns && charsOf(line) <= columns);
}

function charsOf(line: string): number {
  let count = 0;
  for (let i = 0; i < line.length; i++) if ((line.charCodeAt(i) & 0xfc00) !== 0xdc00) count++;
  return count;
}

function isRuns(runs: readonly number[], cells: number, styles: number): boolean {
  if (runs.length === 0) return true;
  let covered = 0;
  for (let i = 0; i < runs.length; i += 2) {
    if ((runs[i] as number) < 1 || (runs[i + 1] ?? styles) >= styles) return false;
    covered += runs[i] as number;
  }
  return covered === cells;
}

function placeOf(value: unknown, columns: number, rows: number): TextPlace | undefined {
  if (value === undefined) return undefined;
  if (!isIntegers(value, MAX_TEXT_CELLS) || value.length !== 2) {
    throw wrong("its cursor is not a valid position");
  }
  const [column, row] = value as [number, number];
  if (column >= columns || row >= rows) throw wrong("its cursor lies outside it");
  return { column, row };
}

function pairsOf(flat: readonly number[]): TextStyle[] {
  const styles: TextStyle[] = [];
  for (let i = 0; i < flat.length; i += 2) {
    styles.push({ foreground: flat[i] as number, background: flat[i + 1] as number });
  }
  return styles;
}
