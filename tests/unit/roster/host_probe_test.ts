import { assertEquals, assertStringIncludes } from "@std/assert";
import { type HostView, probeHost } from "../../../src/roster/host_probe.ts";
import { ProcHost } from "../../../src/roster/proc_host.ts";
import { readProperties, readQemuCommandLine, readSize } from "../../../src/roster/qemu_command_line.ts";

interface Process {
  readonly pid: number;
  readonly exe: string;
  readonly line: string;
}

/** A made-up host. `connected`: paths of unix sockets with a peer. */
function host(processes: readonly Process[], connected: readonly string[] = []): HostView {
  const find = (pid: number) => processes.find((process) => process.pid === pid);
  const rows = connected.map((path) => `0000000000000000: 00000003 00000000 00000000 0001 03 4711 ${path}`);
  return {
    pids: () => processes.map(({ pid }) => pid),
    exe: (pid) => find(pid)?.exe ?? "",
    args: (pid) => find(pid)?.line.split(" ") ?? [],
    uid: () => 1000,
    cwd: () => "/srv/vm",
    unixSockets: () =>
      ["Num       RefCount Protocol Flags    Type St Inode Path", ...rows, "odd row"].join("\n"),
  };
}

const QEMU = "/usr/bin/qemu-system-x86_64";
const SHARED = "-object memory-backend-memfd,id=ram0,size=1G,share=on -machine q35,memory-backend=ram0 -m 1G";

Deno.test("a VM with all that is needed is attachable and lacks nothing", () => {
  const line =
    `qemu -name guest=web,debug-threads=on ${SHARED} -device virtio-tablet-pci -qmp unix:/run/web.qmp,server=on,wait=off`;
  const [vm] = probeHost(host([{ pid: 7, exe: QEMU, line }]));
  assertEquals(vm, {
    pid: 7,
    uid: 1000,
    name: "web",
    qmp: "/run/web.qmp",
    monitors: [{ path: "/run/web.qmp", busy: false }],
    memory: "memfd",
    ramBytes: 2 ** 30,
    input: ["ps2-kbd", "virtio-tablet-pci", "ps2-mouse"],
    display: "std/default",
    attachable: true,
    missing: [],
  });
});

Deno.test("a monitor that another client has is not offered; a free one beside it is; one that calls out is none", () => {
  const line =
    "qemu -qmp unix:/run/a,server=on -qmp unix:b.sock,server,nowait -chardev socket,id=c,path=/run/c,server=on -mon chardev=c,mode=control -qmp unix:/run/out";
  const both = probeHost(host([{ pid: 7, exe: QEMU, line }], ["/run/a", "b.sock"]))[0];
  assertEquals(both?.monitors, [
    { path: "/run/a", busy: true },
    { path: "/srv/vm/b.sock", busy: true },
    { path: "/run/c", busy: false },
  ]);
  assertEquals(both?.qmp, "/run/c");
  const none = probeHost(host([{ pid: 7, exe: QEMU, line }], ["/run/a", "b.sock", "/run/c"]))[0];
  assertEquals([none?.qmp, none?.attachable], ["", false]);
  assertStringIncludes(`${none?.missing}`, "-qmp unix:/run/vmsig/qemu-7.qmp,server=on,wait=off");
});

Deno.test("what a VM lacks is said as the option to add", () => {
  const [vm] = probeHost(host([{ pid: 9, exe: QEMU, line: "qemu -m 2048 -machine pc -name db" }]));
  assertEquals(vm?.missing, [
    "-qmp unix:/run/vmsig/db.qmp,server=on,wait=off",
    "-object memory-backend-memfd,id=ram0,size=2048M,share=on -machine pc,memory-backend=ram0",
    "-device virtio-tablet-pci",
  ]);
  assertEquals([vm?.memory, vm?.ramBytes], ["private", 2 ** 31]);
  const file =
    "qemu -object memory-backend-file,id=m,mem-path=/dev/hugepages,size=1G -machine memory-backend=m";
  assertEquals(probeHost(host([{ pid: 9, exe: QEMU, line: file }]))[0]?.memory, "file (private)");
});

Deno.test("what is no QEMU, or gone in between, is passed over; one that was replaced on disk counts", () => {
  const seen = probeHost(host([
    { pid: 1, exe: "/sbin/init", line: "/sbin/init" },
    { pid: 4, exe: `${QEMU} (deleted)`, line: "qemu -name old" },
    { pid: 3, exe: "", line: "" },
    { pid: 2, exe: "/usr/bin/qemu-img", line: "qemu-img convert" },
    { pid: 5, exe: "", line: "/usr/bin/qemu-system-aarch64 -name hidden" },
  ]));
  assertEquals(seen.map(({ pid, name }) => [pid, name]), [[4, "old"], [5, "hidden"]]);
});

Deno.test("a name becomes one that an endpoint may have", () => {
  const named = (name: string) =>
    probeHost(host([{ pid: 12, exe: QEMU, line: `qemu -name ${name}` }]))[0]?.name;
  assertEquals(named("a/b:c"), "a-b-c");
  assertEquals(named("..x"), "x");
  assertEquals(named("42"), "qemu-12");
  assertEquals(named("@@"), "qemu-12");
  assertEquals(new TextEncoder().encode(named("ä".repeat(40))).length, 30);
});

Deno.test("option syntax: doubled commas, bare words, units", () => {
  assertEquals([...readProperties("a,,b,c=d,,e,on")], [["", "a,b"], ["c", "d,e"], ["on", "on"]]);
  assertEquals(["1", "512M", "1.5G", "64k", "x", "1Q"].map((text) => readSize(text, 2 ** 20)), [
    2 ** 20,
    512 * 2 ** 20,
    1.5 * 2 ** 30,
    65_536,
    undefined,
    undefined,
  ]);
  const setup = readQemuCommandLine([
    "--name",
    "x",
    "-M",
    "type=pc,i8042=off",
    "-nographic",
    "-device",
    "driver=usb-kbd",
    "-vga",
    "none",
  ]);
  assertEquals([setup.name, setup.machine, setup.ramBytes], ["x", "pc", 128 * 2 ** 20]);
  assertEquals([setup.keyboards, setup.pointers, setup.hasTablet], [["usb-kbd"], [], false]);
  assertEquals(setup.display, "none/none");
});

Deno.test("the real /proc: this process is there, is no QEMU, and a pid that is gone has nothing to tell", () => {
  const real = new ProcHost();
  assertEquals(real.pids().includes(Deno.pid), true);
  assertEquals(real.uid(Deno.pid), Deno.uid());
  assertEquals(real.cwd(Deno.pid), Deno.cwd());
  assertEquals([real.exe(2 ** 30), real.args(2 ** 30), real.uid(2 ** 30)], ["", [], -1]);
  assertEquals([/^\d+$/.test(real.started(Deno.pid)), real.started(2 ** 30)], [true, ""]);
  assertEquals(probeHost(real).some(({ pid }) => pid === Deno.pid), false);
});
