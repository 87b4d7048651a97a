/**
 * The perception control's thread: a Worker that receives its plan in one message and runs until its eventfd
 * is signalled. It joins the daemon through the control socket like any other control; if it stalls or ends,
 * the loop is not affected.
 * @module
 */
import { statFd } from "../../ffi/memfd.ts";
import { yieldToWakers } from "../../ffi/scheduler.ts";
import { Fault, messageOf } from "../base/fault.ts";
import { stderrSink } from "../base/local_time.ts";
import { Log, type LogLevel } from "../base/log.ts";
import { PerceptionLoop } from "../controls/perception/perception_loop.ts";

/** The plan of the Worker. */
export interface PerceptionPlan {
  /** The daemon's control socket. */
  readonly socketPath: string;
  /** An eventfd of this process; signalling it ends the Worker. */
  readonly bellFd: number;
  /** Whether frames are copied into rings for other controls. */
  readonly ring: boolean;
  /** The lowest level that is logged. */
  readonly log: LogLevel;
  /** Whether the log goes to journald. */
  readonly journal: boolean;
}

/** Messages from the Worker. */
export type PerceptionReport =
  /**
   * It is on the bus; with its connection's descriptor and inode, so that the connection can be shut down
   * from outside if the Worker hangs.
   */
  | { readonly type: "joined"; readonly fd: number; readonly ino: number }
  /** A heartbeat. */
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
