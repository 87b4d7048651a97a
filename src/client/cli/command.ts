/**
 * The form of a command: one file per command, named after it, whose exported {@linkcode CommandModule} the
 * command table loads when the command is used.
 * @module
 */
import type { Client } from "../client.ts";
import type { ConnectOptions } from "../connect.ts";
import type { SubscribeOptions } from "../handshake.ts";
import type { NatsOptions } from "../../nats/wire/nats_link.ts";
import type { Output } from "./output.ts";

/** An option of a command. */
export interface OptionSpec {
  /**
   * Type of its value: none, a text, a number, several texts separated by commas, or a text that may be given
   * more than once.
   */
  readonly takes: "nothing" | "text" | "number" | "list" | "texts";
  /** Name of its value in the usage: "MS". */
  readonly value?: string;
  /** A one-letter short form: "o". */
  readonly letter?: string;
  /** Description in the help. */
  readonly help: string;
  /** Possible values, for completion; omitted: any. */
  readonly choices?: readonly string[];
  /** Whether a number may have a fraction. */
  readonly fraction?: boolean;
  /** Smallest number; 0 by default. */
  readonly min?: number;
  /** Largest number. */
  readonly max?: number;
}

/** Options by their names. */
export type OptionSpecs = Readonly<Record<string, OptionSpec>>;

/** A command. */
export interface CommandModule {
  /** Its own options; `--json`, `--socket` and `--help` are common to all. */
  readonly options?: OptionSpecs;
  /** Number of arguments; any by default. */
  readonly args?: { readonly min: number; readonly max: number };
  /** Whether `-- COMMAND…` may follow. */
  readonly takesCommand?: boolean;
  /** Whether it talks to a daemon, and so has `--socket PATH`. True by default. */
  readonly isClient?: boolean;
  /**
   * Whether it handles SIGTERM and Ctrl-C itself: for a daemon, being stopped is success. False by default.
   */
  readonly takesSignals?: boolean;
  /** Text of `--help` below the usage. */
  readonly details: string;
  /** Example command lines, without "vmsig". */
  readonly examples: readonly string[];
  /** Runs it; the result is the exit code, 0 if there is none. */
  run(call: Call): Promise<number | void>;
}

/** An option that may be given more than once. */
export interface OptionStep {
  /** The option's name. */
  readonly option: string;
  /** Its value. */
  readonly text: string;
}

/** The parsed command line and environment of a command. */
export interface Call {
  /** Arguments that are not options. */
  readonly args: readonly string[];
  /** What came after `--`; undefined without one. */
  readonly rest: readonly string[] | undefined;
  /** Whether `--json` was given. */
  readonly json: boolean;
  /** Where the command prints. */
  readonly out: Output;
  /** Writes a line to standard error; see `note.ts`. */
  readonly err: (line: string) => void;
  /** Aborted by Ctrl-C or SIGTERM. */
  readonly signal: AbortSignal;
  /** `--socket`, undefined if it was not given. */
  readonly socket: string | undefined;
  /** `--nats` and its companions; undefined if the command goes to a daemon. */
  readonly nats: NatsOptions | undefined;
  /** A text option. */
  text(name: string): string | undefined;
  /** A number option. */
  number(name: string): number | undefined;
  /** A list option. */
  list(name: string): readonly string[] | undefined;
  /** The text options that may be given more than once, in order of the line. */
  readonly steps: readonly OptionStep[];
  /** Whether an option without a value was given. */
  flag(name: string): boolean;
  /**
   * Joins the bus; the caller closes the client.
   *
   * @param reconnect see {@linkcode ConnectOptions}
   * @param more see {@linkcode ConnectOptions}
   */
  connect(
    sub?: SubscribeOptions,
    reconnect?: ConnectOptions["reconnect"],
    more?: Pick<ConnectOptions, "as" | "timeoutMs">,
  ): Promise<Client>;
}

/** One entry of the command table. */
export interface CommandEntry {
  /** A short description. */
  readonly summary: string;
  /** Its usage without "vmsig", one line per form. */
  readonly usage: readonly string[];
  /** Loads it. */
  load(): Promise<CommandModule>;
}
