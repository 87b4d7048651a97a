/**
 * The other process of the v2v benches and of the long runs: connects to a prefix and does one thing.
 *
 *     deno run -A v2v_peer.ts RUNTIME_DIR PREFIX produce BYTES COUNT BATCH | echo COUNT [fast] | stream BYTES
 *
 * Every produced message begins with its number, and its bytes follow from it: a consumer can check all of them.
 * @module
 */
import { connectProcess } from "../../src/rendezvous/process_connector.ts";
import type { Channel } from "../../src/v2v/channel.ts";
import { Stream } from "../../src/v2v/stream.ts";

const TIMEOUT_MS = 30_000;

/** Fills the numbered message `i`: its number in the first word, derived words behind it. */
export function fillNumbered(words: Int32Array, i: number): void {
  words[0] = i;
  words[1] = Math.imul(i, 0x9e3779b1);
  words[words.length - 1] = ~i;
}

/** Whether this is the numbered message `i`. */
export function isNumbered(words: Int32Array, i: number): boolean {
  return words[0] === (i | 0) && words[1] === Math.imul(i, 0x9e3779b1) && words[words.length - 1] === ~i;
}

/** Sends `count` numbered messages of `bytes` bytes, `batch` of them a doorbell. */
export function produce(channel: Channel, bytes: number, count: number, batch: number): void {
  const payload = new Uint8Array(bytes);
  const words = new Int32Array(payload.buffer);
  const { sender } = channel;
  let unsent = 0;
  for (let i = 0; i < count; i++) {
    fillNumbered(words, i);
    while (sender.prepareCopy(payload, 2) === "retry") {
      sender.send();
      unsent = 0;
      const outcome = channel.waitSend(TIMEOUT_MS);
      if (outcome !== "ready") throw new Error(`the consumer is ${outcome}`);
    }
    if (++unsent === batch) {
      sender.send();
      unsent = 0;
    }
  }
  sender.send();
}

/** Takes `count` numbered messages, each copied out and checked. */
export function consume(channel: Channel, bytes: number, count: number): void {
  const payload = new Uint8Array(bytes);
  const words = new Int32Array(payload.buffer);
  const { receiver } = channel;
  const releaseEvery = Math.max(1, Math.floor(16_384 / bytes));
  let kept = 0;
  for (let i = 0; i < count; i++) {
    while (!receiver.get()) {
      receiver.release();
      kept = 0;
      const outcome = channel.waitReceive(TIMEOUT_MS);
      if (outcome !== "ready") throw new Error(`the producer is ${outcome} at message ${i}`);
    }
    if (receiver.payloadBytes !== bytes) throw new Error(`message ${i} has ${receiver.payloadBytes} bytes`);
    receiver.copyPayload(payload, 0, 0, bytes);
    if (!isNumbered(words, i)) throw new Error(`message ${i} is not what was sent`);
    receiver.advance();
    if (++kept === releaseEvery) {
      receiver.release();
      kept = 0;
    }
  }
  receiver.release();
}

/** Sends every message back. */
function echo(channel: Channel, count: number, fast: boolean): void {
  if (fast) channel.requestFastReceive();
  const payload = new Uint8Array(64);
  for (let i = 0; i < count; i++) {
    while (!channel.receiver.get()) {
      if (channel.waitReceive(TIMEOUT_MS) !== "ready") throw new Error("the other end is gone");
    }
    const length = channel.receiver.copyPayload(payload);
    channel.receiver.finish();
    channel.sender.prepareCopy(payload, 0, 0, 0, length);
    channel.sender.send();
  }
}

/** Streams this many bytes. */
function stream(channel: Channel, bytes: number): void {
  const out = new Stream(channel);
  const chunk = new Uint8Array(1 << 20);
  for (let i = 0; i < chunk.length; i++) chunk[i] = i * 31;
  for (let sent = 0; sent < bytes; sent += chunk.length) {
    const result = out.send(chunk, TIMEOUT_MS);
    if (result.outcome !== "done") throw new Error(`the reader is ${result.outcome}`);
  }
}

if (import.meta.main) {
  const [runtimeDir = "", prefix = "", what, first = "", second = "", third = "1"] = Deno.args;
  const channel = connectProcess(runtimeDir, prefix, { tuning: { spinNs: 2_000_000 } });
  if (what === "produce") produce(channel, Number(first), Number(second), Number(third));
  else if (what === "echo") echo(channel, Number(first), second === "fast");
  else if (what === "stream") stream(channel, Number(first));
  else throw new Error(`what is ${what}?`);
  while (!channel.sender.drained() && !channel.remoteClosing()) channel.waitControl(5);
  channel.disconnect();
}
