/**
 * What an eye says to the bus: UP events of source FRAME. The wire is its carrier's business.
 * @module
 */

/** Takes an eye's events. */
export interface EyePort {
  /**
   * Publishes an event.
   *
   * @param kind one of CURSOR_STATE, FRAME_INFO, VGPU_STATUS, FRAME_RING
   * @param endpoint the endpoint
   * @param inline the inline zone; the eye's own again after the call
   * @param fd a descriptor that goes along, borrowed; -1 for none
   */
  publish(kind: number, endpoint: number, inline: Uint8Array, fd: number): void;
  /** Says something to the log. */
  say(endpoint: number, text: string): void;
}
