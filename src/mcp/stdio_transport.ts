/**
 * The SDK's transport over standard input and output. The SDK's own joins what has come of a message anew
 * with each piece that comes, which takes a large one many seconds, drops in silence what is not a message,
 * and parses and checks each message twice. Here the pieces are joined once, a message is parsed once, and
 * what is not one is answered (`message_lines.ts`). What a method takes is still checked by the SDK.
 * @module
 */
import type { Readable, Writable } from "node:stream";
import { assert } from "../base/assert.ts";
import { type LineMessage, LinePieces } from "./message_lines.ts";

/** What the SDK needs of a transport. */
export class StdioTransport {
  /** Set by the SDK: takes a message. */
  onmessage?: (message: LineMessage) => void;
  /** Set by the SDK: told what went wrong. */
  onerror?: (error: Error) => void;
  /** Set by the SDK: told of the end. */
  onclose?: () => void;
  readonly #input: Readable;
  readonly #output: Writable;
  readonly #pieces: LinePieces;
  readonly #onData = (chunk: Uint8Array) => this.#pieces.add(chunk);
  readonly #onEnd = () => void this.close();
  readonly #onError = (error: Error) => {
    this.onerror?.(error);
    void this.close();
  };
  #state: "new" | "open" | "closed" = "new";

  /**
   * Reads nothing yet.
   *
   * @param mostBytes of one message
   */
  constructor(input: Readable, output: Writable, mostBytes: number) {
    this.#input = input;
    this.#output = output;
    const answer = (line: string) => void output.write(line);
    this.#pieces = new LinePieces({ mostBytes, answer }, (message) => {
      if (this.#state === "open") this.onmessage?.(message);
    });
  }

  /** Begins to read. */
  start(): Promise<void> {
    assert(this.#state === "new", "a transport is started once");
    this.#state = "open";
    this.#input.on("data", this.#onData);
    this.#input.once("end", this.#onEnd).once("close", this.#onEnd).once("error", this.#onError);
    // It stays after the end: a late write to a client that has gone must not end the process.
    this.#output.on("error", this.#onError);
    return Promise.resolve();
  }

  /** Sends a message; resolves when the next may come. */
  send(message: object): Promise<void> {
    if (this.#state === "closed") return Promise.reject(new Error("the client disconnected"));
    if (this.#output.write(`${JSON.stringify(message)}\n`)) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const drained = () => {
        this.#output.off("error", failed);
        resolve();
      };
      const failed = (error: Error) => {
        this.#output.off("drain", drained);
        reject(error);
      };
      this.#output.once("drain", drained).once("error", failed);
    });
  }

  /** Reads no more; told once. */
  close(): Promise<void> {
    if (this.#state === "closed") return Promise.resolve();
    this.#state = "closed";
    this.#input.off("data", this.#onData);
    this.#input.pause();
    this.onclose?.();
    return Promise.resolve();
  }
}
