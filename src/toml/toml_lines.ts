/**
 * On which line each key of a TOML text stands: the parser does not tell, and a config error without its line
 * is a search. A scanner of its own that maps key paths ("endpoint[1].qmp") to lines; it understands tables,
 * arrays of tables, dotted and quoted keys, inline tables, arrays and every kind of string.
 *
 * It judges only what the parser lets through or tells badly: a key given twice, a value left out,
 * `__proto__`; and what would keep the parser busy, whose time grows with the square of the keys in a table
 * (300 keys 7 ms, 4,000 keys 2 s) and with the depth: {@linkcode TOML_BOUNDS}. What is not TOML otherwise is
 * the parser's to refuse.
 * @module
 */

/** What is wrong with a text, where. */
export interface TomlDefect {
  /** From 1. */
  readonly line: number;
  /** Which key; empty when none. */
  readonly path: string;
  /** What is wrong, and what to do. */
  readonly why: string;
}

/** Key paths with their lines, or the first defect. */
export type TomlScan =
  | { readonly ok: true; readonly lines: ReadonlyMap<string, number> }
  | { readonly ok: false; readonly defect: TomlDefect };

/** What a text may have at most; none of them is near to what a config needs. */
const TOML_BOUNDS = {
  /** Keys in one table. */
  tableKeys: 64,
  /** Characters of one key. */
  keyCharacters: 128,
  /** Parts of a dotted key, and lists and tables within one another. */
  depth: 16,
  /** Keys, tables and items of lists in all, unless the caller says otherwise: 20,000 rules have as many. */
  values: 131_072,
} as const;

/**
 * Scans a text.
 *
 * @param values how many keys, tables and items of lists it may have in all
 */
export function scanToml(text: string, values: number = TOML_BOUNDS.values): TomlScan {
  const scanner = new Scanner(text, values);
  try {
    scanner.run();
    return { ok: true, lines: scanner.lines };
  } catch (error) {
    if (error instanceof Defect) return { ok: false, defect: error.defect };
    throw error;
  }
}

/** A key path with one more key. */
export function childPath(path: string, key: string): string {
  const name = /^[A-Za-z0-9_-]+$/.test(key) ? key : JSON.stringify(key);
  return path === "" ? name : `${path}.${name}`;
}

class Defect extends Error {
  readonly defect: TomlDefect;

  constructor(defect: TomlDefect) {
    super(defect.why);
    this.defect = defect;
  }
}

