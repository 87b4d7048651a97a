/**
 * The page's messages: JSON in a few forms, each checked field by field. Anything else ends the connection.
 * @module
 */
import { Fault } from "../base/fault.ts";
import { MAX_LEASE_MESSAGE } from "../event/kinds/lease_kinds.ts";
import { MAX_ENDPOINTS } from "../base/limits.ts";
import { MOST_ANSWER } from "../client/asks.ts";

/** Size limit of one message, characters. */
export const MOST_MESSAGE = 65_536;
/** Size limit of one paste, characters. */
export const MOST_PASTE = 10_000;
const MOST_NAME = 128;
const MOST_CHORD = 100;
const MOST_SEEN = Math.min(256, MAX_ENDPOINTS);

/** Power commands of a VM. */
export const POWER_WORDS = ["stop", "cont", "reset", "powerdown", "wakeup", "quit"] as const;
/** See {@linkcode POWER_WORDS}. */
export type PowerWord = (typeof POWER_WORDS)[number];

/** A message; its answer has the same `id`. */
export type PageMessage =
  | { readonly op: "see"; readonly id: number; readonly vms: readonly string[] }
  | {
    readonly op: "give" | "text" | "processes" | "state" | "consoles";
    readonly id: number;
    readonly vm: string;
  }
  | { readonly op: "take"; readonly id: number; readonly vm: string; readonly why: string }
  | { readonly op: "metrics"; readonly id: number }
  | { readonly op: "key"; readonly id: number; readonly vm: string; readonly chord: string }
  | {
    readonly op: "paste";
    readonly id: number;
    readonly vm: string;
    readonly text: string;
    readonly layout: string;
  }
  | { readonly op: "asks"; readonly id: number }
  | { readonly op: "answer"; readonly id: number; readonly ask: string; readonly text: string }
  | { readonly op: "power"; readonly id: number; readonly vm: string; readonly what: PowerWord };

/**
 * Reads a message.
 *
 * @throws {Fault} `protocol-error` when it is not valid
 */
export function parseMessage(text: string): PageMessage {
  if (text.length > MOST_MESSAGE) throw wrong("it is too long");
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw wrong("it is not JSON");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw wrong("it is not an object");
  const fields = value as Record<string, unknown>;
  const { op, id } = fields;
  if (typeof id !== "number" || !Number.isSafeInteger(id) || id < 0) throw wrong("it has no number");
  switch (op) {
    case "see": {
      const { vms } = fields;
      if (!Array.isArray(vms) || vms.length > MOST_SEEN) throw wrong("it has no list of VMs");
      return { op, id, vms: vms.map((vm) => textOf(vm, MOST_NAME)) };
    }
    case "metrics":
      return { op, id };
    case "take": {
      const why = fields["why"] ?? "";
      if (typeof why !== "string" || new TextEncoder().encode(why).length > MAX_LEASE_MESSAGE) {
        throw wrong("its reason is too long");
      }
      return { op, id, vm: textOf(fields["vm"], MOST_NAME), why };
    }
    case "give":
    case "text":
    case "processes":
    case "state":
    case "consoles":
      return { op, id, vm: textOf(fields["vm"], MOST_NAME) };
    case "asks":
      return { op, id };
    case "answer":
      return { op, id, ask: textOf(fields["ask"], MOST_NAME), text: textOf(fields["text"], MOST_ANSWER) };
    case "key":
      return { op, id, vm: textOf(fields["vm"], MOST_NAME), chord: textOf(fields["chord"], MOST_CHORD) };
    case "paste":
      return {
        op,
        id,
        vm: textOf(fields["vm"], MOST_NAME),
        text: textOf(fields["text"], MOST_PASTE),
        layout: textOf(fields["layout"], 16),
      };
    case "power": {
      const what = POWER_WORDS.find((word) => word === fields["what"]);
      if (what === undefined) throw wrong("it names nothing that can be done");
      return { op, id, vm: textOf(fields["vm"], MOST_NAME), what };
    }
    default:
      throw wrong("what it asks for is not known");
  }
}

function textOf(value: unknown, most: number): string {
  if (typeof value !== "string" || value.length === 0 || value.length > most) {
    throw wrong("a text is missing");
  }
  return value;
}

function wrong(why: string): Fault {
  return new Fault("protocol-error", `Cannot read what the page says: ${why}`);
}
