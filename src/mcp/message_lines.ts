/**
 * A client's messages, line by line: each is parsed once, and a line that is not a message is answered, as
 * JSON-RPC has it.
 * @module
 */
import { Buffer } from "node:buffer";
import { assert } from "../base/assert.ts";

const LINE_END = 0x0a;
/** JSON-RPC's numbers. */
const PARSE_ERROR = -32700;
const INVALID_REQUEST = -32600;

/** What it is told. */
export interface MessageLinesOptions {
  /** Bytes of one message at most. */
  readonly mostBytes: number;
  /** Sends a line to the client. */
  readonly answer: (line: string) => void;
}

/** A JSON-RPC message; what its method takes is checked by whoever handles it. */
export interface LineMessage {
  /** The version. */
  readonly jsonrpc: "2.0";
}

/** Lines out of pieces. */
export class LinePieces {
  readonly #options: MessageLinesOptions;
  readonly #onMessage: (message: LineMessage) => void;
  #pieces: Uint8Array[] = [];
  #bytes = 0;

  /**
   * Without anything yet.
   *
   * @param onMessage is handed each message
   */
  constructor(options: MessageLinesOptions, onMessage: (message: LineMessage) => void) {
    this.#options = options;
    this.#onMessage = onMessage;
  }

  /** Takes what came. */
  add(chunk: Uint8Array): void {
    for (let from = 0; from < chunk.length;) {
      const end = chunk.indexOf(LINE_END, from);
      this.#keep(chunk.subarray(from, end < 0 ? chunk.length : end + 1));
      if (end < 0) return;
      this.#line();
      from = end + 1;
    }
  }

  #keep(piece: Uint8Array): void {
    this.#bytes += piece.length;
    // Of a line that is too long only its length is known.
    if (this.#bytes > this.#options.mostBytes) this.#pieces = [];
    else this.#pieces.push(piece);
  }

  #line(): void {
    const { mostBytes } = this.#options;
    const [first] = this.#pieces;
    const line = this.#pieces.length === 1 && first !== undefined ? first : Buffer.concat(this.#pieces);
    const isTooLong = this.#bytes > mostBytes;
    assert(isTooLong || line.length === this.#bytes, "a line is all of its pieces");
    this.#pieces = [];
    this.#bytes = 0;
    if (isTooLong) {
      return this.#refuse(INVALID_REQUEST, `it has more than ${mostBytes} bytes`);
    }
    const text = new TextDecoder().decode(line).trim();
    if (text === "") return;
    let message: unknown;
    try {
      message = JSON.parse(text);
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      return this.#refuse(PARSE_ERROR, "it is not JSON in one line");
    }
    const why = whyNoMessage(message);
    if (why === undefined) return this.#onMessage(message as LineMessage);
    this.#refuse(INVALID_REQUEST, why, idOf(message));
  }

  #refuse(code: number, why: string, id: string | number | null = null): void {
    const error = { code, message: `Cannot read a message: ${why}` };
    this.#options.answer(`${JSON.stringify({ jsonrpc: "2.0", id, error })}\n`);
  }
}

/** Why something is not a JSON-RPC message; undefined when it is one. */
function whyNoMessage(value: unknown): string | undefined {
  if (Array.isArray(value)) return "it is an array; send one message per line";
  if (typeof value !== "object" || value === null) return "it is not an object";
  const message = value as Record<string, unknown>;
  if (message["jsonrpc"] !== "2.0") return 'it has no "jsonrpc": "2.0"';
  const { id, params, method } = message;
  if (id !== undefined && idOf(value) === null) return "its id is not a text or a whole number";
  if (params !== undefined && (typeof params !== "object" || params === null || Array.isArray(params))) {
    return "its params are not an object";
  }
  if (method !== undefined) return typeof method === "string" ? undefined : "its method is not a text";
  const isAnswer = id !== undefined && ("result" in message || "error" in message);
  return isAnswer ? undefined : "it has no method";
}

function idOf(value: unknown): string | number | null {
  const id = typeof value === "object" && value !== null ? (value as Record<string, unknown>)["id"] : null;
  return typeof id === "string" || Number.isSafeInteger(id) ? id as string | number : null;
}
