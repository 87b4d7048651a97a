import { assertEquals, assertStringIncludes } from "@std/assert";
import { until } from "../../fixtures/daemon_process.ts";
import { textOfBytes } from "../../../src/base/byte_text.ts";
import { type HostView, probeHost } from "../../../src/roster/host_probe.ts";
import { ProcHost } from "../../../src/roster/proc_host.ts";
import { nameDefect } from "../../../src/daemon/config_names.ts";
import { cleanName, endpointName } from "../../../src/roster/endpoint_name.ts";
import { placeDefect, type PlaceInfo } from "../../../src/roster/monitor_place.ts";
import { readQemuCommandLine } from "../../../src/roster/qemu_command_line.ts";
import { SocketTable } from "../../../src/qemu/socket_table.ts";

interface Process {
  readonly pid: number;
  readonly exe: string;
  readonly line: string;
  readonly maps?: string;
}

/** A made-up host. `connected`: paths of unix sockets with a peer, all of them everybody's. */
function host(processes: readonly Process[], connected: readonly string[] = []): HostView {
  const find = (pid: number) => processes.find((process) => process.pid === pid);
  const rows = connected.map((path) => `0000000000000000: 00000003 00000000 00000000 0001 03 4711 ${path}`);
  return {
    ownUid: 1000,
    pids: () => Promise.resolve(processes.map(({ pid }) => pid)),
    exe: (pid) => find(pid)?.exe ?? "",
    args: (pid) => Promise.resolve({ words: find(pid)?.line.split(" ") ?? [], isWhole: true }),
    maps: (pid) => Promise.resolve(find(pid)?.maps ?? ""),
    uid: () => 1000,
    started: () => "1",
    cwd: () => "/srv/vm",
    async *unixSockets() {
      yield await Promise.resolve("Num       RefCount Protocol Flags    Type St Inode Path\n");
      yield [...rows, "odd row", ""].join("\n");
    },
    sockets: () => Promise.resolve(new Set(["4711"])),
    placeDefect: () => Promise.resolve(""),
  };
}

const QEMU = "/usr/bin/qemu-system-x86_64";
const SHARED = "-object memory-backend-memfd,id=ram0,size=1G,share=on -machine q35,memory-backend=ram0 -m 1G";

Deno.test("a VM with all that is needed is attachable and lacks nothing", async () => {
  const line =
    `qemu -name guest=web,debug-threads=on ${SHARED} -device virtio-tablet-pci -qmp unix:/run/web.qmp,server=on,wait=off`;
  const [vm] = await probeHost(host([{ pid: 7, exe: QEMU, line }]));
  assertEquals(vm, {
    pid: 7,
    uid: 1000,
    name: "web",
    endpoint: "web",
    qmp: "/run/web.qmp",
    monitors: [{ path: "/run/web.qmp", busy: false }],
    memory: "memfd",
    ramBytes: 2 ** 30,
    input: ["ps2-kbd", "virtio-tablet-pci", "ps2-mouse"],
    display: "std/default",
    viewers: [],
    consoles: [],
    calls: [],
    agent: "",
    manager: "",
    attachable: true,
    refusal: "",
    missing: [],
  });
});

Deno.test("a monitor that another client has is not offered; a free one beside it is; one that calls out is none", async () => {
  const line =
    "qemu -qmp unix:/run/a,server=on -qmp unix:b.sock,server,nowait -chardev socket,id=c,path=/run/c,server=on -mon chardev=c,mode=control -qmp unix:/run/out";
  const [both] = await probeHost(host([{ pid: 7, exe: QEMU, line }], ["/run/a", "b.sock"]));
  assertEquals(both?.monitors, [
    { path: "/run/a", busy: true },
    { path: "/srv/vm/b.sock", busy: true },
    { path: "/run/c", busy: false },
  ]);
  assertEquals([both?.qmp, both?.calls], ["/run/c", ["/run/out"]]);
  const [none] = await probeHost(host([{ pid: 7, exe: QEMU, line }], ["/run/a", "b.sock", "/run/c"]));
  assertEquals([none?.qmp, none?.attachable], ["", false]);
  assertStringIncludes(`${none?.missing}`, 'an [[endpoint]] with qmp = "listen:/run/out" in vmsigd.toml');
});

