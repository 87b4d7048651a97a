// The one reader of QEMU command lines: QEMU's own syntax, libvirt's JSON, and what it costs when the words
// are hostile.
import { assert, assertEquals } from "@std/assert";
import { MAX_QEMU_ARGUMENTS, MAX_QEMU_LINE_BYTES } from "../../../src/base/limits.ts";
import { CommandLine, isOn, readProperties, readSize } from "../../../src/qemu/command_line.ts";
import { readMemoryOptions } from "../../../src/qemu/memory_options.ts";
import { parseQemuCommandLine } from "../../../src/ram/qemu_command_line.ts";
import { readQemuCommandLine } from "../../../src/roster/qemu_command_line.ts";

const MIB = 2 ** 20;

/** A domain as libvirt 9.0 starts it, abridged to the forms that it uses. */
const LIBVIRT = [
  "-name",
  "guest=web,,1,debug-threads=on",
  "-S",
  "-object",
  '{"qom-type":"secret","id":"masterKey0","format":"raw","file":"/var/lib/libvirt/qemu/domain-1-web/master-key.aes"}',
  "-machine",
  "pc-q35-7.2,usb=off,dump-guest-core=off,memory-backend=pc.ram",
  "-accel",
  "tcg",
  "-cpu",
  "qemu64",
  "-m",
  "size=1048576k,slots=16,maxmem=4194304k",
  "-object",
  '{"qom-type":"memory-backend-memfd","id":"pc.ram","share":true,"x-use-canonical-path-for-ramblock-id":false,"prealloc":false,"size":1073741824}',
  "-overcommit",
  "mem-lock=off",
  "-no-user-config",
  "-nodefaults",
  "-chardev",
  "socket,id=charmonitor,fd=26,server=on,wait=off",
  "-mon",
  "chardev=charmonitor,id=monitor,mode=control",
  "-rtc",
  "base=utc",
  "-no-shutdown",
  "-device",
  '{"driver":"pcie-root-port","port":16,"chassis":1,"id":"pci.1","bus":"pcie.0","multifunction":true,"addr":"0x2"}',
  "-blockdev",
  '{"driver":"file","filename":"/srv/web,1.img","node-name":"libvirt-1-storage","auto-read-only":true}',
  "-device",
  '{"driver":"virtio-vga","id":"video0","max_outputs":1,"bus":"pcie.0","addr":"0x1"}',
  "-device",
  '{"driver":"usb-tablet","id":"input0","bus":"usb.0","port":"1"}',
  "-qmp",
  "unix:/var/lib/libvirt/qemu/web.vmsig,server=on,wait=off",
  "-msg",
  "timestamp=on",
];

Deno.test("a VM as libvirt starts it reads the same for the probe and for its RAM", () => {
  const setup = readQemuCommandLine(LIBVIRT);
  assertEquals(setup, {
    isWhole: true,
    name: "web,1",
    machine: "pc-q35-7.2",
    ramBytes: 1024 * MIB,
    // Its own monitor is a descriptor that it was given: no path.
    qmp: [{ path: "/var/lib/libvirt/qemu/web.vmsig", listens: true }],
    memory: { backend: "memfd", shared: true, path: "" },
    remedy: "",
    keyboards: ["ps2-kbd"],
    pointers: ["usb-tablet", "ps2-mouse"],
    hasTablet: true,
    display: "virtio-vga/default",
    hasMonitorByDescriptor: true,
    tcpMonitor: "",
    manager: "libvirt",
    viewers: [],
    consoles: [],
    agent: "",
  });
  const options = parseQemuCommandLine(["/usr/bin/qemu-system-x86_64", ...LIBVIRT]);
  assertEquals([options.machine, options.ramBytes, options.ramIds], ["pc-q35-7.2", 1024 * MIB, ["pc.ram"]]);
  assertEquals(options.backends, [{
    type: "memory-backend-memfd",
    id: "pc.ram",
    sizeBytes: 1024 * MIB,
    share: true,
    path: undefined,
    fileOffset: 0,
  }]);
});

Deno.test("lists: the first value whole, doubled commas, bare and negated keys, equals signs in values", () => {
  assertEquals([...readProperties("a,,b,c=d,,e,on")], [["", "a,b"], ["c", "d,e"], ["on", "on"]]);
  // The first value has no key: an equals sign behind its comma is part of it.
  assertEquals([...readProperties("a,,b=c", "guest")], [["guest", "a,b=c"]]);
  assertEquals([...readProperties("unix=1,path=/a=b,,c,server,nowait")], [
    ["unix", "1"],
    ["path", "/a=b,c"],
    ["server", "on"],
    ["wait", "off"],
  ]);
  assertEquals([...readProperties("k=v,")], [["k", "v"]]);
  assertEquals([...readProperties("")], []);
  assertEquals([...readProperties("k=,,,l=2")], [["k", ","], ["l", "2"]]);
  assertEquals(["on", "y", "true", "off", "", undefined].map(isOn), [true, true, true, false, false, false]);
  assertEquals(
    ["1", "512M", "1.5G", "64k", "0x10", "2P", "x", "1Q", "", undefined].map((text) => readSize(text, MIB)),
    [MIB, 512 * MIB, 1536 * MIB, 65_536, 16 * MIB, 2 ** 51, undefined, undefined, undefined, undefined],
  );
});

