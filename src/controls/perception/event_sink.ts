/**
 * Where perception's events go: UP events of source FRAME. The wire is its carrier's business.
 * @module
 */
import type { Kind } from "../../event/kind.ts";

/** Takes what is published about an endpoint. */
export interface EventSink {
  /**
   * Publishes an event.
   *
   * @param kind a publishable kind: CURSOR_STATE, FRAME_INFO, VGPU_STATUS, FRAME_RING
   * @param endpoint the endpoint
   * @param inline the inline zone; the caller's own again after the call
   * @param fd a descriptor that goes along, borrowed; -1 for none
   */
  publish(kind: Kind, endpoint: number, inline: Uint8Array, fd: number): void;
  /** Writes a line to the log. */
  say(endpoint: number, text: string): void;
}
