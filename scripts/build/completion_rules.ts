/**
 * What may be typed where, worked out from the command table alone: the usage lines say which words stand at
 * which place, the options say what they take. The completions of the shells (completion.ts) are made from
 * this.
 *
 * A rule's pattern is "COMMAND COUNT ARG…" with the arguments in front of the cursor; `*` stands for any.
 * Options of every client may stand before the command: those are the options of no command, "".
 * @module
 */
import { CLIENT_OPTIONS, optionsOf } from "../../src/client/cli/command_line.ts";
import type { OptionSpec } from "../../src/client/cli/command.ts";
import { COMMANDS } from "../../src/client/cli/command_table.ts";
import { LAYOUT_NAMES } from "../../src/client/keyboard_layout.ts";

/** What only a daemon knows, and the name of it in usage lines. */
export const ASKED = {
  endpoints: "ENDPOINT",
  snapshots: "SNAPSHOT",
  consoles: "CONSOLE",
  questions: "QUESTION-ID",
} as const;
/** One of them. */
export type Asked = keyof typeof ASKED;

/** What may stand at one place. */
export interface Place {
  /** Words that stand as they are; behind one that ends with a colon, its word goes on. */
  readonly words: readonly string[];
  /** What the daemon is asked for. */
  readonly asked: Asked | "";
  /** What stands behind each name that it gives: a colon in ENDPOINT:PATH. */
  readonly behind: "" | ":";
  /** Whether the path of a file may. */
  readonly files: boolean;
}

/** All that a completion needs. */
export interface CompletionRules {
  /** Names of the commands, and help. */
  readonly commands: readonly string[];
  /** Pattern to what may stand there; the first that matches counts. */
  readonly places: ReadonlyMap<string, Place>;
  /** Command to its options, with their dashes; those before a command are of "". */
  readonly options: ReadonlyMap<string, readonly string[]>;
  /** "COMMAND OPTION" to what the option's value may be; options without a value are left out. */
  readonly values: ReadonlyMap<string, Place & { readonly list: boolean }>;
}

/** What usage lines call the name of a file. */
const FILE_WORDS: ReadonlySet<string> = new Set(["FILE", "PATH", "PREFIX", "RECORDING"]);

interface Draft {
  words: Set<string>;
  asked: Asked | "";
  behind: "" | ":";
  files: boolean;
}

const EMPTY = { asked: "", behind: "", files: false } as const;

/** Reads the command table. */
export async function completionRules(): Promise<CompletionRules> {
  const commands = [...Object.keys(COMMANDS), "help"];
  const places = new Map<string, Draft>();
  const options = new Map<string, readonly string[]>();
  const values = new Map<string, Place & { readonly list: boolean }>();
  options.set("", Object.keys(CLIENT_OPTIONS).map((option) => `--${option}`));
  for (const [option, spec] of Object.entries(CLIENT_OPTIONS)) {
    values.set(` --${option}`, valueOf(option, spec));
  }
  for (const [name, entry] of Object.entries(COMMANDS)) {
    for (const usage of entry.usage) addUsage(places, name, usage);
    const specs = Object.entries(optionsOf(await entry.load()));
    options.set(name, specs.map(([option]) => `--${option}`));
    for (const [option, spec] of specs) {
      if (spec.takes === "nothing") continue;
      const value = valueOf(option, spec);
      values.set(`${name} --${option}`, value);
      if (spec.letter !== undefined) values.set(`${name} -${spec.letter}`, value);
    }
  }
  places.set("help 0", { ...EMPTY, words: new Set(Object.keys(COMMANDS)) });
  const plain = [...places].map(([pattern, { words, ...rest }]): [string, Place] => [
    pattern,
    { words: [...words], ...rest },
  ]).filter(([, { words, asked, files }]) => words.length > 0 || asked !== "" || files);
  // The more special pattern counts: behind ENDPOINT:PATH stands something else than behind FILE.
  const isSpecial = ([pattern]: readonly [string, Place]) => pattern.includes(":") ? 0 : 1;
  plain.sort((a, b) => isSpecial(a) - isSpecial(b));
  return { commands, places: new Map(plain), options, values };
}

function valueOf(option: string, spec: OptionSpec): Place & { readonly list: boolean } {
  const { value = "", takes } = spec;
  // The commands themselves load the layouts when they type.
  const choices = spec.choices ?? (option === "layout" ? LAYOUT_NAMES : []);
  const files = /^(FILE|PATH|DIR)/.test(value);
  const place = { words: choices, files, list: takes === "list" };
  if (/^E:/.test(value)) return { ...place, asked: "endpoints", behind: ":" };
  const asked = option === "endpoint" ? "endpoints" : option === "port" ? "consoles" : "";
  return { ...place, asked, behind: "" };
}

function addUsage(places: Map<string, Draft>, name: string, usage: string): void {
  const forms = withoutOptions(usage).split(" | ").map((form) => form.trim().split(/\s+/));
  const [first = []] = forms;
  // Further forms of one line begin where the first one differs: behind the endpoint.
  const head = first.slice(1, first.findIndex((token) => token.includes("ENDPOINT")) + 1);
  forms.forEach((form, i) => addForm(places, name, i === 0 ? form.slice(1) : [...head, ...form]));
}

function addForm(places: Map<string, Draft>, name: string, tokens: readonly string[]): void {
  let patterns = [""];
  tokens.forEach((token, position) => {
    const repeats = token.includes("…");
    const words = token.replace(/[[\]…]/g, "").split("|");
    const literals = words.filter((word) => /^[a-z][a-z0-9-]*$/.test(word));
    const heads = words.flatMap((word) => /^([a-z]+:)[A-Z]+$/.exec(word)?.[1] ?? []);
    const hasPath = words.includes(`${ASKED.endpoints}:PATH`);
    for (const pattern of patterns) {
      const key = repeats ? `${name} *` : `${name} ${position}${pattern}`;
      const place = places.get(key) ?? { ...EMPTY, words: new Set() };
      places.set(key, place);
      for (const word of [...literals, ...heads]) place.words.add(word);
      for (const [what, word] of Object.entries(ASKED)) {
        if (words.includes(word) || hasPath && word === ASKED.endpoints) place.asked = what as Asked;
      }
      if (hasPath) place.behind = ":";
      place.files ||= words.some((word) => FILE_WORDS.has(word));
    }
    // What stands here decides what may follow only where it is a word of the command's own and nothing
    // else, or where its form tells.
    const next = literals.length === words.length ? literals : hasPath ? ["*:/*"] : ["*"];
    patterns = patterns.flatMap((pattern) => next.map((word) => `${pattern} ${word}`));
  });
}

/** A usage line without its options: those in brackets, and those that are always given. */
function withoutOptions(usage: string): string {
  let text = usage;
  for (let before = ""; before !== text;) {
    before = text;
    text = text.replace(/\[-[^[\]]*\]/, "");
  }
  return text.replace(/ -{1,2}[a-z][a-z-]* [A-Z]+/g, "");
}
