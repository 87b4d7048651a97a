/**
 * What can be known of a Linux guest beyond its lists, against its own dmesg and /proc: steps of one test,
 * whatever the guest's architecture.
 * @module
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { textOfBytes } from "../../src/base/byte_text.ts";
import type { GuestInsight, Unsupported } from "../../src/guest/insight.ts";
import type { LinuxGuest } from "../../src/guest/linux/linux_guest.ts";
import type { Listing, Process } from "../../src/guest/process.ts";
import type { Qemu as Guest } from "./qemu.ts";

/** The answers of a guest. */
export function insightOf(os: LinuxGuest): GuestInsight {
  const insight = os.insight();
  assert(!("unsupported" in insight), JSON.stringify(insight));
  return insight;
}

/** All items of a list that came to its end. */
export function whole<T>(listing: Listing<T> | Unsupported): readonly T[] {
  assert(!("unsupported" in listing), JSON.stringify(listing));
  assertEquals(listing.end, { complete: true });
  return listing.items;
}

/** The log as dmesg writes it: a line each, its level and time in front. */
function dmesgLines(insight: GuestInsight): string[] {
  return whole(insight.log()).flatMap(({ facility, level, timeNs, text }) => {
    const micros = Math.floor(timeNs / 1000);
    const time = `${Math.floor(micros / 1e6)}`.padStart(5) + "." + `${micros % 1e6}`.padStart(6, "0");
    return text.split("\n").map((line) => `<${facility * 8 + level}>[${time}] ${line}`);
  });
}

