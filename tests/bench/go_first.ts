/**
 * Keeps the machine's other work out of a figure: where that is permitted, what is measured runs before all
 * ordinary processes. A p99 of milliseconds is otherwise that of the host's scheduler, however short what is
 * measured takes.
 * @module
 */
import { numbersOf } from "./c_floor.ts";

const POLICY = ["--rr"];
const PRIORITY = "1";

/** Runs a program and gives the numbers on its last line, as {@linkcode numbersOf} does. */
export type RunFloor = typeof numbersOf;

/**
 * Makes all threads of a process realtime (SCHED_RR), those that it starts later included; told on stderr
 * when that is refused.
 *
 * @param pid the process; for a guest its QEMU
 * @returns how a C floor is run beside it: realtime, too, or as ordinary as it stays
 */
export async function goFirst(pid: number): Promise<RunFloor> {
  const args = ["--all-tasks", ...POLICY, "--pid", PRIORITY, `${pid}`];
  const { success } = await new Deno.Command("chrt", { args, stdout: "null", stderr: "null" }).output();
  if (success) return (path, floorArgs) => numbersOf("chrt", [...POLICY, PRIORITY, path, ...floorArgs]);
  console.error("vmsig: the guest stays an ordinary process: a p99 is the host's, too");
  return numbersOf;
}
