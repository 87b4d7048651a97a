/**
 * A WebSocket as the transport of one viewer of the RFB server.
 * @module
 */
import type { ViewerInput, ViewerTransport } from "../rfb/server/rfb_server.ts";

/** Size limit of one message from a viewer, bytes: keys and pointers are small. */
const MOST_VIEWER_BYTES = 65_536;
const LOOK_MS = 20;

/** The transport. */
export class SocketTransport implements ViewerTransport {
  readonly #socket: WebSocket;
  #viewer: ViewerInput | undefined;
  #timer: ReturnType<typeof setInterval> | undefined;

  /** Uses an open socket. */
  constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
  }

  get bufferedBytes(): number {
    return this.#socket.bufferedAmount;
  }

  /** Passes received data to the viewer from now on. */
  run(viewer: ViewerInput): void {
    this.#viewer = viewer;
    const socket = this.#socket;
    socket.onmessage = ({ data }) => {
      if (!(data instanceof ArrayBuffer)) return socket.close(1003, "bytes are expected");
      if (data.byteLength > MOST_VIEWER_BYTES) return socket.close(1009, "too much at once");
      viewer.receive(new Uint8Array(data));
    };
    socket.onclose = () => {
      this.#rest();
      viewer.gone();
    };
    // Errors are followed by a close event.
    socket.onerror = (event) => event.preventDefault();
  }

  send(bytes: Uint8Array<ArrayBuffer>): void {
    if (this.#socket.readyState !== WebSocket.OPEN) return;
    this.#socket.send(bytes);
    // A WebSocket does not report when its buffer has been emptied.
    this.#timer ??= setInterval(() => {
      if (this.#socket.bufferedAmount === 0) this.#rest();
      this.#viewer?.drained();
    }, LOOK_MS);
  }

  close(): void {
    this.#rest();
    this.#socket.close(1000);
  }

  #rest(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
