/**
 * The way to one viewer: whatever carries bytes both ways, in order (a socket, a WebSocket). The server does
 * not read or wait: whoever owns the transport hands in what comes ({@linkcode ViewerInput}).
 * @module
 */

/** What the server does with a transport. */
export interface ViewerTransport {
  /** Bytes that were handed to {@linkcode send} and have not left: nothing is painted while they are many. */
  readonly bufferedBytes: number;
  /**
   * Takes bytes, which stay as they are; never waits.
   *
   * @param bytes in order behind all that came before
   */
  send(bytes: Uint8Array<ArrayBuffer>): void;
  /**
   * The server has done with the viewer: what was sent still goes out, as far as the other side takes it
   * soon. Called once, also when the other side has gone.
   */
  close(): void;
}

/** What the transport's owner tells the server of a viewer. */
export interface ViewerInput {
  /** Bytes came. They are not kept. */
  receive(bytes: Uint8Array<ArrayBuffer>): void;
  /** Some of what was buffered has left. */
  drained(): void;
  /** The other side has gone. */
  gone(): void;
}
