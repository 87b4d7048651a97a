/**
 * Command lines of processes that call themselves QEMU, and what is told of them: anybody's, and as long as
 * the kernel lets them be.
 */
import { assert } from "@std/assert";
import { parseQemuCommandLine } from "../../src/ram/qemu_command_line.ts";
import { saysQemu } from "../../src/qemu/program.ts";
import { readQemuCommandLine } from "../../src/roster/qemu_command_line.ts";
import type { SeededRandom } from "../fixtures/seeded_random.ts";
import { fuzz } from "./harness.ts";
import { jsonText, withDefects } from "./structured.ts";

const decoder = new TextDecoder();
/**
 * The kernel lets them be longer, and the readers are bounded otherwise; they are on the main thread, and
 * what is not linear shows at this length.
 */
const LARGEST = 3072;
const line = (...args: readonly string[]) => ["/usr/bin/qemu-system-x86_64", ...args, ""].join("\0");
const OBJECT = {
  "qom-type": "memory-backend-file",
  id: "ram0",
  size: 1073741824,
  share: true,
  "mem-path": "/dev/shm/r",
};
const FULL = [
  "-name",
  "guest=web,debug-threads=on",
  "-m",
  "size=2G,slots=2,maxmem=4G",
  "-machine",
  "q35,memory-backend=ram0",
]
  .concat([
    "-object",
    "memory-backend-memfd,id=ram0,size=2G,share=on",
    "-qmp",
    "unix:/run/web.qmp,server=on,wait=off",
  ])
  .concat(["-chardev", "socket,id=mon0,path=/run/web,,2.mon,server=on", "-mon", "chardev=mon0,mode=control"])
  .concat([
    "-device",
    "virtio-tablet-pci",
    "-usbdevice",
    "mouse",
    "-vga",
    "std",
    "-display",
    "none",
    "-smp",
    "2",
  ]);
const OPTIONS = [
  "-name",
  "-m",
  "-machine",
  "-M",
  "-object",
  "-numa",
  "-qmp",
  "-qmp-pretty",
  "-chardev",
  "-mon",
  "-device",
]
  .concat(["-usbdevice", "-vga", "-display", "-nographic", "-mem-path", "--name", "-smp"]);
const VALUES = [
  "unix:/run/a.qmp,server=on",
  "unix:,",
  "guest=",
  "type=pc",
  "id=ram0",
  "node,memdev=ram0",
  "size=0x40000000",
  "1.5G",
  "99999999999T",
]
  .concat([
    "memory-backend-memfd,id=,size=",
    "socket,id=mon0,path=",
    "chardev=mon0,mode=control",
    "web,,1",
    ",,,,,,",
    "=",
    ",=",
  ])
  .concat([
    "guest=\u202ex\x1b[2J",
    "__proto__=1",
    "toString",
    "constructor=1,valueOf=2",
    "i8042=off",
    "none",
    "/dev/shm",
    "",
  ]);

function made(random: SeededRandom): string {
  const args = random.oneIn(2) ? FULL.slice() : [];
  const count = random.oneIn(300) ? random.below(20_000) : random.below(12);
  for (let i = 0; i < count; i++) {
    args.push(OPTIONS[random.below(OPTIONS.length)] as string);
    if (!random.oneIn(8)) args.push(VALUES[random.below(VALUES.length)] as string);
  }
  if (random.oneIn(4)) args.push("-object", jsonText(withDefects(random, OBJECT)));
  return line(...args);
}

const NAMES = [
  "guest=",
  "type=",
  "memory-backend=",
  "qom-type=",
  "share=",
  "mem-path=",
  "server=",
  "max-ram-below-4g=",
];

fuzz({
  name: "command lines, for the probe",
  corpus: () => [
    line(...FULL),
    line("-m", "512", "-qmp", "unix:/a,server"),
    line("-object", JSON.stringify(OBJECT)),
    line(),
  ],
  make: made,
  largest: LARGEST,
  words: [...OPTIONS, ...VALUES, ...NAMES, "\0", ",", "=", ",,", "\0\0", "\0-qmp\0unix:"],
  openers: [",", ",a=", "\0-qmp\0", "\0-object\0{", "\0-device\0", '{"a":'],
  decode: (input) => {
    const words = decoder.decode(input).split("\0");
    assert(typeof saysQemu(words) === "boolean");
    const setup = readQemuCommandLine(words.slice(1));
    assert(Number.isFinite(setup.ramBytes) && setup.ramBytes >= 0, `RAM of ${setup.ramBytes} bytes`);
    for (const { path, listens } of setup.qmp) {
      assert(!path.includes("\0") && typeof listens === "boolean");
    }
    const { name, machine, memory, display, keyboards, pointers } = setup;
    const texts = [name, machine, memory.backend, memory.path, display, ...keyboards, ...pointers];
    assert(texts.every((text) => typeof text === "string"), "texts");
    return setup.qmp.length > 0 ? "monitors" : "no monitor";
  },
  mustMeet: ["monitors", "no monitor"],
});

fuzz({
  name: "command lines, for RAM",
  corpus: () => [
    line(...FULL),
    line("-m", "512"),
    line("-object", JSON.stringify(OBJECT)),
    line("-numa", "node,memdev=ram0"),
  ],
  make: made,
  largest: LARGEST,
  words: [...OPTIONS, ...VALUES, ...NAMES, "\0", ",", "=", ",,", "\0\0", "\0-object\0{"],
  openers: [",", ",a=", "\0-numa\0", "\0-object\0{", '{"a":'],
  decode: (input) => {
    const options = parseQemuCommandLine(decoder.decode(input).split("\0"));
    assert(Number.isFinite(options.ramBytes) && options.ramBytes >= 0, `RAM of ${options.ramBytes} bytes`);
    assert(options.maxBelow === undefined || options.maxBelow >= 0);
    for (const { type, id, sizeBytes } of options.backends) {
      assert(typeof type === "string" && typeof id === "string" && type.startsWith("memory-backend-"));
      assert(sizeBytes === undefined || Number.isFinite(sizeBytes));
    }
    assert(options.ramIds.every((id) => typeof id === "string") && typeof options.machine === "string");
    return options.ramIds.length > 0 ? "backends" : "none";
  },
  mustMeet: ["backends", "none"],
});
