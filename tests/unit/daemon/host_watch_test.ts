// The host watch: what it tells, how little it reads while nothing changes, and that nothing which runs here
// ends it.
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { MAX_PROBED_A_USER } from "../../../src/base/limits.ts";
import { Log } from "../../../src/base/log.ts";
import { type FoundVm, HostWatch } from "../../../src/daemon/host_watch.ts";
import { DiscoveryUsers } from "../../../src/daemon/discovery_users.ts";
import type { HostView } from "../../../src/roster/host_probe.ts";

const OWN = Deno.uid() ?? -1;

interface Process {
  exe: string;
  line: string;
  started: string;
  uid: number;
}

/** A made-up host that counts what it is asked. */
class Host implements HostView {
  readonly ownUid = OWN;
  readonly processes = new Map<number, Process>();
  /** Paths at which somebody is connected. */
  busy: string[] = [];
  /** Why monitors' places cannot be trusted, by path. */
  readonly defects = new Map<string, string>();
  /** Processes that do not let themselves be read. */
  readonly silent = new Set<number>();
  isBroken = false;
  tables = 0;
  asked: string[] = [];

  qemu(pid: number, started = "1", uid = OWN, name = `vm${pid}`): void {
    const line = `qemu -name ${name} -qmp unix:/run/${pid}.qmp,server=on,wait=off`;
    this.processes.set(pid, { exe: "/usr/bin/qemu-system-x86_64", line, started, uid });
  }

  program(pid: number, exe: string): void {
    this.processes.set(pid, { exe, line: exe, started: "1", uid: OWN });
  }

  pids = () =>
    this.isBroken ? Promise.reject(new Error("no /proc")) : Promise.resolve([...this.processes.keys()]);
  exe = (pid: number) => this.#read("exe", pid)?.exe ?? "";
  started = (pid: number) => this.#read("started", pid)?.started ?? "";
  uid = (pid: number) => this.processes.get(pid)?.uid ?? -1;
  cwd = () => "/";
  sockets = () => Promise.resolve(new Set(["4711"]));

  maps(): Promise<string> {
    return Promise.resolve("7f00 r-xp 08:01 1 /usr/lib/libfdt-1.6.1.so\n");
  }

  args(pid: number): ReturnType<HostView["args"]> {
    const words = this.#read("args", pid)?.line.split(" ") ?? [];
    if (this.silent.has(pid)) return Promise.reject(new Error(`${pid} does not answer`));
    return Promise.resolve({ words, isWhole: true });
  }

  placeDefect(path: string) {
    this.asked.push(`place ${path}`);
    const defect = this.defects.get(path) ?? "";
    return defect === "throw" ? Promise.reject(new Error("no answer")) : Promise.resolve(defect);
  }

