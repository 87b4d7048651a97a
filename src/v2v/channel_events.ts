/**
 * A channel's events without a thread that waits: callbacks, as header 004's v2v_async has them, and
 * asynchronous iteration over messages.
 * @module
 */
import { Fault } from "../base/fault.ts";
import { MS } from "../base/clock.ts";
import type { Channel } from "./channel.ts";
import { SLICE_NS } from "./channel_parts.ts";
import { requestsDisconnect } from "./endpoint_state.ts";

/** What to call; each may be left out. A callback that throws ends the dispatch. */
export interface ChannelCallbacks {
  /** Messages wait: read until there are none. What is left is told again, up to 100 ms later. */
  readonly onReceive?: () => void;
  /** The room is there that the last prepare() was refused. */
  readonly onSend?: () => void;
  /** The other end's state has changed. */
  readonly onControl?: () => void;
}

/** One message, copied out of the ring. */
export interface ChannelMessage {
  /** Its type, 0 to 254. */
  readonly type: number;
  /** Its flags. */
  readonly flags: number;
  /** Its bytes, the receiver's own. */
  readonly payload: Uint8Array<ArrayBuffer>;
}

/**
 * Calls back until the other end has gone and everything is read, or the signal says stop.
 *
 * @param channel the channel; nobody else waits on it meanwhile
 * @param callbacks what to call
 * @param signal ends it, within 100 ms
 * @throws whatever a callback throws
 */
export async function dispatchEvents(
  channel: Channel,
  callbacks: ChannelCallbacks,
  signal?: AbortSignal,
): Promise<void> {
  const { receiver, sender } = channel;
  let seen = channel.remoteState();
  let told = sender.refusals;
  if (sender.wantsRoom) told--;
  while (!channel.closed && signal?.aborted !== true) {
    const state = channel.remoteState();
    if (state !== seen) callbacks.onControl?.();
    seen = state;
    if (channel.closed) return;
    let stalled = false;
    if (receiver.pending()) {
      const waiting = receiver.queuedBytes;
      callbacks.onReceive?.();
      if (channel.closed) return;
      stalled = receiver.pending() && receiver.queuedBytes === waiting;
    }
    // By refusals, not by what is wanted now: a wait that found the room has forgotten the wish.
    if (sender.refusals !== told && sender.roomReady()) {
      told = sender.refusals;
      callbacks.onSend?.();
    }
    if (channel.closed || (requestsDisconnect(state) && !receiver.pending())) return;
    // What a callback left unread must not make this loop spin.
    if (stalled) await channel.pauseAsync();
    else await channel.waitAsync("any", SLICE_NS / MS);
  }
}

/**
 * The messages of a channel, each copied and finished, until the other end disconnects.
 *
 * @param channel the channel; nobody else receives on it meanwhile
 * @param idleMs how long to wait for the next; for ever unless told
 * @throws {Fault} `timed-out`; `seam-down` when the other end went without a goodbye, behind its last
 *   message; `protocol-error`
 */
export async function* messages(channel: Channel, idleMs = Infinity): AsyncGenerator<ChannelMessage> {
  for (;;) {
    const payload = channel.receiveMessage();
    if (payload !== undefined) {
      yield { type: channel.receiver.type, flags: channel.receiver.flags, payload };
      continue;
    }
    const outcome = await channel.waitAsync("receive", idleMs);
    if (outcome === "ready") continue;
    if (outcome === "timed-out") {
      throw new Fault("timed-out", `Cannot receive the next message: none came within ${idleMs} ms.`);
    }
    if (channel.fault !== undefined) throw channel.fault;
    if (!channel.closed && channel.remoteState() === "crashed") {
      throw new Fault("seam-down", "Cannot receive more messages: the other end went without a goodbye.");
    }
    return;
  }
}
