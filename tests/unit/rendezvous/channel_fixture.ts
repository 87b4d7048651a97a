/**
 * Both ends of a channel in one process, for tests, in a runtime directory of their own.
 * @module
 */
import "../ffi/loaded_shim.ts";
import { Fault } from "../../../src/base/fault.ts";
import { type ConnectOptions, connectProcessAsync } from "../../../src/rendezvous/process_connector.ts";
import { type ListenOptions, ProcessListener } from "../../../src/rendezvous/process_listener.ts";
import type { Channel } from "../../../src/v2v/channel.ts";

/** Reached by a hang alone: a busy machine takes its time. */
export const HANG_MS = 120_000;

/** A runtime directory that goes with its owner. */
export function runtimeDir(): Disposable & { readonly path: string } {
  const path = Deno.makeTempDirSync({ prefix: "vmsig-v2v-" });
  return { path, [Symbol.dispose]: () => Deno.removeSync(path, { recursive: true }) };
}

/** Connects as soon as somebody listens there. */
export async function connectWhenThere(
  path: string,
  prefix: string,
  options?: ConnectOptions,
): Promise<Channel> {
  for (let tries = 0;; tries++) {
    try {
      return await connectProcessAsync(path, prefix, { timeoutMs: HANG_MS, ...options });
    } catch (error) {
      if (!(error instanceof Fault && error.code === "no-endpoint" && tries < HANG_MS / 10)) throw error;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}

/** A listener and the two ends of its first channel. */
export async function channelPair(
  path: string,
  options: ListenOptions = {},
  prefix = "pair",
): Promise<{ listener: ProcessListener; left: Channel; right: Channel }> {
  const listener = new ProcessListener(path, prefix, options);
  const [left, right] = await Promise.all([
    listener.acceptAsync(HANG_MS),
    connectProcessAsync(path, prefix, { timeoutMs: HANG_MS }),
  ]);
  return { listener, left, right };
}
