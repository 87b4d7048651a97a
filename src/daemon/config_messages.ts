/**
 * Transfers a config to the loop's thread in pieces. Its lists can be long (a rule for each of ten thousand
 * users), the ring between the threads is not, and parsing one large JSON text would delay the loop. Each
 * piece is small and parsed separately; the last one completes the config, and only then does anything
 * change.
 * @module
 */
import { assert } from "../base/assert.ts";
import type { Config } from "./config.ts";
import { INBOX } from "./plan.ts";

/** Size limit of a piece of a list, characters: it takes about 0.1 ms to parse. */
const PIECE_BYTES = 16 << 10;
/** Size limit of one item; the ring accepts four times as much. */
const MAX_ITEM_BYTES = 128 << 10;

const LISTS = ["endpoints", "channels", "admission", "policy", "write"] as const;
type ListName = (typeof LISTS)[number];

/** Items of one list. */
interface Piece {
  readonly id: number;
  readonly list: ListName;
  readonly items: readonly unknown[];
}

/** The last piece: everything except the lists, and the lists' lengths. */
interface Whole {
  readonly id: number;
  readonly rest: Omit<Config, ListName>;
  readonly lengths: Readonly<Record<ListName, number>>;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/**
 * Splits a config into messages.
 *
 * @param id different for each config
 * @returns messages with their tags, in order of sending
 */
export function configMessages(
  config: Config,
  id: number,
): (readonly [tag: number, bytes: Uint8Array])[] {
  const messages: (readonly [number, Uint8Array])[] = [];
  for (const list of LISTS) {
    for (const items of slices(config[list])) {
      messages.push([INBOX.CONFIG_PIECE, encoder.encode(`{"id":${id},"list":"${list}","items":[${items}]}`)]);
    }
  }
  const { endpoints, channels, admission, policy, write, ...rest } = config;
  const lengths = {
    endpoints: endpoints.length,
    channels: channels.length,
    admission: admission.length,
    policy: policy.length,
    write: write.length,
  };
  const whole: Whole = { id, rest, lengths };
  messages.push([INBOX.CONFIG, encoder.encode(JSON.stringify(whole))]);
  return messages;
}

/** The part of a config with an entry that is too large to be transferred; undefined when there is none. */
export function oversizedPart(config: Config): string | undefined {
  const isLarge = (item: unknown): boolean => encoder.encode(JSON.stringify(item)).length > MAX_ITEM_BYTES;
  const list = LISTS.find((name) => config[name].some(isLarge));
  if (list !== undefined) return list;
  const { daemon, discovery } = config;
  return isLarge({ daemon, discovery }) ? "daemon, discovery" : undefined;
}

/** A list's items as JSON, with as many per piece as fit. */
function* slices(items: readonly unknown[]): Generator<string> {
  let texts: string[] = [];
  let length = 0;
  for (const item of items) {
    const text = JSON.stringify(item);
    if (length > 0 && length + text.length > PIECE_BYTES) {
      yield texts.join();
      texts = [];
      length = 0;
    }
    texts.push(text);
    length += text.length;
  }
  if (texts.length > 0) yield texts.join();
}

/** Assembles a config from its pieces. */
export class ConfigAssembler {
  #id = -1;
  #lists: Record<ListName, unknown[]> = noLists();

  /** Takes a piece; the first piece of another config discards the previous one. */
  piece(message: Uint8Array): void {
    const { id, list, items } = JSON.parse(decoder.decode(message)) as Piece;
    assert(LISTS.includes(list), "a piece is of a list that a config has");
    this.#begin(id);
    for (const item of items) this.#lists[list].push(item);
  }

  /**
   * Takes the last piece.
   *
   * @returns undefined if some pieces were replaced by those of a newer config, which follows
   */
  whole(message: Uint8Array): Config | undefined {
    const { id, rest, lengths } = JSON.parse(decoder.decode(message)) as Whole;
    this.#begin(id);
    const lists = this.#lists;
    this.#begin(-1);
    if (LISTS.some((list) => lists[list].length !== lengths[list])) return undefined;
    return { ...rest, ...lists } as Config;
  }

  #begin(id: number): void {
    if (id === this.#id) return;
    this.#id = id;
    this.#lists = noLists();
  }
}

function noLists(): Record<ListName, unknown[]> {
  return { endpoints: [], channels: [], admission: [], policy: [], write: [] };
}
