/**
 * The loads of measured or tested channels: produce numbered messages, consume and check them, echo, stream.
 * Every message begins with its number, and its last word is derived from it, so that a consumer can check
 * all of them.
 * @module
 */
import type { Channel } from "../v2v/channel.ts";
import { Stream } from "../v2v/stream.ts";

const TIMEOUT_MS = 30_000;

/** Fills message number `i`: the number in the first word, derived words after it. */
function fillNumbered(words: Int32Array, i: number): void {
  words[0] = i;
  words[1] = Math.imul(i, 0x9e3779b1);
  words[words.length - 1] = ~i;
}

/** Whether this is message number `i`. */
function isNumbered(words: Int32Array, i: number): boolean {
  return words[0] === (i | 0) && words[1] === Math.imul(i, 0x9e3779b1) && words[words.length - 1] === ~i;
}

/** Sends `count` numbered messages of `bytes` bytes, `batch` per doorbell. */
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

/** Receives `count` numbered messages; each is copied out and checked. */
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

/** Sends `count` messages back, one by one. */
export function echo(channel: Channel, count: number, fast: boolean): void {
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

/** Streams this many bytes (a multiple of 1 MiB). */
function streamBytes(channel: Channel, bytes: number): void {
  const out = new Stream(channel);
  const chunk = new Uint8Array(1 << 20);
  for (let i = 0; i < chunk.length; i++) chunk[i] = i * 31;
  for (let sent = 0; sent < bytes; sent += chunk.length) {
    const result = out.send(chunk, TIMEOUT_MS);
    if (result.outcome !== "done") throw new Error(`the reader is ${result.outcome}`);
  }
}

/** Receives a stream to its end; returns the number of bytes. */
export function drainStream(channel: Channel): number {
  const stream = new Stream(channel);
  const target = new Uint8Array(1 << 18);
  let bytes = 0;
  for (;;) {
    const result = stream.receive(target, TIMEOUT_MS);
    if (result.outcome === "timed-out") throw new Error(`the sender stalled after ${bytes} bytes`);
    if (result.outcome === "closed") return bytes;
    bytes += result.received;
  }
}

/** Sends 64-byte messages and waits for each to return; the round trips in us. */
export function pingPong(channel: Channel, count: number, fast: boolean): Float64Array {
  if (fast) channel.requestFastReceive();
  const payload = new Uint8Array(64);
  const times = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    const start = performance.now();
    channel.sender.prepareCopy(payload);
    channel.sender.send();
    while (!channel.receiver.get()) {
      if (channel.waitReceive(TIMEOUT_MS) !== "ready") throw new Error("the other end is gone");
    }
    channel.receiver.copyPayload(payload);
    channel.receiver.finish();
    times[i] = (performance.now() - start) * 1000;
  }
  return times;
}

/**
 * Does what the words of a measured end say, then disconnects once all is taken.
 *
 * @param words `produce BYTES COUNT BATCH`, `echo COUNT fast|slow` or `stream BYTES`
 */
export function doWords(channel: Channel, words: readonly string[]): void {
  const [what, first = "", second = "", third = "1"] = words;
  if (what === "produce") produce(channel, Number(first), Number(second), Number(third));
  else if (what === "echo") echo(channel, Number(first), second === "fast");
  else if (what === "stream") streamBytes(channel, Number(first));
  else throw new Error(`the other end was told to ${what}, which it cannot`);
  while (!channel.sender.drained() && !channel.remoteClosing()) channel.waitControl(5);
  channel.disconnect();
}
