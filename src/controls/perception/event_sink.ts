/**
 * Where perception's events go: UP events of source FRAME. Its implementation chooses the wire.
 * @module
 */
import type { Code } from "../../base/codes.ts";
import type { EndpointId } from "../../base/ids.ts";
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import type { Kind } from "../../event/kind.ts";

/** What a command came to. */
export interface Answer {
  /** 0, or why not. */
  readonly code: Code;
  /** The words of a refusal, escaped; "" without any. */
  readonly words: string;
  /** The body of an answer of its own, a view good for the call; empty for an ACT_ACK. */
  readonly body: Uint8Array;
  /** Its descriptors, the receiver's from now on. */
  readonly fds: readonly OwnedFd[];
}

/** A command to an endpoint's display adapter: the fields of CMD_DISPLAY. */
export interface DisplayCommand {
  /** One of DISPLAY_OP. */
  readonly op: number;
  /** The head. */
  readonly head: number;
  /** See src/event/PROTOCOL.md, by operation; 0 where it means nothing. */
  readonly serial?: number;
  /** See {@linkcode serial}. */
  readonly code?: Code;
  /** See {@linkcode serial}. */
  readonly frameId?: number;
  /** See {@linkcode serial}. */
  readonly source?: number;
  /** Words that go along. */
  readonly words?: string;
  /** A descriptor that goes along, borrowed. */
  readonly fd?: number;
}

/** A descriptor that is waited for. */
export interface DescriptorWatch extends Disposable {
  /** Waits for other events. */
  wait(events: number): void;
}

/** Takes what is published about an endpoint, and carries what is asked of its display adapter. */
export interface EventSink {
  /**
   * Asks the endpoint's display adapter.
   *
   * @param then told the answer, once; never when the connection ends first
   */
  ask(endpoint: EndpointId, command: DisplayCommand, then: (answer: Answer) => void): void;
  /**
   * Waits for a descriptor together with everything else.
   *
   * @param fd the descriptor, borrowed until the watch is disposed of
   * @param events epoll's bits
   */
  watch(fd: number, events: number, onReady: () => void): DescriptorWatch;
  /** Publishes a SCREEN_TEXT. @param body CBOR */
  publishText(endpoint: EndpointId, head: number, body: Uint8Array): void;
  /**
   * Publishes an event.
   *
   * @param kind a publishable kind: CURSOR_STATE, CURSOR_SHAPE, FRAME_INFO, VGPU_STATUS, FRAME_RING, …
   * @param endpoint the endpoint
   * @param inline the inline zone; the caller's own again after the call
   * @param fd a descriptor that goes along, borrowed; -1 for none
   * @param body raw bytes that go along; none unless told
   */
  publish(kind: Kind, endpoint: EndpointId, inline: Uint8Array, fd: number, body?: Uint8Array): void;
  /** Writes a line to the log. */
  say(endpoint: EndpointId, text: string): void;
}
