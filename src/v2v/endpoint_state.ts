/**
 * The states of an end of a channel: numbers and names as RING.md has them.
 * @module
 */

/** State name to number, as it lies in the region. */
export const STATE = {
  unknown: 0,
  unready: 0x123,
  listening: 0x124,
  connected: 0x125,
  disconnecting: 0x126,
  disconnected: 0x127,
  crashed: 0x128,
} as const;

/** A state by its name. */
export type EndpointState = keyof typeof STATE;

const NAMES = new Map<number, EndpointState>(
  (Object.keys(STATE) as EndpointState[]).map((name) => [STATE[name], name]),
);

/** The state that a word of the region stands for; a number that is not a valid state is `unknown`. */
export function stateFromNumber(word: number): EndpointState {
  return NAMES.get(word) ?? "unknown";
}

/** Whether who sees the other end in this state is to start disconnecting. */
export function requestsDisconnect(state: EndpointState): boolean {
  return STATE[state] >= STATE.disconnecting;
}
