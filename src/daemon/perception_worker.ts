/**
 * The perception control's own thread: a Worker that gets its plan in one message and then watches until its
 * bell is rung. It joins the daemon through the control socket like any other control; it can stall or end,
 * and the loop does not notice.
 * @module
 */
import { statFd } from "../../ffi/memfd.ts";
import { yieldToWakers } from "../../ffi/scheduler.ts";
import { Fault, messageOf } from "../base/fault.ts";
import { stderrSink } from "../base/local_time.ts";
import { Log, type LogLevel } from "../base/log.ts";
import { PerceptionLoop } from "../controls/perception/perception_loop.ts";

/** What the worker is told. */
export interface PerceptionPlan {
  /** The daemon's control socket. */
  readonly socketPath: string;
  /** An eventfd of this process that ends it. */
  readonly bellFd: number;
  /** Whether frames are copied into rings for consumers. */
  readonly ring: boolean;
  /** Least important level that is logged. */
  readonly log: LogLevel;
  /** Whether journald listens. */
  readonly journal: boolean;
}

/** What the worker tells. */
export type PerceptionReport =
  /**
   * It is on the bus; its connection's descriptor and inode, so that it can be ended from outside when the
   * worker hangs.
   */
  | { readonly type: "joined"; readonly fd: number; readonly ino: number }
  /** It goes round. */
  | { readonly type: "alive" }
  | { readonly type: "stopped" }
  | { readonly type: "failed"; readonly code: string; readonly message: string };

const worker = self as unknown as {
  onmessage: ((message: MessageEvent<PerceptionPlan>) => void) | null;
  postMessage(report: PerceptionReport): void;
  close(): void;
};

worker.onmessage = ({ data }) => {
  const log = new Log("perception", data.log, stderrSink(data.journal), data.journal);
  try {
    if (!yieldToWakers()) {
      log.info("pictures may delay the VMs: the kernel does not let their thread stand back");
    }
    const { socketPath, bellFd, ring } = data;
    const onJoined = (fd: number) => worker.postMessage({ type: "joined", fd, ino: statFd(fd).ino });
    const onBeat = () => worker.postMessage({ type: "alive" });
    new PerceptionLoop({ socketPath, bellFd, ring, onJoined, onBeat }, log).run();
    worker.postMessage({ type: "stopped" });
  } catch (error) {
    const code = error instanceof Fault ? error.code : "refused";
    worker.postMessage({ type: "failed", code, message: messageOf(error) });
  }
  worker.close();
};