Deno.test("what a VM lacks is said as the option to add", async () => {
  const [vm] = await probeHost(host([{ pid: 9, exe: QEMU, line: "qemu -m 2048 -machine pc -name db" }]));
  assertEquals(vm?.missing, [
    "-qmp unix:/run/vmsig/db.qmp,server=on,wait=off",
    "-object memory-backend-memfd,id=ram0,size=2048M,share=on -machine memory-backend=ram0",
    "-device virtio-tablet-pci",
  ]);
  assertEquals([vm?.memory, vm?.ramBytes], ["private", 2 ** 31]);
  const file =
    "qemu -object memory-backend-file,id=m,mem-path=/dev/hugepages,size=1G -machine memory-backend=m";
  assertEquals((await probeHost(host([{ pid: 9, exe: QEMU, line: file }])))[0]?.memory, "file (private)");
});

Deno.test("what is not a QEMU, or gone in between, is passed over; one that was replaced on disk counts", async () => {
  const seen = await probeHost(host([
    { pid: 1, exe: "/sbin/init", line: "/sbin/init" },
    { pid: 4, exe: `${QEMU} (deleted)`, line: "qemu -name old" },
    { pid: 3, exe: "", line: "" },
    { pid: 2, exe: "/usr/bin/qemu-img", line: "qemu-img convert" },
    { pid: 5, exe: "", line: "/usr/bin/qemu-system-aarch64 -name hidden" },
  ]));
  assertEquals(seen.map(({ pid, name }) => [pid, name]), [[4, "old"], [5, "hidden"]]);
});

Deno.test("a QEMU under another name is found by what it says and maps; who only says so is not, nor who does not answer", async () => {
  const line = "vmm -name web -machine q35 -qmp unix:/run/web.qmp,server=on,wait=off";
  const maps = "7f00 r-xp 08:01 1 /usr/lib/libfdt-1.6.1.so\n";
  const view = host([
    { pid: 4, exe: "/opt/vmm", line: "hangs" },
    { pid: 5, exe: "/opt/vmm", line, maps },
    { pid: 6, exe: "/usr/bin/launcher", line },
    { pid: 7, exe: "/nix/store/x/.qemu-system-x86_64-wrapped", line: "qemu -name nix" },
  ]);
  const seen = await probeHost(view);
  assertEquals(seen.map(({ pid, name, qmp }) => [pid, name, qmp]), [[5, "web", "/run/web.qmp"], [
    7,
    "nix",
    "",
  ]]);
  const passed: number[] = [];
  const args = (pid: number) => pid === 4 ? Promise.reject(new Error("it does not answer")) : view.args(pid);
  const rest = await probeHost({ ...view, args }, (pid) => passed.push(pid));
  assertEquals([rest.map(({ pid }) => pid), passed], [[7], []], "the named ones are seen all the same");
});

Deno.test("names with commas, equals signs and dashes are read as QEMU reads them", () => {
  const named = (...words: string[]) => readQemuCommandLine(words).name;
  assertEquals(named("-name", "a,,b=c"), "a,b=c");
  assertEquals(named("-name", "-dash"), "-dash");
  assertEquals(named("-name", "guest=a,,b"), "a,b");
  assertEquals(named("-name", "guest=a,,b,debug-threads=on"), "a,b");
  assertEquals(["a,b=c", "-dash", "a,b"].map((name) => cleanName(name, 1)), [
    "a-b-c.6f76e0",
    "dash.6583bf",
    "a-b.efb090",
  ]);
});

Deno.test("a name becomes one that an endpoint may have", async () => {
  const named = async (name: string) =>
    (await probeHost(host([{ pid: 12, exe: QEMU, line: `qemu -name ${name}` }])))[0]?.endpoint ?? "";
  assertEquals(await named("a/b:c"), "a-b-c.d1b24a");
  assertEquals(await named("..x"), "x.46ff14");
  assertEquals(await named("42"), "qemu-12");
  assertEquals(await named("@@"), "qemu-12");
  assertEquals(await named("ä".repeat(40)), `${"ä".repeat(12)}.9e78fc`);
  assertEquals(cleanName("ä".repeat(131_000), 1), `${"ä".repeat(12)}.2d6043`);
  assertEquals(await named("x".repeat(31)), "x".repeat(31), "the longest that fits");
});