/** Lines that are not TOML, behind which nothing is looked at: the parser stops at the first. */
const MAX_ODD_LINES = 8;
const BLANKS = /[ \t\r]*/y;
const BLANKS_AND_LINE_ENDS = /[ \t\r\n]*/y;
const BARE_KEY = /[A-Za-z0-9_-]*/y;
/** A number, a date, true or false: up to what ends it. */
const SCALAR = /[^,\]}\n#]*/y;
/** Inside a string, what neither ends it nor escapes something. */
const PLAIN = /[^"'\\\n]*/y;

class Scanner {
  readonly lines = new Map<string, number>();
  readonly #text: string;
  readonly #values: number;
  readonly #arrays = new Map<string, number>();
  /** Keys by the table that they stand in. */
  readonly #keysOf = new Map<string, number>();
  #odd = 0;
  #at = 0;
  #line = 1;
  #table = "";

  constructor(text: string, values: number) {
    this.#text = text;
    this.#values = values;
  }

  run(): void {
    for (;;) {
      this.#skip("\n");
      if (this.#at >= this.#text.length) return;
      if (this.#peek() === "[") this.#header();
      else this.#pair(this.#table, 0);
    }
  }

  #peek(ahead = 0): string {
    return this.#text[this.#at + ahead] ?? "";
  }

  #take(): string {
    const c = this.#peek();
    if (c === "\n") this.#line++;
    this.#at++;
    return c;
  }

  /** Skips blanks and comments, and line ends where `more` has them. */
  #skip(more: "" | "\n"): void {
    for (;;) {
      const blanks = this.#run(more === "" ? BLANKS : BLANKS_AND_LINE_ENDS);
      for (let at = blanks.indexOf("\n"); at >= 0; at = blanks.indexOf("\n", at + 1)) this.#line++;
      if (this.#peek() !== "#") return;
      this.#toLineEnd();
    }
  }

  /**
   * Takes what a sticky expression matches here, which is not beyond the end of the line unless it is blank.
   */
  #run(expression: RegExp): string {
    expression.lastIndex = this.#at;
    const text = expression.exec(this.#text)?.[0] ?? "";
    this.#at += text.length;
    return text;
  }

  #toLineEnd(): void {
    const end = this.#text.indexOf("\n", this.#at);
    this.#at = end < 0 ? this.#text.length : end;
  }

  #header(): void {
    const line = this.#line;
    this.#take();
    const isArray = this.#peek() === "[";
    if (isArray) this.#take();
    const keys = this.#keys();
    this.#toLineEnd();
    const last = keys.pop() ?? "";
    let path = "";
    for (const key of keys) path = this.#current(childPath(path, key));
    path = childPath(path, last);
    if (isArray) {
      const index = (this.#arrays.get(path) ?? -1) + 1;
      this.#arrays.set(path, index);
      if (index === 0) this.#note(path, line);
      path = `${path}[${index}]`;
    }
    this.#note(path, line);
    this.#table = path;
  }

  /** Where a key of a header leads: into the last table of an array of tables. */
  #current(path: string): string {
    const index = this.#arrays.get(path);
    return index === undefined ? path : `${path}[${index}]`;
  }

  #pair(table: string, depth: number): void {
    const line = this.#line;
    let path = table;
    const keys = this.#keys();
    for (const key of keys) path = childPath(path, key);
    if (keys.length === 0 || this.#peek() !== "=") {
      // No key, or nothing behind it: the parser says what it thinks of it. On with the next line, a few
      // times.
      this.#toLineEnd();
      if (++this.#odd > MAX_ODD_LINES) this.#at = this.#text.length;
      return;
    }
    this.#note(path, line);
    this.#count(table, line);
    this.#take();
    this.#value(path, depth);
  }

  #count(table: string, line: number): void {
    const keys = (this.#keysOf.get(table) ?? 0) + 1;
    this.#keysOf.set(table, keys);
    if (keys <= TOML_BOUNDS.tableKeys) return;
    throw new Defect({ line, path: table, why: `has more than ${TOML_BOUNDS.tableKeys} keys; remove some` });
  }

  #note(path: string, line: number): void {
    const before = this.lines.get(path);
    if (before !== undefined) {
      throw new Defect({ line, path, why: `is given twice, first on line ${before}; keep one` });
    }
    this.lines.set(path, line);
    if (this.lines.size > this.#values) {
      throw new Defect({ line, path: "", why: `is one value too many: ${this.#values} are possible` });
    }
  }

  #keys(): string[] {
    const keys: string[] = [];
    for (;;) {
      this.#skip("");
      const c = this.#peek();
      let key = "";
      if (c === '"' || c === "'") key = this.#string(c);
      else key = this.#run(BARE_KEY);
      if (key === "" && c !== '"' && c !== "'") return keys;
      if (key.length > TOML_BOUNDS.keyCharacters) {
        const why = `is longer than the ${TOML_BOUNDS.keyCharacters} characters that a key may have`;
        throw new Defect({ line: this.#line, path: key.slice(0, 32), why });
      }
      if (key === "__proto__") {
        throw new Defect({ line: this.#line, path: key, why: "is not a valid key; remove it" });
      }
      keys.push(key);
      if (keys.length > TOML_BOUNDS.depth) {
        throw new Defect({ line: this.#line, path: keys[0] ?? "", why: "is nested too deeply" });
      }
      this.#skip("");
      if (this.#peek() !== ".") return keys;
      this.#take();
    }
  }

  #value(path: string, depth: number): void {
    this.#skip("");
    const c = this.#peek();
    if (depth > TOML_BOUNDS.depth) throw new Defect({ line: this.#line, path, why: "is nested too deeply" });
    if (c === "" || c === "\n" || c === "," || c === "]" || c === "}") {
      throw new Defect({ line: this.#line, path, why: "has no value; write one behind the =" });
    }
    if (c === '"' || c === "'") this.#string(c);
    else if (c === "[") this.#array(path, depth);
    else if (c === "{") this.#inlineTable(path, depth);
    else this.#run(SCALAR);
  }

  #array(path: string, depth: number): void {
    this.#take();
    for (let i = 0;; i++) {
      this.#skip("\n");
      if (this.#peek() === "]") this.#take();
      if (this.#peek() === "" || this.#text[this.#at - 1] === "]") return;
      const item = `${path}[${i}]`;
      this.#note(item, this.#line);
      this.#value(item, depth + 1);
      this.#skip("\n");
      if (this.#peek() === ",") this.#take();
      else if (this.#peek() !== "]") return;
    }
  }

  #inlineTable(path: string, depth: number): void {
    this.#take();
    for (;;) {
      this.#skip("\n");
      if (this.#peek() === "}") this.#take();
      if (this.#peek() === "" || this.#text[this.#at - 1] === "}") return;
      const before = this.#at;
      this.#pair(path, depth + 1);
      this.#skip("\n");
      if (this.#peek() === ",") this.#take();
      else if (this.#at === before) return;
    }
  }

  /** Takes a string with its quotes; gives what stands between them, escapes as they are. */
  #string(quote: string): string {
    const long = this.#peek(1) === quote && this.#peek(2) === quote;
    const close = long ? quote.repeat(3) : quote;
    this.#at += close.length;
    let out = "";
    while (this.#at < this.#text.length) {
      if (this.#text.startsWith(close, this.#at)) {
        this.#at += close.length;
        // Up to two quotes may stand right before the closing ones.
        while (long && this.#peek() === quote) this.#at++;
        return out;
      }
      if (!long && this.#peek() === "\n") return out;
      const plain = this.#run(PLAIN);
      if (plain !== "") {
        out += plain;
        continue;
      }
      if (quote === '"' && this.#peek() === "\\") out += this.#take();
      out += this.#take();
    }
    return out;
  }
}