Deno.test("an option takes its argument whatever that begins with; one that has none takes nothing", () => {
  const line = new CommandLine(
    "disk.img -name -dash -S -m 1G --nographic -append -qmp -newer unix:x -newest -qmp unix:/q,server=on"
      .split(" "),
  );
  assertEquals(line.texts("name"), ["-dash"]);
  assertEquals([line.has("S"), line.texts("m"), line.has("nographic")], [true, ["1G"], true]);
  assertEquals([line.texts("append"), line.texts("newer"), line.texts("newest")], [["-qmp"], ["unix:x"], [
    "",
  ]]);
  assertEquals(line.texts("qmp"), ["unix:/q,server=on"]);
  assertEquals([new CommandLine(["-name"]).texts("name"), new CommandLine([]).isWhole], [[""], true]);
});

Deno.test("the installed QEMU's own help agrees on which options take an argument", async () => {
  const qemu = new Deno.Command("qemu-system-x86_64", { args: ["-help"], stdout: "piped" });
  let help: string;
  try {
    help = new TextDecoder().decode((await qemu.output()).stdout);
  } catch (error) {
    // A machine without QEMU has nothing to compare with.
    if (error instanceof Deno.errors.NotFound) return;
    throw error;
  }
  let options = 0;
  const wrong: string[] = [];
  // "-name string1[,…]" takes one, "-S    freeze" (spaces, a tab or the line's end) does not.
  for (const [, name = "", space, next] of help.matchAll(/^--?([a-zA-Z][\w-]*)( ?)(\S?)/gm)) {
    // "-h or -help", "-fda/-fdb file", one that is longer than its column, and those whose argument stands on
    // the next line.
    if (
      ["h", "async-teardown", "fda", "hda", "hdc", "readconfig", "writeconfig", "dtb", "D", "L"].includes(
        name,
      )
    ) continue;
    const takes = space === " " && next !== "";
    const line = new CommandLine([`-${name}`, "-S"]);
    if (!line.has("S") !== takes) wrong.push(`-${name}`);
    options++;
  }
  assertEquals(wrong, []);
  assert(options > 60, `${options} options compared`);
});

Deno.test("machine, size and name merge as QEMU merges them: of a key that is given twice the last one counts", () => {
  const words =
    "-machine pc,memory-backend=a -M type=q35 -machine i8042=off,memory-backend=b -m 1G -m 512 -m slots=2 -name a -name guest=b,process=c";
  const setup = readQemuCommandLine(words.split(" "));
  assertEquals([setup.machine, setup.ramBytes, setup.name, setup.keyboards], ["q35", 512 * MIB, "b", []]);
  assertEquals(readMemoryOptions(new CommandLine(words.split(" "))).ramIds, ["b"]);
});

Deno.test("RAM of several nodes is in the order of their numbers; POSIX shared memory is shared, come what may", () => {
  const words =
    "-object memory-backend-shm,id=a,size=1G -object memory-backend-memfd,id=b,size=1G -object memory-backend-ram,id=c,share=on,size=1G -numa node,nodeid=1,memdev=a -numa node,nodeid=0,memdev=b -numa cpu,node-id=0 -numa node,memdev=c"
      .split(" ");
  const options = readMemoryOptions(new CommandLine(words));
  assertEquals(options.ramIds, ["b", "a", "c"]);
  assertEquals(options.backends.map(({ id, share }) => [id, share]), [["a", true], ["b", true], ["c", true]]);
  assertEquals(readQemuCommandLine(words).memory, { backend: "memfd", shared: true, path: "" });
  const one = readQemuCommandLine([
    ...words,
    "-object",
    "memory-backend-file,id=d,mem-path=/x",
    "-numa",
    "node,memdev=d",
  ]);
  assertEquals(one.memory.shared, false, "one that is private makes the memory private");
});

Deno.test("monitors: -qmp, -qmp-pretty, -mon with a chardev, by name, pretty or not; none where there is no path", () => {
  const words =
    "-qmp unix:/a,server,nowait -qmp-pretty unix:path=/b,server=on -chardev socket,id=c,path=/c,server=on -mon c,mode=control,pretty=on -qmp chardev:d -chardev socket,id=d,path=/d,server=on -mon chardev=c,mode=readline -qmp tcp:localhost:1,server=on -qmp unix:/e,server=on,abstract=on -chardev pty,id=f,path=/f -mon chardev=f,mode=control -mon chardev=none,mode=control -monitor unix:/hmp,server=on -qmp unix:/out";
  assertEquals(readQemuCommandLine(words.split(" ")).qmp, [
    { path: "/a", listens: true },
    { path: "/d", listens: true },
    { path: "/out", listens: false },
    { path: "/b", listens: true },
    { path: "/c", listens: true },
  ]);
});

