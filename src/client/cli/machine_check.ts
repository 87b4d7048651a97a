/**
 * What vmsig needs of a machine, one check each: whether it is there, and what to do if not. The checks use
 * the same functions as the daemon rather than judge by version numbers. What depends on this machine's
 * config is checked in daemon_check.ts.
 * @module
 */
import { EventFd } from "../../../ffi/event_fd.ts";
import { Inotify } from "../../../ffi/inotify.ts";
import { createMemfd, getSeals } from "../../../ffi/memfd.ts";
import { Poller } from "../../../ffi/poller.ts";
import { setThreadRealtime } from "../../../ffi/scheduler.ts";
import { wholeShim } from "../../../ffi/shim.ts";
import { pidfdOpen } from "../../../ffi/signals.ts";
import { SHIM_VERSION } from "../../../ffi/symbols.ts";
import { TimerFd } from "../../../ffi/timer_fd.ts";
import { messageOf } from "../../base/fault.ts";

/** The result of one check. */
export interface Finding {
  /** What was checked. */
  readonly check: string;
  /** ok; missing: something does not work without it; note: only some uses need it. */
  readonly state: "ok" | "note" | "missing";
  /** What was found. */
  readonly found: string;
  /** What to do, if it is not ok. */
  readonly remedy?: string;
}

const CAP_SYS_PTRACE = 19;

/** What every daemon and client needs of the machine, in order. */
export function examineMachine(): Finding[] {
  return [examineSystem(), examineShim(), examineKernel(), examineProcesses(), examineScheduling()];
}

function examineSystem(): Finding {
  const { os, arch } = Deno.build;
  const release = textOf("/proc/sys/kernel/osrelease") ?? "unknown release";
  const found = `${os} ${arch}, ${release}, Deno ${Deno.version.deno}`;
  if (os === "linux" && arch === "x86_64") return { check: "system", state: "ok", found };
  return { check: "system", state: "missing", found, remedy: "run vmsig on Linux on x86-64" };
}

function examineShim(): Finding {
  try {
    wholeShim();
    return { check: "shim", state: "ok", found: `version ${SHIM_VERSION}` };
  } catch (error) {
    return { check: "shim", state: "missing", found: "not loaded", remedy: messageOf(error) };
  }
}

/** Makes the descriptors that the loop is built on. */
function examineKernel(): Finding {
  const parts: readonly (readonly [string, () => void])[] = [
    ["epoll", () => new Poller(1)[Symbol.dispose]()],
    ["eventfd", () => EventFd.create()[Symbol.dispose]()],
    ["timerfd", () => TimerFd.create()[Symbol.dispose]()],
    ["inotify", () => Inotify.create()[Symbol.dispose]()],
    ["pidfd", () => pidfdOpen(Deno.pid).close()],
    ["memfd", () => {
      using memfd = createMemfd("vmsig-doctor", 4096, { sealable: true });
      getSeals(memfd.fd);
    }],
  ];
  const lacking: string[] = [];
  let why = "";
  for (const [name, make] of parts) {
    try {
      make();
    } catch (error) {
      lacking.push(name);
      why = messageOf(error);
    }
  }
  if (lacking.length === 0) {
    return { check: "kernel", state: "ok", found: parts.map(([name]) => name).join(", ") };
  }
  return {
    check: "kernel",
    state: "missing",
    found: `no ${lacking.join(", ")}`,
    remedy: `${why}; Linux 5.3 or newer is needed, and a container must not filter these calls`,
  };
}

/** A VM's memory is opened through its process, which requires the same user, root, or CAP_SYS_PTRACE. */
function examineProcesses(): Finding {
  const uid = Deno.uid() ?? -1;
  const caps = /^CapEff:\s*([0-9a-f]+)$/m.exec(textOf("/proc/self/status") ?? "")?.[1] ?? "0";
  const canTrace = (BigInt(`0x${caps}`) >> BigInt(CAP_SYS_PTRACE)) & 1n;
  if (canTrace === 1n) {
    return { check: "processes", state: "ok", found: `uid ${uid} may read every VM's memory` };
  }
  return {
    check: "processes",
    state: "note",
    found: `uid ${uid} may read the memory of its own VMs only`,
    remedy: "for VMs of other users run the daemon as root, or give it CAP_SYS_PTRACE",
  };
}

/**
 * Whether the loop's thread may have realtime priority: optional, since without it a turn only waits for a
 * processor now and then.
 */
function examineScheduling(): Finding {
  const check = "scheduling";
  try {
    if (setThreadRealtime(true)) {
      setThreadRealtime(false);
      return { check, state: "ok", found: "the daemon's loop may be realtime" };
    }
    const remedy = "for steady latency give the daemon LimitRTPRIO=1 (ulimit -r 1) or CAP_SYS_NICE";
    return { check, state: "note", found: "the daemon's loop is scheduled like any other thread", remedy };
  } catch (error) {
    return { check, state: "note", found: "unknown", remedy: messageOf(error) };
  }
}

/** A file's text without the last line end; undefined if it cannot be read. */
function textOf(path: string): string | undefined {
  try {
    return Deno.readTextFileSync(path).trimEnd();
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw error;
    return undefined;
  }
}