Deno.test("names that differ are told apart, whatever bytes they are", async () => {
  const nameOf = async (...bytes: number[]) => {
    const line = `qemu -name ${textOfBytes(new Uint8Array(bytes))}`;
    const [vm] = await probeHost(host([{ pid: 12, exe: QEMU, line }]));
    return [vm?.name, vm?.endpoint];
  };
  const text = (words: string) => nameOf(...new TextEncoder().encode(words));
  assertEquals(await nameOf(0x77, 0xff), ["w\\xff", "wxff.bbd0f1"]);
  assertEquals(await nameOf(0x77, 0xfe), ["w\\xfe", "wxfe.b85992"]);
  assertEquals(await text("w\\xff"), ["w\\\\xff", "w-xff.7f12a5"], "a real backslash is doubled");
  assertEquals(await text("wxff"), ["wxff", "wxff"], "who is called so has the name alone");
  assertEquals(await text("a,,b=c"), ["a,b=c", "a-b-c.6f76e0"]);
  assertEquals(await text("web"), ["web", "web"]);
  assertEquals(await text("42"), ["42", "qemu-12"]);
});

Deno.test("VMs whose names differ have names in the roster that differ: one byte, a sign, a space, the end", () => {
  const long = "instance-of-the-web-front-end-";
  const names = [
    ...["w\udcff", "w\udcfe", "wxff", "wxfe", "w\\xff", "w\ufffd", "w\x01", "w\x02", "w\n", "w "],
    ...["a b", "a,b", "a-b", "a\tb", "-a", "--a", "a", `${long}01`, `${long}02`, `${long}03`, "\u{10ffff}"],
  ];
  for (const trusted of [true, false]) {
    const called = names.map((name) => endpointName(name, 12, 1000, trusted));
    assertEquals(new Set(called).size, names.length, called.join(" "));
    for (const name of called) assertEquals(nameDefect(name), undefined, name);
  }
});

Deno.test("a command line of /proc is read without loss", async () => {
  const child = new Deno.Command("bash", {
    args: ["-c", "exec -a \"$(printf 'qemu\\377')\" sleep 60"],
    stdin: "null",
  }).spawn();
  try {
    const proc = new ProcHost();
    const words = async () => (await proc.args(child.pid)).words;
    await until("it is sleep", async () => (await words()).at(-1) === "60");
    assertEquals(await words(), ["qemu\udcff", "60"]);
  } finally {
    child.kill("SIGKILL");
    await child.status;
  }
});

Deno.test("the name of another user's VM says whose it is, and no name that it gives itself is a bare one", () => {
  const name = (text: string) => endpointName(text, 12, 1000, false);
  assertEquals(endpointName("web", 12, 0, true), "web");
  assertEquals(["web", "web@0", "42", ""].map(name), [
    "web@1000",
    "web@0@1000",
    "qemu-12@1000",
    "qemu-12@1000",
  ]);
  assertEquals(name("x".repeat(26)), `${"x".repeat(26)}@1000`);
  assertEquals(name("x".repeat(40)), `${"x".repeat(19)}.939df6@1000`);
  assertEquals(endpointName("ü".repeat(40), 12, 4_294_967_294, false), `${"ü".repeat(6)}.9f8c82@4294967294`);
});

Deno.test("one that only calls itself QEMU, or runs as two users, or says too much, is seen and not attached", async () => {
  const line = "qemu-system-x86_64 -name web -qmp unix:/run/web.qmp,server=on";
  const plain = host([{ pid: 7, exe: QEMU, line }]);
  const reason = async (view: HostView) => {
    const [vm] = await probeHost(view);
    assertEquals([vm?.qmp, vm?.attachable], ["", false]);
    return vm?.refusal;
  };
  assertEquals(
    await reason(host([{ pid: 7, exe: "", line }])),
    "its program may not be seen: only its arguments say that it is QEMU",
  );
  assertEquals(await reason({ ...plain, uid: () => -1 }), "it does not run as one user");
  assertStringIncludes(
    `${await reason({ ...plain, args: () => Promise.resolve({ words: line.split(" "), isWhole: false }) })}`,
    "longer than the 4096 words",
  );
  assertEquals(await reason({ ...plain, placeDefect: () => Promise.resolve("a bad place") }), "a bad place");
  const far = { pid: 7, exe: QEMU, line: `qemu -qmp unix:/${"d".repeat(120_000)},server=on` };
  const [vm] = await probeHost(host([far]));
  assertEquals([vm?.attachable, vm?.monitors[0]?.path.length], [false, 108]);
  assertStringIncludes(`${vm?.refusal}`, "longer than the 107 bytes");
  assertEquals(await probeHost(host([{ pid: 7, exe: "/usr/bin/sleep", line }])), []);
  const [quoted] = await probeHost(host([{ pid: 7, exe: QEMU, line: "qemu -machine pc;reboot" }]));
  assertEquals(
    quoted?.missing[1]?.includes("reboot"),
    false,
    "what is to be typed has nothing of theirs in it",
  );
});