  async *unixSockets() {
    this.tables++;
    const rows = this.busy.map((path) => `0000000000000000: 00000003 00000000 00000000 0001 03 4711 ${path}`);
    yield await Promise.resolve(
      ["Num       RefCount Protocol Flags    Type St Inode Path", ...rows, ""].join("\n"),
    );
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

function rig(users: readonly number[] = [0, OWN]) {
  const host = new Host();
  const told: string[] = [];
  const said: string[] = [];
  const state = { isFull: false, listed: new Set(users), found: [] as readonly FoundVm[] };
  const tell = (found: readonly FoundVm[]) => {
    if (state.isFull) return false;
    state.found = found;
    told.push(found.map(({ name, qmp }) => `${name}=${qmp}`).join(" "));
    return true;
  };
  const log = new Log("test", "warn", (line) => said.push(line));
  return { host, told, said, state, watch: new HostWatch({ tell, users: () => state.listed, log, host }) };
}

Deno.test("a QEMU is told when it comes and when it goes, and read once in between", async () => {
  const { host, told, watch } = rig();
  host.program(1, "/sbin/init");
  host.qemu(7);
  await watch.look();
  assertEquals(told, ["vm7=/run/7.qmp"]);
  host.take();
  await watch.tick();
  await watch.tick();
  assertEquals(host.take(), ["started 7", "started 7"]);
  assertEquals(host.tables, 1, "nobody has come, so nobody's monitor is looked at");
  host.qemu(8);
  await watch.tick();
  assertEquals([told.at(-1), host.tables], ["vm7=/run/7.qmp vm8=/run/8.qmp", 2]);
  host.processes.delete(7);
  await watch.tick();
  assertEquals([told.at(-1), told.length], ["vm8=/run/8.qmp", 3]);
});

Deno.test("a QEMU under another name is told, a silent program is passed over and keeps nobody waiting", async () => {
  const { host, told, said, watch } = rig();
  host.program(5, "/usr/bin/stuck");
  host.silent.add(5);
  host.qemu(7);
  const line = "vmm -name odd -machine q35 -qmp unix:/run/odd.qmp,server=on,wait=off";
  host.processes.set(4, { exe: "/opt/vmm", line, started: "1", uid: OWN });
  await watch.look();
  assertEquals([told, said], [["vm7=/run/7.qmp"], []], "those of that name are told");
  await watch.tick();
  assertEquals([told.at(-1), said], ["odd=/run/odd.qmp vm7=/run/7.qmp", []], "and then who else says so");
  host.processes.set(9, { exe: "/opt/vmm", line: "vmm -qmp unix:/run/9.qmp", started: "1", uid: 9 });
  host.take();
  await watch.tick();
  assertEquals(
    host.take().filter((asked) => asked.startsWith("args")),
    [],
    "nothing is read again, nor of others",
  );
});

Deno.test("another QEMU with the number of one that went is another QEMU", async () => {
  const { host, told, watch } = rig();
  host.qemu(7);
  await watch.look();
  host.qemu(7, "2");
  host.processes.get(7)!.line = "qemu -name other -qmp unix:/run/other.qmp,server=on,wait=off";
  await watch.tick();
  assertEquals(told, ["vm7=/run/7.qmp", "other=/run/other.qmp"]);
  host.processes.set(7, { exe: "/usr/bin/top", line: "top", started: "3", uid: OWN });
  await watch.tick();
  assertEquals(told.at(-1), "", "and a program with its number is none");
});

Deno.test("a monitor that is given back is noticed by the third look", async () => {
  const { host, told, watch } = rig();
  host.qemu(7);
  host.busy = ["/run/7.qmp"];
  await watch.look();
  assertEquals(told, ["vm7="]);
  host.busy = [];
  for (let i = 0; i < 3; i++) await watch.tick();
  assertEquals(told, ["vm7=", "vm7=/run/7.qmp"]);
  host.busy = ["/run/7.qmp"];
  await watch.look();
  assertEquals(told.at(-1), "vm7=", "a look that is asked for takes everything");
});

Deno.test("what is something else is left alone for a minute; what may become something else is not", async () => {
  const { host, told, watch } = rig();
  host.program(1, "/sbin/init");
  host.program(2, "/bin/bash");
  await watch.look();
  host.take();
  await watch.tick();
  assertEquals(host.take(), ["exe 2"]);
  host.qemu(2);
  host.qemu(1);
  await watch.tick();
  assertEquals(told.at(-1), "vm2=/run/2.qmp", "the shell has become a QEMU");
  for (let i = 3; i < 12; i++) await watch.tick();
  assertEquals(told.at(-1), "vm2=/run/2.qmp");
  await watch.tick();
  assertEquals(told.at(-1), "vm1=/run/1.qmp vm2=/run/2.qmp", "a number that has become a QEMU's");
});

Deno.test("a QEMU whose arguments are not there yet is looked at again", async () => {
  const { host, told, watch } = rig();
  host.qemu(7);
  const { args } = host;
  host.args = () => Promise.resolve({ words: [], isWhole: true });
  await watch.look();
  assertEquals(told, []);
  host.args = args;
  await watch.tick();
  assertEquals(told, ["vm7=/run/7.qmp"]);
});

Deno.test("whose VMs count: nothing of another user is read, and one that is listed later is found then", async () => {
  const { host, told, said, state, watch } = rig();
  host.qemu(7, "1", 4242, "web");
  host.qemu(8, "2", OWN, "web");
  await watch.look();
  assertEquals(told, ["web=/run/8.qmp"]);
  assertEquals(host.take().filter((what) => what.endsWith(" 7")), ["exe 7"]);
  state.listed.add(4242);
  await watch.look();
  assertEquals(told.at(-1), "web=/run/8.qmp web@4242=/run/7.qmp");
  assertEquals(state.found.map(({ trusted }) => trusted), [true, false]);
  state.listed.delete(4242);
  await watch.look();
  assertEquals([told.at(-1), said], ["web=/run/8.qmp", []]);
});

Deno.test("a QEMU that root began and another user goes on with is that user's", async () => {
  const { host, told, watch } = rig([0, 4242]);
  host.qemu(7, "1", 0, "web");
  await watch.look();
  assertEquals(told, ["web=/run/7.qmp"]);
  host.processes.get(7)!.uid = 4242;
  for (let i = 0; i < 4; i++) await watch.tick();
  assertEquals(told.at(-1), "web@4242=/run/7.qmp");
});

Deno.test("a process that cannot be read is passed over and told once; its user's others wait, nobody else's", async () => {
  const { host, told, said, watch } = rig([0, OWN, 4242]);
  for (let pid = 20; pid < 30; pid++) host.qemu(pid, "5", 4242);
  host.silent.add(20);
  host.qemu(40);
  await watch.look();
  assertEquals(told, ["vm40=/run/40.qmp"]);
  assertEquals(said.length, 1);
  assertStringIncludes(`${said}`, 'a process is skipped pid=20 uid=4242 why="20 does not answer"');
  for (let i = 0; i < 13; i++) await watch.tick();
  assertEquals(said.length, 1, "once");
  assertEquals(told.at(-1)?.split(" ").length, 10, "the others of its user, when it is not asked");
});

Deno.test("a monitor in a bad place: told when it has had time to begin, once, and taken when it is mended", async () => {
  const { host, told, said, watch } = rig();
  host.qemu(7);
  host.defects.set("/run/7.qmp", "there is no socket at its monitor's path");
  await watch.look();
  await watch.tick();
  assertEquals([said, told], [[], ["vm7="]], "it is looked at each time while it begins");
  host.defects.delete("/run/7.qmp");
  await watch.tick();
  assertEquals(told.at(-1), "vm7=/run/7.qmp");
  host.defects.set("/run/7.qmp", "throw");
  for (let i = 0; i < 30; i++) await watch.tick();
  assertEquals(said.length, 1);
  assertStringIncludes(`${said}`, "a VM is not attached name=vm7");
  assertEquals(told.at(-1), "vm7=");
});

Deno.test("one user's VMs take a part of the places, root's and our own all there are; who was first stays", async () => {
  const { host, state, said, watch } = rig([0, OWN, 4242]);
  for (let i = 0; i < 100; i++) host.qemu(1000 + i, `${i}`, 4242);
  for (let i = 0; i < 100; i++) host.qemu(2000 + i, `${i}`);
  await watch.look();
  const of = (trusted: boolean) => state.found.filter((vm) => vm.trusted === trusted).map(({ pid }) => pid);
  assertEquals([of(true).length, of(false).length], [100, MAX_PROBED_A_USER]);
  assertEquals(of(false), Array.from({ length: MAX_PROBED_A_USER }, (_, i) => 1000 + i));
  assert(JSON.stringify(state.found).length < 100_000, "it fits the way to the loop");
  host.qemu(5, "7000", 4242);
  await watch.tick();
  assertEquals([of(false).includes(5), said.length], [false, 1]);
});

Deno.test("neither a host that cannot be looked at nor a loop that has no room ends the looking", async () => {
  const { host, told, said, state, watch } = rig();
  host.qemu(7);
  host.isBroken = true;
  for (let i = 0; i < 5; i++) await watch.tick();
  assertEquals([said.length, told], [1, []], "said once");
  host.isBroken = false;
  state.isFull = true;
  await watch.look();
  assertEquals(told, []);
  state.isFull = false;
  await watch.tick();
  assertEquals(told, ["vm7=/run/7.qmp"], "told when there is room");
});

Deno.test("thousands of processes are looked at in slices: the thread does its other work in between", async () => {
  const { host, watch } = rig();
  for (let pid = 1; pid < 3000; pid++) host.program(pid, "/bin/bash");
  // Each costs a while, so that what is counted is the slices and not the speed of this machine.
  const exe = host.exe;
  host.exe = (pid) => {
    const until = performance.now() + 0.02;
    while (performance.now() < until);
    return exe(pid);
  };
  let turns = 0;
  const other = setInterval(() => turns++, 0);
  await watch.look();
  clearInterval(other);
  assert(turns >= 5, `${turns} turns of other work during a look of at least 60 ms`);
});

Deno.test("one look at a time; one that is asked for meanwhile is made after it", async () => {
  const { host, told, watch } = rig();
  host.qemu(7);
  const first = watch.look();
  const tick = watch.tick();
  host.qemu(8);
  const second = watch.look();
  await Promise.all([first, tick, second]);
  assertEquals(told.at(-1), "vm7=/run/7.qmp vm8=/run/8.qmp");
  watch[Symbol.dispose]();
  host.qemu(9);
  await watch.tick();
  assertEquals(told.at(-1), "vm7=/run/7.qmp vm8=/run/8.qmp", "and none is told of after the end");
});

Deno.test("users by name and number; an unknown one is told once, and counts when it is there", () => {
  const said: string[] = [];
  const known = new Map([["root", 0]]);
  const lookup = { uidOf: (name: string) => known.get(name), gidOf: () => undefined, isMember: () => false };
  const log = new Log("test", "warn", (line) => said.push(line));
  const users = new DiscoveryUsers(undefined, lookup, 77, log);
  assertEquals([...users.uids()], [0, 77]);
  users.replace(["root", "4242", "alice"]);
  assertEquals([[...users.uids()], [...users.uids()], said.length], [[0, 4242], [0, 4242], 1]);
  known.set("alice", 1000);
  assertEquals([...users.uids()], [0, 4242, 1000]);
  users.replace([]);
  assertEquals(users.uids().size, 0);
});
