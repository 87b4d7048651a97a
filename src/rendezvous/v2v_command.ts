/**
 * The implementation of `vmsig v2v listen | connect`: a channel between two processes, or over an ivshmem
 * server's socket, as a pipe. Parsing options, printing errors and exit codes are left to the command line.
 * @module
 */
import { Fault } from "../base/fault.ts";
import type { Log } from "../base/log.ts";
import type { Channel } from "../v2v/channel.ts";
import type { PeerRule } from "./admission.ts";
import { pipeChannel, type PipeEnds, type PipeResult } from "./channel_pipe.ts";
import { connectIvshmem, IvshmemListener } from "./ivshmem_channel.ts";
import { IvshmemDevice } from "./ivshmem_device.ts";
import { connectProcessAsync } from "./process_connector.ts";
import { ProcessListener } from "./process_listener.ts";

/** The options of both commands. */
export interface V2vOptions extends PipeEnds {
  /** The runtime directory. */
  readonly runtimeDir: string;
  /** A stream of bytes instead of a message per line. */
  readonly stream?: boolean;
  /** Use this ivshmem server's socket instead of the runtime directory; the prefix is not used then. */
  readonly ivshmem?: string;
  /** Listen: order of both rings, 4096 << order bytes each. */
  readonly order?: number;
  /** Who may be the other end. */
  readonly rule?: PeerRule;
  /**
   * How long to wait for the other end; by default, listen waits without limit, and connect does not wait.
   */
  readonly waitMs?: number;
  /** Listen: logs what does not concern a connector, such as a lack of descriptors. */
  readonly log?: Log;
  /** Called when listening has started. */
  readonly onListening?: () => void;
}

const LOOK_MS = 50;

/**
 * Listens on a prefix, accepts one connector, and pipes until the end.
 *
 * @throws {Fault} `busy` when the prefix is in use, `timed-out` when nobody came, and what the pipe throws
 */
export async function v2vListen(prefix: string, options: V2vOptions): Promise<PipeResult> {
  if (options.ivshmem !== undefined) return await overDevice(options.ivshmem, options, "listener");
  using listener = new ProcessListener(options.runtimeDir, prefix, {
    ...listenOptions(options),
    ...(options.log === undefined ? {} : { log: options.log }),
  });
  options.onListening?.();
  return await pipeChannel(await acceptOne(listener, options), options.stream === true, options);
}

/**
 * Connects to a prefix and pipes until the end.
 *
 * @throws {Fault} `no-endpoint` when nobody listens (within `waitMs`), `busy`, `not-admitted`, and what the
 *   pipe throws
 */
export async function v2vConnect(prefix: string, options: V2vOptions): Promise<PipeResult> {
  if (options.ivshmem !== undefined) return await overDevice(options.ivshmem, options, "connector");
  const rule = options.rule === undefined ? {} : { rule: options.rule };
  const channel = await retry(() => connectProcessAsync(options.runtimeDir, prefix, rule), options);
  return await pipeChannel(channel, options.stream === true, options);
}

async function overDevice(
  socketPath: string,
  options: V2vOptions,
  role: "listener" | "connector",
): Promise<PipeResult> {
  using device = await IvshmemDevice.openAsync(socketPath);
  if (role === "connector") {
    const channel = await retry(() => Promise.resolve(connectIvshmem(device)), options);
    return await pipeChannel(channel, options.stream === true, options);
  }
  using listener = new IvshmemListener(device, listenOptions(options));
  options.onListening?.();
  return await pipeChannel(await acceptOne(listener, options), options.stream === true, options);
}

function listenOptions(options: V2vOptions): { prodOrder?: number; consOrder?: number; rule?: PeerRule } {
  const orders = options.order === undefined ? {} : { prodOrder: options.order, consOrder: options.order };
  return options.rule === undefined ? orders : { ...orders, rule: options.rule };
}

/** Something that accepts. */
interface Accepting {
  acceptAsync(timeoutMs: number): Promise<Channel>;
}

/** Waits in small steps, so that an interrupt is handled. */
async function acceptOne(listener: Accepting, options: V2vOptions): Promise<Channel> {
  const endMs = performance.now() + (options.waitMs ?? Infinity);
  for (;;) {
    options.signal?.throwIfAborted();
    try {
      return await listener.acceptAsync(Math.min(LOOK_MS, Math.max(0, endMs - performance.now())));
    } catch (error) {
      if (!(error instanceof Fault && error.code === "timed-out")) throw error;
      if (performance.now() < endMs) continue;
      throw new Fault("timed-out", `Cannot go on: nobody connected within ${options.waitMs} ms.`, {
        cause: error,
      });
    }
  }
}

/** Tries again while there is no listener and there is time. */
async function retry(connect: () => Promise<Channel>, options: V2vOptions): Promise<Channel> {
  const endMs = performance.now() + (options.waitMs ?? 0);
  for (;;) {
    options.signal?.throwIfAborted();
    try {
      return await connect();
    } catch (error) {
      if (!(error instanceof Fault && error.code === "no-endpoint") || performance.now() >= endMs) {
        throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
  }
}
