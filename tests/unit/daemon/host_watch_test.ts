// The host watch: what it tells, and how little it reads while nothing changes.
import { assertEquals } from "@std/assert";
import { SILENT } from "../../../src/base/log.ts";
import { type FoundVm, HostWatch, type WatchedHost } from "../../../src/daemon/host_watch.ts";

interface Process {
  exe: string;
  line: string;
  started: string;
}

/** A made-up host that counts what it is asked. */
class Host implements WatchedHost {
  readonly processes = new Map<number, Process>();
  /** Paths at which somebody is connected. */
  busy: string[] = [];
  tables = 0;
  asked: string[] = [];

  qemu(pid: number, started = "1"): void {
    const line = `qemu -name vm${pid} -qmp unix:/run/${pid}.qmp,server=on,wait=off`;
    this.processes.set(pid, { exe: "/usr/bin/qemu-system-x86_64", line, started });
  }

  program(pid: number, exe: string): void {
    this.processes.set(pid, { exe, line: exe, started: "1" });
  }

  pids = () => [...this.processes.keys()];
  exe = (pid: number) => this.#read("exe", pid)?.exe ?? "";
  args = (pid: number) => this.#read("args", pid)?.line.split(" ") ?? [];
  started = (pid: number) => this.#read("started", pid)?.started ?? "";
  uid = () => Deno.uid() ?? -1;
  cwd = () => "/";

  unixSockets(): string {
    this.tables++;
    const rows = this.busy.map((path) => `0000000000000000: 00000003 00000000 00000000 0001 03 4711 ${path}`);
    return ["Num       RefCount Protocol Flags    Type St Inode Path", ...rows, ""].join("\n");
  }

  /** What was asked since the last time. */
  take(): string[] {
    return this.asked.splice(0);
  }

  #read(what: string, pid: number): Process | undefined {
    this.asked.push(`${what} ${pid}`);
    return this.processes.get(pid);
  }
}

function rig() {
  const host = new Host();
  const told: string[] = [];
  const say = (found: readonly FoundVm[]) =>
    told.push(found.map(({ name, qmp }) => `${name}=${qmp}`).join(" "));
  return { host, told, watch: new HostWatch(say, SILENT, host) };
}

Deno.test("a QEMU is told when it comes and when it goes, and read once in between", () => {
  const { host, told, watch } = rig();
  host.program(1, "/sbin/init");
  host.qemu(7);
  watch.look();
  assertEquals(told, ["vm7=/run/7.qmp"]);
  host.take();
  watch.tick();
  watch.tick();
  assertEquals(host.take(), ["started 7", "started 7"]);
  assertEquals(host.tables, 1, "nobody has come, so nobody's monitor is looked at");
  host.qemu(8);
  watch.tick();
  assertEquals([told.at(-1), host.tables], ["vm7=/run/7.qmp vm8=/run/8.qmp", 2]);
  host.processes.delete(7);
  watch.tick();
  assertEquals([told.at(-1), told.length], ["vm8=/run/8.qmp", 3]);
});

Deno.test("another QEMU with the number of one that went is another QEMU", () => {
  const { host, told, watch } = rig();
  host.qemu(7);
  watch.look();
  host.qemu(7, "2");
  host.processes.get(7)!.line = "qemu -name other -qmp unix:/run/other.qmp,server=on,wait=off";
  watch.tick();
  assertEquals(told, ["vm7=/run/7.qmp", "other=/run/other.qmp"]);
  host.processes.set(7, { exe: "/usr/bin/top", line: "top", started: "3" });
  watch.tick();
  assertEquals(told.at(-1), "", "and a program with its number is none");
});

Deno.test("a monitor that is given back is noticed by the third look", () => {
  const { host, told, watch } = rig();
  host.qemu(7);
  host.busy = ["/run/7.qmp"];
  watch.look();
  assertEquals(told, ["vm7="]);
  host.busy = [];
  for (let i = 0; i < 3; i++) watch.tick();
  assertEquals(told, ["vm7=", "vm7=/run/7.qmp"]);
  host.busy = ["/run/7.qmp"];
  watch.look();
  assertEquals(told.at(-1), "vm7=", "a look that is asked for takes everything");
});

Deno.test("what is something else is left alone for a minute; what may become something else is not", () => {
  const { host, told, watch } = rig();
  host.program(1, "/sbin/init");
  host.program(2, "/bin/bash");
  watch.look();
  host.take();
  watch.tick();
  assertEquals(host.take(), ["exe 2"]);
  host.qemu(2);
  host.qemu(1);
  watch.tick();
  assertEquals(told.at(-1), "vm2=/run/2.qmp", "the shell has become a QEMU");
  for (let i = 3; i < 12; i++) watch.tick();
  assertEquals(told.at(-1), "vm2=/run/2.qmp");
  watch.tick();
  assertEquals(told.at(-1), "vm1=/run/1.qmp vm2=/run/2.qmp", "a number that has become a QEMU's");
});
