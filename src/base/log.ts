/**
 * The log: one structured line an entry on stderr, which journald and a person both read. `<level>` comes
 * first as a syslog priority when journald listens (`<4>…`), then `key=value` pairs. Where journald does not
 * listen, whoever writes the lines puts their time in front (local_time.ts): it is not part of a line, so
 * that equal lines stay equal. It buffers nothing and never throws. What a line carries may come from
 * outside: every value is bounded and escaped (printable.ts), and so is the message.
 * @module
 */
import { MOST_PRINTED, oneLine, printable } from "./printable.ts";

/** Characters of a message: it is ours, but may quote an error's text. */
const MOST_MESSAGE = 2048;

/** Levels, with syslog's numbers. */
export const LOG_LEVEL = { error: 3, warn: 4, info: 6, debug: 7 } as const;
/** A level by its name. */
export type LogLevel = keyof typeof LOG_LEVEL;
/** What a log line may carry. */
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

/**
 * Where lines go; injected, so that tests read them. `isRecord`: each such line counts, whatever else is left
 * out. `isFollowed`: another record follows in the same call of the writer, so both can be written at once.
 */
export type LogSink = (line: string, isRecord?: boolean, isFollowed?: boolean) => void;

/** A leveled log of one component. */
export class Log {
  readonly #threshold: number;
  readonly #sink: LogSink;
  readonly #component: string;
  readonly #journal: boolean;

  /**
   * Makes a log; it writes nothing by itself.
   *
   * @param component which part speaks
   * @param level the least important level that is written
   * @param sink where a line goes (without its newline)
   * @param journal true to prefix syslog priorities
   */
  constructor(component: string, level: LogLevel, sink: LogSink, journal = false) {
    this.#component = component;
    this.#threshold = LOG_LEVEL[level];
    this.#sink = sink;
    this.#journal = journal;
  }

  /** The same log under another component's name. */
  for(component: string): Log {
    const level = (Object.keys(LOG_LEVEL) as LogLevel[]).find((name) => LOG_LEVEL[name] === this.#threshold);
    return new Log(component, level ?? "info", this.#sink, this.#journal);
  }

  /** Whether a level is written: lets a caller skip the work of composing a line. */
  wants(level: LogLevel): boolean {
    return LOG_LEVEL[level] <= this.#threshold;
  }

  /** Something went wrong and somebody should look. */
  error(message: string, fields?: LogFields): void {
    this.#write("error", message, fields);
  }
  /** Something is off, and was dealt with. */
  warn(message: string, fields?: LogFields): void {
    this.#write("warn", message, fields);
  }
  /** Something that an operator wants to know happened. */
  info(message: string, fields?: LogFields): void {
    this.#write("info", message, fields);
  }
  /**
   * What somebody will want to prove one day (the audit trail): as important as info, but never folded, and
   * the last to be lost.
   *
   * @param isFollowed whether another record is written right after it
   */
  record(message: string, fields?: LogFields, isFollowed = false): void {
    this.#write("info", message, fields, true, isFollowed);
  }
  /** A detail for who hunts a defect. */
  debug(message: string, fields?: LogFields): void {
    this.#write("debug", message, fields);
  }

  #write(
    level: LogLevel,
    message: string,
    fields?: LogFields,
    isRecord?: boolean,
    isFollowed?: boolean,
  ): void {
    if (!this.wants(level)) return;
    let line = this.#journal ? `<${LOG_LEVEL[level]}>` : `${level.padEnd(5)} `;
    line += `${this.#component}: ${oneLine(message.slice(0, MOST_MESSAGE))}`;
    for (const key in fields) {
      const value = fields[key];
      if (value !== undefined) line += ` ${key}=${shown(value)}`;
    }
    this.#sink(line, isRecord, isFollowed);
  }
}

/** A log that drops everything, for libraries and tests. */
export const SILENT: Log = new Log("", "error", () => {});

/** What is shown as it is, without quotes; none of it is ever escaped. */
const PLAIN = /^[\w.:/@+,-]+$/;

function shown(value: string | number | boolean): string {
  // No number or boolean has anything in it to escape: to look costs half of what an audit line does.
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  // Nor has what is plain, and most values are.
  if (value.length <= MOST_PRINTED && PLAIN.test(value)) return value;
  const text = printable(String(value));
  return PLAIN.test(text) ? text : `"${text.replaceAll('"', '\\"')}"`;
}
