/** A gate that a signal ends leaves no process and no folder behind. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { until } from "../../fixtures/daemon_process.ts";

const ROOT = new URL("../../../", import.meta.url).pathname;

/** The process groups of a process's children that have children themselves: parts that have begun. */
function begunParts(pid: number): number[] {
  const childrenOf = (of: number): number[] => {
    try {
      return Array.from(Deno.readDirSync(`/proc/${of}/task`)).flatMap(({ name }) =>
        Deno.readTextFileSync(`/proc/${of}/task/${name}/children`).split(" ").filter(Boolean).map(Number)
      );
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return [];
      throw error;
    }
  };
  return childrenOf(pid).filter((child) => childrenOf(child).length > 0);
}

/** The processes of these groups. */
function membersOf(groups: readonly number[]): string[] {
  const members: string[] = [];
  for (const { name } of Deno.readDirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = Deno.readTextFileSync(`/proc/${name}/stat`);
      const [state, , group] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      // A zombie has ended; whoever adopted it takes its status.
      if (state !== "Z" && groups.includes(Number(group))) members.push(stat.slice(0, 60));
    } catch {
      // It has ended meanwhile.
    }
  }
  return members;
}

for (const [signal, code] of [["SIGTERM", 143], ["SIGINT", 130]] as const) {
  Deno.test(`the gate, ended by ${signal}: its parts end with it, and nothing stays in TMPDIR`, async () => {
    const folder = await Deno.makeTempDir({ prefix: "vmsig-gate-" });
    try {
      const gate = new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", "--no-check", "scripts/build/ok.ts", "fuzz"],
        cwd: ROOT,
        stdin: "null",
        stdout: "piped",
        stderr: "piped",
        env: { TMPDIR: folder, NO_COLOR: "1" },
      }).spawn();
      let groups: number[] = [];
      await until("a part has begun", () => (groups = begunParts(gate.pid)).length > 0);
      gate.kill(signal);
      const { code: status, stderr, stdout } = await gate.output();
      const told = new TextDecoder().decode(stderr);
      assertEquals(status, code, told + new TextDecoder().decode(stdout));
      assertStringIncludes(told, `${signal} ended the gate before all of it had run`);
      await until("the parts have ended", () => membersOf(groups).length === 0);
      assertEquals(Array.from(Deno.readDirSync(folder), ({ name }) => name), []);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}
