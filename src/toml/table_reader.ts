/**
 * Reads one table of a config, key by key: each has a type and a range, and whatever is not asked for is
 * refused. The first defect is thrown with file, line and key.
 * @module
 */
import { parse } from "@std/toml";
import { suggestion } from "../base/closest_name.ts";
import { Fault, messageOf } from "../base/fault.ts";
import { childPath, scanToml } from "./toml_lines.ts";

/** Characters of one text: more than any path has. */
const MAX_TEXT_CHARACTERS = 4096;

/** A parsed text with the lines of its keys. */
export class TomlSource {
  /** What the messages call the file. */
  readonly file: string;
  /** The root table. */
  readonly root: TableReader;
  readonly #lines: ReadonlyMap<string, number>;

  /**
   * Parses a text.
   *
   * @param values how many keys, tables and items of lists it may have in all
   * @throws {Fault} `bad-argument` with file and line when it is not TOML, a key is given twice, or there is
   *   too much of something
   */
  constructor(text: string, file: string, values?: number) {
    this.file = file;
    const scan = scanToml(text, values);
    if (!scan.ok) throw defect(file, scan.defect.line, scan.defect.path, scan.defect.why);
    this.#lines = scan.lines;
    let table: Record<string, unknown>;
    try {
      table = parse(text);
    } catch (error) {
      throw syntaxDefect(file, messageOf(error), error);
    }
    this.root = new TableReader(this, "", table);
  }

  /** The defect of a key as a fault: its own line, or that of the table it should be in. */
  fault(path: string, why: string): Fault {
    for (let p = path; p !== ""; p = p.replace(/(\.[^.[]+|\[[0-9]+\]|^[^.[]+)$/, "")) {
      const line = this.#lines.get(p);
      if (line !== undefined) return defect(this.file, line, path, why);
    }
    return defect(this.file, 1, path, why);
  }
}

function defect(file: string, line: number, path: string, why: string, cause?: unknown): Fault {
  const key = path === "" ? "" : `${path}: `;
  return new Fault("bad-argument", `Cannot use the config: ${file}:${line}: ${key}${why}`, { cause });
}

function syntaxDefect(file: string, message: string, cause: unknown): Fault {
  const [, line = "1", why = message] = /line (\d+), column \d+: (.*)$/s.exec(message) ?? [];
  const text = why.replaceAll("\n", " ").trim();
  return defect(file, Number(line), "", `is not TOML: ${text}`, cause);
}

/** One table. Ask for every key there may be, then {@linkcode TableReader.finish}. */
export class TableReader {
  readonly #source: TomlSource;
  readonly #path: string;
  readonly #table: Record<string, unknown>;
  readonly #known: string[] = [];

  /** Made by {@linkcode TomlSource} and {@linkcode TableReader.table}. */
  constructor(source: TomlSource, path: string, table: Record<string, unknown>) {
    this.#source = source;
    this.#path = path;
    this.#table = table;
  }

  /** Whether a key is there. */
  has(key: string): boolean {
    return Object.hasOwn(this.#table, key);
  }

  /** The fault of a key of this table. */
  fault(key: string, why: string): Fault {
    return this.#source.fault(key === "" ? this.#path : childPath(this.#path, key), why);
  }

  /** A text; undefined when the key is not there. */
  text(key: string): string | undefined {
    const value = this.#get(key);
    if (value === undefined) return undefined;
    if (typeof value !== "string") throw this.#wrongType(key, value, "text");
    if (value === "") throw this.fault(key, "is empty; write a value or remove the key");
    this.#checkLength(key, value);
    return value;
  }

  /** An absolute path; undefined when the key is not there. */
  path(key: string): string | undefined {
    const value = this.text(key);
    if (value === undefined) return undefined;
    if (!value.startsWith("/")) throw this.fault(key, `is ${value}, and must be an absolute path`);
    if (value.includes("\0")) throw this.fault(key, "has a NUL character inside");
    return value;
  }

  /** One of some words. */
  choice<const C extends string>(key: string, choices: readonly C[], otherwise: C): C {
    const value = this.text(key);
    if (value === undefined) return otherwise;
    const found = choices.find((choice) => choice === value);
    if (found === undefined) {
      throw this.fault(
        key,
        `is ${value}${suggestion(value, choices)}, and must be one of ${choices.join(", ")}`,
      );
    }
    return found;
  }

  /** A whole number in a range. */
  integer(key: string, min: number, max: number, otherwise: number): number {
    const value = this.#get(key);
    if (value === undefined) return otherwise;
    if (typeof value !== "number" || !Number.isInteger(value)) {
      throw this.#wrongType(key, value, "a whole number");
    }
    if (value < min || value > max) throw this.fault(key, `is ${value}, and must be from ${min} to ${max}`);
    return value;
  }

  /** true or false. */
  boolean(key: string, otherwise: boolean): boolean {
    const value = this.#get(key);
    if (value === undefined) return otherwise;
    if (typeof value !== "boolean") throw this.#wrongType(key, value, "true or false");
    return value;
  }

  /** A list of texts; undefined when the key is not there. */
  texts(key: string): string[] | undefined {
    const value = this.#get(key);
    if (value === undefined) return undefined;
    if (!Array.isArray(value)) throw this.#wrongType(key, value, "a list of texts");
    return value.map((item, i) => {
      if (typeof item !== "string" || item === "") throw this.#wrongType(`${key}[${i}]`, item, "text");
      this.#checkLength(key, item);
      return item;
    });
  }

  /** A table; an empty one when the key is not there. */
  table(key: string): TableReader {
    const value = this.#get(key) ?? {};
    if (!isTable(value)) throw this.#wrongType(key, value, `a table: [${key}]`);
    return new TableReader(this.#source, childPath(this.#path, key), value);
  }

  /** A list of tables. */
  tables(key: string): TableReader[] {
    const value = this.#get(key);
    if (value === undefined) return [];
    if (!Array.isArray(value)) throw this.#wrongType(key, value, `a list of tables: [[${key}]]`);
    return value.map((item, i) => {
      if (!isTable(item)) throw this.#wrongType(`${key}[${i}]`, item, "a table");
      return new TableReader(this.#source, `${childPath(this.#path, key)}[${i}]`, item);
    });
  }

  /** Refuses what was not asked for. */
  finish(): void {
    for (const key of Object.keys(this.#table)) {
      if (this.#known.includes(key)) continue;
      const meant = suggestion(key, this.#known);
      throw this.fault(key, `there is no such key${meant || `; known here: ${this.#known.join(", ")}`}`);
    }
  }

  #checkLength(key: string, text: string): void {
    if (text.length <= MAX_TEXT_CHARACTERS) return;
    throw this.fault(key, `is longer than the ${MAX_TEXT_CHARACTERS} characters that a text may have`);
  }

  #get(key: string): unknown {
    this.#known.push(key);
    return this.has(key) ? this.#table[key] : undefined;
  }

  #wrongType(key: string, value: unknown, wanted: string): Fault {
    const path = key.includes("[") ? `${this.#path === "" ? "" : `${this.#path}.`}${key}` : "";
    const why = `is ${typeName(value)}, and must be ${wanted}`;
    return path === "" ? this.fault(key, why) : this.#source.fault(path, why);
  }
}

function isTable(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

function typeName(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  if (value instanceof Date) return "a date";
  switch (typeof value) {
    case "string":
      return value === "" ? "empty" : "text";
    case "number":
    case "bigint":
      return `the number ${value}`;
    case "boolean":
      return String(value);
    default:
      return "a table";
  }
}
