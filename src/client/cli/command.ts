/**
 * What a command is: one file each, named after it, whose exported {@linkcode CommandModule} the command
 * table loads when it is chosen.
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
   * What it takes: nothing, a text, a number, several texts separated by commas, or a text that may be given
   * more than once.
   */
  readonly takes: "nothing" | "text" | "number" | "list" | "texts";
  /** What the usage calls its value: "MS". */
  readonly value?: string;
  /** A letter for short: "o". */
  readonly letter?: string;
  /** What it does, for the help. */
  readonly help: string;
  /** What its value can be, for the completion; any when left out. */
  readonly choices?: readonly string[];
  /** Whether a number may have a fraction. */
  readonly fraction?: boolean;
  /** Smallest number; 0 unless told. */
  readonly min?: number;
  /** Largest number. */
  readonly max?: number;
}

/** Options by their names. */
export type OptionSpecs = Readonly<Record<string, OptionSpec>>;

/** A command. */
export interface CommandModule {
  /** Its own options; `--json`, `--socket` and `--help` are everybody's. */
  readonly options?: OptionSpecs;
  /** How many arguments it takes; any number unless told. */
  readonly args?: { readonly min: number; readonly max: number };
  /** Whether `-- COMMAND…` may follow. */
  readonly takesCommand?: boolean;
  /** Whether it talks to a daemon: then `--socket PATH` is understood. True unless told. */
  readonly isClient?: boolean;
  /**
   * Whether it takes SIGTERM and Ctrl-C itself: a daemon that is told to stop has done what it was asked.
   * False unless told.
   */
  readonly takesSignals?: boolean;
  /** What `--help` says below the usage. */
  readonly details: string;
  /** Lines that can be typed as they stand, without "vmsig". */
  readonly examples: readonly string[];
  /** Does it; the number is the exit code, 0 when it gives none. */
  run(call: Call): Promise<number | void>;
}

/** One of the options that may be given more than once. */
export interface OptionStep {
  /** The option's name. */
  readonly option: string;
  /** Its value. */
  readonly text: string;
}

/** What a command is called with. */
export interface Call {
  /** Arguments that are not options. */
  readonly args: readonly string[];
  /** What came after `--`; undefined without one. */
  readonly rest: readonly string[] | undefined;
  /** Whether `--json` was given. */
  readonly json: boolean;
  /** Where the command prints. */
  readonly out: Output;
  /** Takes a line for standard error; see `note.ts`. */
  readonly err: (line: string) => void;
  /** Aborted by Ctrl-C or SIGTERM. */
  readonly signal: AbortSignal;
  /** `--socket`, undefined when it was not given. */
  readonly socket: string | undefined;
  /** `--nats` and what belongs to it; undefined when the command goes to a daemon. */
  readonly nats: NatsOptions | undefined;
  /** A text option. */
  text(name: string): string | undefined;
  /** A number option. */
  number(name: string): number | undefined;
  /** A list option. */
  list(name: string): readonly string[] | undefined;
  /** The text options that may be given more than once, with their values, as they stand on the line. */
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

/** One line of the command table. */
export interface CommandEntry {
  /** What it does, in half a line. */
  readonly summary: string;
  /** How it is called, without "vmsig": one line each form. */
  readonly usage: readonly string[];
  /** Loads it. */
  load(): Promise<CommandModule>;
}
