/**
 * Channels between two processes of a host, or between a process and a guest: two rings in shared memory,
 * messages or a stream of bytes over them (src/v2v/RING.md).
 *
 * @example A pair: one end listens, the other connects, a message there and a stream back
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { connectProcessAsync, ProcessListener, Stream } from "@vmsig/vmsig/v2v";
 *
 * const runtimeDir = Deno.makeTempDirSync(); // the daemon's is /run/vmsig
 * {
 *   using listener = new ProcessListener(runtimeDir, "example");
 *   const [ours, theirs] = await Promise.all([
 *     listener.acceptAsync(5000),
 *     connectProcessAsync(runtimeDir, "example"),
 *   ]);
 *   try {
 *     const text = new TextEncoder().encode("hello");
 *     assertEquals(theirs.sendMessage(text, 7), "ok");
 *     assertEquals(await ours.waitAsync("receive", 5000), "ready");
 *     assertEquals(ours.receiveMessage(), text);
 *     assertEquals(ours.receiver.type, 7);
 *
 *     const [sending, receiving] = [new Stream(ours), new Stream(theirs)];
 *     assertEquals(await sending.sendAsync(text, 5000), { sent: 5, outcome: "done" });
 *     const received = new Uint8Array(5);
 *     assertEquals(await receiving.receiveAsync(received, 5000), { outcome: "data", received: 5 });
 *     assertEquals(received, text);
 *   } finally {
 *     // The connector says goodbye first: a listener waits for that.
 *     await theirs.disconnectAsync();
 *     await ours.disconnectAsync();
 *   }
 * }
 * Deno.removeSync(runtimeDir, { recursive: true });
 * ```
 * @module
 */
export { Fault } from "../base/fault.ts";
export { ownUserRule, type PeerRule, usersRule } from "../rendezvous/admission.ts";
export { pipeChannel, type PipeEnds, type PipeResult } from "../rendezvous/channel_pipe.ts";
export {
  connectIvshmem,
  type IvshmemChannelOptions,
  IvshmemListener,
} from "../rendezvous/ivshmem_channel.ts";
export { IvshmemDevice } from "../rendezvous/ivshmem_device.ts";
export { type ConnectOptions, connectProcess, connectProcessAsync } from "../rendezvous/process_connector.ts";
export { type ListenOptions, ProcessListener } from "../rendezvous/process_listener.ts";
export { Channel } from "./channel.ts";
export { type ChannelCallbacks, type ChannelMessage, dispatchEvents, messages } from "./channel_events.ts";
export type { ChannelFds, ChannelLink } from "./channel_link.ts";
export type { ChannelParts, ChannelTuning, WaitFor, WaitOutcome } from "./channel_parts.ts";
export type { EndpointState } from "./endpoint_state.ts";
export { Receiver } from "./receiver.ts";
export { RegionHeader, type RegionPlan } from "./region_header.ts";
export type { Role } from "./region_layout.ts";
export { Sender } from "./sender.ts";
export { BufferRegion, type SharedRegion } from "./shared_region.ts";
export { type ReceiveResult, type SendResult, Stream } from "./stream.ts";
export { type WebStreams, webStreams } from "./web_streams.ts";
