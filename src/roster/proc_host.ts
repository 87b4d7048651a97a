/**
 * The host as /proc shows it: what the probe looks at on a real machine.
 * @module
 */
import type { HostView } from "./host_probe.ts";

/** Reads /proc. A process that is gone, or may not be looked at, has nothing to tell. */
export class ProcHost implements HostView {
  pids(): number[] {
    const pids: number[] = [];
    for (const entry of Deno.readDirSync("/proc")) {
      if (/^[1-9][0-9]*$/.test(entry.name)) pids.push(Number(entry.name));
    }
    return pids;
  }

  exe(pid: number): string {
    return quietly(() => Deno.readLinkSync(`/proc/${pid}/exe`));
  }

  args(pid: number): string[] {
    const text = quietly(() => Deno.readTextFileSync(`/proc/${pid}/cmdline`));
    return text === "" ? [] : text.replace(/\0$/, "").split("\0");
  }

  /** When a process was started, in the kernel's ticks since boot: with its number it says which process it is. "" when it is gone. */
  started(pid: number): string {
    // The name, in parentheses, may hold anything; what follows are numbers, the 22nd field being the start.
    const text = quietly(() => Deno.readTextFileSync(`/proc/${pid}/stat`));
    return text.slice(text.lastIndexOf(")") + 2).split(" ")[19] ?? "";
  }

  uid(pid: number): number {
    const status = quietly(() => Deno.readTextFileSync(`/proc/${pid}/status`));
    return Number(/^Uid:\s+(\d+)/m.exec(status)?.[1] ?? -1);
  }

  cwd(pid: number): string {
    return quietly(() => Deno.readLinkSync(`/proc/${pid}/cwd`));
  }

  unixSockets(): string {
    return Deno.readTextFileSync("/proc/net/unix");
  }
}

function quietly(read: () => string): string {
  try {
    return read();
  } catch (error) {
    if (
      error instanceof Deno.errors.NotFound || error instanceof Deno.errors.PermissionDenied ||
      error instanceof Deno.errors.NotCapable || (error instanceof Error && "code" in error)
    ) return "";
    throw error;
  }
}
