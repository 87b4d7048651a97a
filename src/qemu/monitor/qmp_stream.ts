/**
 * A monitor's byte stream as a conversation sees it: commands go out, bytes come in, and it ends. A socket is
 * one (qmp_connection.ts); what manages a VM may carry another in this process, without a socket in between.
 * @module
 */
import type { QmpOutput } from "../protocol/qmp_client.ts";

/** Who takes what comes. Told nothing before whoever opened the stream has it, nor while it sends. */
export interface QmpStreamListener {
  /** Bytes of the stream, valid during the call. */
  onBytes(bytes: Uint8Array, length: number): void;
  /** The stream has ended; nothing comes after it. */
  onEnd(): void;
  /** Something that was done with what came threw: the connection is to be lost. Left out: it is closed. */
  onFault?(error: unknown): void;
}

/** An open stream. */
export interface QmpStream extends QmpOutput {
  /** Reads what is there. */
  drain(): void;
  /** Ends it: the listener is told nothing more. */
  close(): void;
}

/** Opens a stream, once. */
export type OpenQmpStream = (listener: QmpStreamListener) => QmpStream;