Deno.test("a process that does not answer keeps nobody else from being seen", async () => {
  const line = "qemu -name web -qmp unix:/run/web.qmp,server=on";
  const plain = host([7, 8, 9].map((pid) => ({ pid, exe: QEMU, line })));
  let asked = 0;
  const view: HostView = {
    ...plain,
    uid: (pid) => pid === 9 ? 1 : 1000,
    args(pid) {
      if (pid === 9) return plain.args(pid);
      asked++;
      return Promise.reject(new Error("no answer"));
    },
  };
  const passed: string[] = [];
  const vms = await probeHost(view, (pid, why) => passed.push(`${pid} ${why}`));
  assertEquals(vms.map(({ pid }) => pid), [9]);
  assertEquals([asked, passed], [1, ["7 no answer", "8 another process of its user does not respond"]]);
});

Deno.test("who is connected: rows in pieces, and rows that a path with a line break makes up", async () => {
  const row = (path: string, number = 4711) =>
    `0000000000000000: 00000003 00000000 00000000 0001 03 ${number} ${path}\n`;
  const table = new SocketTable(new Set(["/run/a", "b c"]));
  const text = row("/run/a") + row("/run/b") + row("b c", 12) + `x${"y".repeat(5000)}` + row("/run/a", 5) +
    row("/run/a", 13);
  for (let i = 0; i < text.length; i += 7) table.take(text.slice(i, i + 7));
  assertEquals([...table.connected], [["/run/a", ["4711", "13"]], ["b c", ["12"]]]);
  // Its own sockets are what a process has open: a row about it that is not one of them is somebody's
  // invention.
  const line = "qemu -name web -qmp unix:/run/a,server=on";
  const view = host([{ pid: 7, exe: QEMU, line }], ["/run/a"]);
  const free = async (sockets: ReadonlySet<string> | undefined) =>
    (await probeHost({ ...view, sockets: () => Promise.resolve(sockets) }))[0]?.qmp;
  assertEquals(await free(new Set(["4711"])), "");
  assertEquals(await free(new Set(["4712"])), "/run/a");
  assertEquals(await free(undefined), "", "what may not be seen is believed");
});

Deno.test("a monitor's place: whose socket, whose folders, and who else may write there", async () => {
  const socket = (uid: number): PlaceInfo => ({ uid, gid: uid, mode: 0o140755, isSocket: true });
  const folder = (uid: number, mode: number, gid = uid): PlaceInfo => ({ uid, gid, mode, isSocket: false });
  const files: Record<string, PlaceInfo> = {
    "/run": folder(0, 0o755),
    "/run/vm": folder(1000, 0o755),
    "/run/vm/a": socket(1000),
    "/run/vm/root": socket(0),
    "/run/vm/file": folder(1000, 0o644),
    "/run/kvm": folder(0, 0o775, 36),
    "/run/kvm/a": socket(1000),
    "/run/own": folder(1000, 0o775),
    "/run/own/a": socket(1000),
    "/run/eve": folder(666, 0o755),
    "/run/eve/vm": folder(1000, 0o755),
    "/run/eve/vm/a": socket(1000),
    "/run/open": folder(1000, 0o757),
    "/run/open/a": socket(1000),
    "/tmp": folder(0, 0o1777),
    "/tmp/a": socket(1000),
  };
  const view = {
    realPath: (path: string) =>
      path in files ? Promise.resolve(path) : Promise.reject(new Deno.errors.NotFound(path)),
    look: (path: string) =>
      files[path] === undefined
        ? Promise.reject(new Deno.errors.NotFound(path))
        : Promise.resolve(files[path]),
  };
  const defect = (path: string) => placeDefect(view, path, 1000, 77);
  assertEquals([await defect("/run/vm/a"), await defect("/run/own/a"), await defect("/tmp/a")], ["", "", ""]);
  assertEquals(
    await defect("/run/vm/root"),
    "its monitor's socket belongs to uid 0, and it runs as uid 1000",
  );
  assertEquals(await defect("/run/vm/file"), "what is at its monitor's path is not a socket");
  assertEquals(await defect("/run/vm/none"), "there is no socket at its monitor's path");
  assertEquals(
    await defect("/run/vm/p\udcff"),
    "its monitor's path is not UTF-8, so that vmsig cannot open it",
    "there may well be a socket",
  );
  assertEquals(await defect("/run/eve/vm/a"), "the folder /run/eve of its monitor belongs to uid 666");
  for (const place of ["/run/kvm", "/run/open"]) {
    assertEquals(
      await defect(`${place}/a`),
      `others may write in the folder ${place} of its monitor; chmod go-w it`,
    );
  }
});