Deno.test("a monitor over TCP is told as an address that the config accepts, and nothing made up is shown", () => {
  const told = (address: string) =>
    readQemuCommandLine(["-qmp", `tcp:${address},server=on,wait=off`]).tcpMonitor;
  assertEquals(told("127.0.0.1:4444"), "tcp:127.0.0.1:4444");
  assertEquals(told("localhost:4444"), "tcp:localhost:4444");
  assertEquals(told("0.0.0.0:4444"), "tcp:127.0.0.1:4444");
  assertEquals(told("[::]:4444"), "tcp:127.0.0.1:4444");
  for (const host of ["web.example", "\x1b[31mred", "a\nb", "1.2.3", "x".repeat(300)]) {
    assertEquals(told(`${host}:4444`), "", host);
  }
  assertEquals(told("127.0.0.1:99999"), "");
});

Deno.test("broken JSON, nested JSON and JSON that is not an object tell nothing, and break nothing", () => {
  const deep = `{"qom-type":"memory-backend-ram","id":"m","x":${"[".repeat(50_000)}${"]".repeat(50_000)}}`;
  for (const object of ["{", '{"a"', "{}", deep]) {
    const { backends } = readMemoryOptions(new CommandLine(["-object", object]));
    assertEquals(backends.map(({ id }) => id), object === deep ? ["m"] : []);
  }
  // No QEMU runs with a broken one: what stands behind it is not believed, nor are thousands of them tried.
  const good = '{"qom-type":"memory-backend-memfd","id":"m"}';
  const idsOf = (...objects: readonly string[]) =>
    readMemoryOptions(new CommandLine(objects.flatMap((object) => ["-object", object]))).backends.map((
      { id },
    ) => id);
  assertEquals([idsOf(good, good), idsOf(good, "{", good)], [["m", "m"], ["m"]]);
  const odd = readMemoryOptions(
    new CommandLine(["-object", '{"qom-type":["memory-backend-ram"],"id":{"a":1},"size":null}']),
  );
  assertEquals(odd.backends, []);
});

Deno.test("what a line costs grows with its length, whatever is in it, and ends at the bound", () => {
  const costOf = (words: readonly string[]): number => {
    const line = new CommandLine(words);
    readMemoryOptions(line);
    line.lists("device", "driver");
    line.lists("chardev", "backend");
    return line.looked;
  };
  const kinds: readonly ((n: number) => string[])[] = [
    (n) => Array(n).fill("-name"),
    (n) => Array(n).fill(0).flatMap(() => ["-device", "x"]),
    (n) => Array(n).fill(0).flatMap((_, i) => ["-object", `memory-backend-ram,id=${i % 10}`]),
    (n) => Array(n).fill(0).flatMap((_, i) => ["-machine", `a${i % 10}=b`]),
    (n) => ["-machine", "a,".repeat(20 * n)],
    (n) => ["-machine", ",".repeat(20 * n)],
    (n) => ["-machine", `a=${",,".repeat(20 * n)}`],
    (n) => ["-machine", "=".repeat(20 * n)],
  ];
  for (const kind of kinds) {
    const [small, large] = [costOf(kind(100)), costOf(kind(1000))];
    assert(large <= 11 * small + 100, `${kind}: ${small} for 100, ${large} for 1,000`);
  }
  // Each character is looked at a few times at most, and no more of them than the bound lets in.
  const words = Array.from({ length: 180_000 }, (_, i) => i % 2 === 0 ? "-device" : "x".repeat(10));
  assert(costOf(words) <= 4 * MAX_QEMU_LINE_BYTES);
  assertEquals(new CommandLine(words).isWhole, false);
  assertEquals(new CommandLine(Array(MAX_QEMU_ARGUMENTS).fill("x")).isWhole, true);
  assertEquals(new CommandLine(["-name", "x".repeat(MAX_QEMU_LINE_BYTES)]).isWhole, false);
  const setup = readQemuCommandLine([
    "-name",
    "ä".repeat(131_000),
    "-qmp",
    `unix:/${"p".repeat(120_000)},server=on`,
  ]);
  assertEquals([setup.isWhole, setup.name.length], [true, 256]);
});

Deno.test("a line that is not read whole is refused where half of it could mislead", () => {
  const words = ["qemu-system-x86_64", ...Array(MAX_QEMU_ARGUMENTS + 1).fill("x")];
  let message = "";
  try {
    parseQemuCommandLine(words);
  } catch (error) {
    message = `${error}`;
  }
  assert(message.includes("Cannot read QEMU's command line: it has 4098 arguments"), message);
});