/** The guest runs `procs`, and has the program `insight`. */
export async function checkInsight(t: Deno.TestContext, vm: Guest, os: LinuxGuest): Promise<void> {
  const insight = insightOf(os);
  await t.step("the log is what dmesg prints", async () => {
    const own = (await vm.agent.run("insight", "log")).text.trimEnd().split("\n");
    const ours = dmesgLines(insight);
    assert(own.length > 100, `${own.length} lines`);
    assertEquals(ours.slice(0, own.length), own);
    assertEquals(whole(insight.log(3)).length, 3);
  });
  await t.step("user, threads, state and start are those of /proc", async () => {
    let compared = 0;
    for (const process of os.processes().items) {
      const stat = await vm.agent.cat(`/proc/${process.pid}/stat`).catch(() => "");
      const words = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      if (stat === "") continue;
      const status = await vm.agent.cat(`/proc/${process.pid}/status`).catch(() => "");
      const facts = insight.facts(process);
      assertEquals(Math.floor((facts.startNs ?? NaN) / 1e7), Number(words[19]), `start of ${process.name}`);
      assertEquals(facts.threads, Number(words[17]));
      assertEquals(`${facts.uid}`, /^Uid:\t\d+\t(\d+)/m.exec(status)?.[1]);
      // It may have had something to do when one of the two looked.
      if (words[0] === "I") assertMatch(facts.state, /^[IR]$/);
      assertMatch(facts.state, /^[RSDTtXZPI]$/);
      compared++;
    }
    assert(compared > 30, `${compared}`);
  });
  await t.step("open files and environments are those of /proc", async () => {
    let files = 0;
    for (const process of userProcesses(os)) {
      const links = (await vm.agent.run("insight", "links", `${process.pid}`)).text.split("\n");
      const ours = whole(insight.files(process));
      for (const { fd, path, flags, position } of ours) {
        const info = await vm.agent.cat(`/proc/${process.pid}/fdinfo/${fd}`);
        assertEquals(`${fd} ${path}`, links.find((line) => line.startsWith(`${fd} `)));
        assertEquals(flags, parseInt(/^flags:\t(\d+)/m.exec(info)?.[1] ?? "", 8), info);
        // Who reads and writes meanwhile moves its own.
        if (!path.startsWith("/dev")) assertEquals(position, Number(/^pos:\t(\d+)/m.exec(info)?.[1]));
        files++;
      }
      assertEquals(
        ours.map(({ fd }) => `${fd}`),
        (await vm.agent.list(`/proc/${process.pid}/fd`)).sort((a, b) => Number(a) - Number(b)),
      );
      const environ = (await vm.agent.cat(`/proc/${process.pid}/environ`)).split("\0");
      assertEquals(insight.environment(process), environ.filter((entry) => entry !== ""));
    }
    assert(files > 5, `${files}`);
  });
  await t.step(
    "a process that is odd: its name, its line, 300 files, families of sockets",
    () => checkOdd(vm, os),
  );
  await t.step("mounts are those of /proc/1/mounts", async () => {
    const own = (await vm.agent.cat("/proc/1/mounts")).trimEnd().split("\n").map((line) => line.split(" "));
    assertEquals(
      whole(insight.mounts()).map(({ source, target, type, readOnly }) => [
        source,
        target,
        type,
        readOnly ? "ro" : "rw",
      ]),
      own.map(([source, target, type, options]) => [source, target, type, options?.split(",")[0]]),
    );
  });
  await t.step("sockets are those of /proc/net", () => checkSockets(vm, insight));
  await t.step("types are the kernel's", () => {
    const task = insight.type("task_struct");
    assert(task !== undefined && !("unsupported" in task));
    assert(task.sizeBytes > 2048 && task.members.some(({ name }) => name === "comm"));
    assertMatch(task.lines.join("\n"), /^struct task_struct \{\n[^]* {4}char comm\[16\]; \/\* \d+ \*\//);
    const list = insight.type("struct list_head");
    assert(list !== undefined && !("unsupported" in list));
    assertEquals(list.lines, [
      "struct list_head {",
      "    struct list_head *next; /* 0 */",
      "    struct list_head *prev; /* 8 */",
      "}; /* 16 bytes */",
    ]);
    assertEquals(insight.type("no_such_type"), undefined);
  });
}

function userProcesses(os: LinuxGuest): Process[] {
  // Not process 1, the agent: it opens descriptors to answer.
  return os.processes().items.filter((process) => !process.kernelThread && process.pid !== 1).slice(0, 6);
}

/** A name that is no text, a command line of 4,000 bytes, many files, one that is deleted. */
async function checkOdd(vm: Guest, os: LinuxGuest): Promise<void> {
  const insight = insightOf(os);
  const long = "x".repeat(2000);
  const odd = await vm.agent.start("insight", "odd", long, long);
  const [, families = ""] = await odd.lineMatching(/^ready(.*)$/);
  const { pid } = odd;
  const process = os.process(pid);
  assert(process !== undefined);
  // Bytes that are no text, a parenthesis, a newline.
  const comm = await vm.agent.read(`/proc/${pid}/comm`);
  assertEquals(process.name, textOfBytes(comm.subarray(0, -1)));
  assertEquals(comm.length, 11);
  const line = (await vm.agent.cat(`/proc/${pid}/cmdline`)).replace(/\0$/, "").split("\0");
  assertEquals(os.commandLine(process), line);
  assertEquals(line.slice(1), ["odd", long, long]);
  const files = whole(insight.files(process));
  assertEquals(
    files.map(({ fd }) => `${fd}`),
    (await vm.agent.list(`/proc/${pid}/fd`)).sort((a, b) => Number(a) - Number(b)),
  );
  assertEquals(files.filter(({ path }) => path === "/dev/null").length >= 300, true);
  assertEquals(files.filter(({ path }) => path.startsWith("/odd ") && path.endsWith(" (deleted)")).length, 1);
  assert(files.some(({ path }) => path === "anon_inode:[eventfd]"));
  const names: Record<string, RegExp> = {
    1: /^unix$/,
    2: /^udp$/,
    10: /^udp6$/,
    16: /^netlink$/,
    17: /^packet$/,
  };
  const kinds = whole(insight.sockets(process)).map(({ kind }) => kind);
  for (const family of families.trim().split(" ")) {
    assert(kinds.some((kind) => names[family]?.test(kind)), `${family} is in ${kinds}`);
  }
  await odd.kill();
}

async function checkSockets(vm: Guest, insight: GuestInsight): Promise<void> {
  const program = await vm.agent.start("insight", "sockets");
  const ready = /^ready (\d+) (\d+) (\d+)$/.exec((await program.line()) ?? "");
  assert(ready !== null, "the program opened its sockets");
  const [, port4, port6, pid] = ready;
  const ours = whole(insight.sockets()).filter((socket) => `${socket.pid}` === pid);
  const lines = ours.map(({ kind, state, local, remote }) => `${kind} ${state} ${local} ${remote}`);
  const expected = [
    `tcp LISTEN 127.0.0.1:${port4} 0.0.0.0:0`,
    `udp CLOSE 127.0.0.1:${port4} 0.0.0.0:0`,
    "unix LISTEN /tmp-insight ",
    ...port6 === "0" ? [] : [`tcp6 LISTEN [::]:${port6} [::]:0`],
  ];
  for (const line of expected) assert(lines.includes(line), `${line} is not in:\n${lines.join("\n")}`);
  assert(lines.some((line) => line.endsWith(` 127.0.0.1:${port4}`) && line.startsWith("tcp ESTABLISHED ")));
  // The kernel's own table names the same inode.
  const own = (await vm.agent.cat("/proc/net/tcp")).split("\n").map((line) => line.trim().split(/ +/));
  const hex = Number(port4).toString(16).toUpperCase().padStart(4, "0");
  const row = own.find((words) => words[1] === `0100007F:${hex}` && words[3] === "0A");
  assertEquals(row?.[9], `${ours.find(({ kind, state }) => kind === "tcp" && state === "LISTEN")?.inode}`);
}