Deno.test("what a machine has by itself, and what takes it away", () => {
  const setup = readQemuCommandLine(
    ["--name", "x", "-M", "type=pc,i8042=off", "-nographic", "-device", "driver=usb-kbd", "-vga", "none"],
  );
  assertEquals([setup.name, setup.machine, setup.ramBytes], ["x", "pc", 128 * 2 ** 20]);
  assertEquals([setup.keyboards, setup.pointers, setup.hasTablet], [["usb-kbd"], [], false]);
  assertEquals(setup.display, "none/none");
  assertEquals(readQemuCommandLine(["-nodefaults"]).display, "none/default");
});

Deno.test("the real /proc: this process is there, is not a QEMU, and a pid that is gone has nothing to tell", async () => {
  const real = new ProcHost();
  assertEquals((await real.pids()).includes(Deno.pid), true);
  assertEquals(real.uid(Deno.pid), Deno.uid());
  assertEquals(real.cwd(Deno.pid), Deno.cwd());
  assertEquals([real.exe(2 ** 30), await real.args(2 ** 30), real.uid(2 ** 30)], ["", {
    words: [],
    isWhole: true,
  }, -1]);
  assertEquals([/^\d+$/.test(real.started(Deno.pid)), real.started(2 ** 30)], [true, ""]);
  assertEquals((await probeHost(real)).some(({ pid }) => pid === Deno.pid), false);
  const { words, isWhole } = await real.args(Deno.pid);
  assertEquals([words[0]?.endsWith("deno"), words[1], isWhole], [true, "test", true]);
});

Deno.test("the real /proc: a long command line is read to the bound, a socket is its process's", async () => {
  const real = new ProcHost();
  const child = new Deno.Command("sleep", { args: ["60", ...Array(100_000).fill("0")], stdin: "null" })
    .spawn();
  const dir = await Deno.makeTempDir({ prefix: "vmsig-probe-" });
  try {
    // Until it has begun, it still has our own words.
    await until("the child's command line", async () => !(await real.args(child.pid)).isWhole);
    const { words, isWhole } = await real.args(child.pid);
    assertEquals([words.length, isWhole], [4097, false]);
    using listener = Deno.listen({ transport: "unix", path: `${dir}/s` });
    using _client = await Deno.connect({ transport: "unix", path: `${dir}/s` });
    using _server = await listener.accept();
    const table = new SocketTable(new Set([`${dir}/s`]));
    for await (const piece of real.unixSockets()) table.take(piece);
    const numbers = table.connected.get(`${dir}/s`) ?? [];
    const own = await real.sockets(Deno.pid);
    assertEquals(numbers.map((number) => own?.has(number)), [true]);
    assertEquals(await real.placeDefect(`${dir}/s`, Deno.uid() ?? -1), "");
    assertStringIncludes(await real.placeDefect(`${dir}/s`, 4242), "its monitor's socket belongs to uid");
    assertEquals(await real.sockets(2 ** 30), undefined);
  } finally {
    child.kill("SIGKILL");
    await child.status;
    await Deno.remove(dir, { recursive: true });
  }
});
