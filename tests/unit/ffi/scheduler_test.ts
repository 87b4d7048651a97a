import { assertEquals } from "@std/assert";
import { setThreadRealtime, threadCpuNs } from "../../../ffi/scheduler.ts";
import "./loaded_shim.ts";

/**
 * The kernel's word on the calling thread: its policy, field 41 of its stat (0 ordinary, 2 SCHED_RR), and its
 * priority, field 40.
 */
function policyHere(): { policy: number; priority: number } {
  const stat = Deno.readTextFileSync("/proc/thread-self/stat");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ").map(Number);
  return { policy: fields[38] as number, priority: fields[37] as number };
}

Deno.test("a thread becomes realtime where it may, and ordinary again", () => {
  const before = policyHere();
  const permitted = setThreadRealtime(true);
  try {
    assertEquals(policyHere(), permitted ? { policy: 2, priority: 1 } : before);
  } finally {
    assertEquals(setThreadRealtime(false), true);
  }
  assertEquals(policyHere(), { policy: 0, priority: 0 });
});

Deno.test("a thread's processor time grows with its work, and not with its sleep", async () => {
  const start = threadCpuNs();
  while (threadCpuNs() - start < 2_000_000);
  const worked = threadCpuNs();
  await new Promise((resolve) => setTimeout(resolve, 100));
  assertEquals(threadCpuNs() - worked < 90_000_000, true);
});

Deno.test("a thread that stands back is nicer, and no other thread is", async () => {
  const nice = () => Deno.readTextFileSync("/proc/self/stat").split(") ")[1]?.split(" ")[16];
  const ours = nice();
  const worker = new Worker(new URL("./scheduler_worker.ts", import.meta.url).href, { type: "module" });
  const told = await new Promise<{ before: number; did: boolean; after: number }>((resolve, reject) => {
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = (event) => reject(new Error(event.message));
  });
  worker.terminate();
  assertEquals(told, { before: Number(ours), did: true, after: 5 });
  assertEquals(nice(), ours);
});
