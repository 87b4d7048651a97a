/**
 * What is decoded on the way of a picture from QEMU to the bus: screendumps, QEMU's answers about its
 * displays, the display adapter's answers.
 * @module
 */
import "../unit/ffi/loaded_shim.ts";
import { assert } from "@std/assert";
import { encode } from "cborg";
import { createMemfd, ftruncate } from "../../ffi/memfd.ts";
import { pwriteFrom } from "../../ffi/stream.ts";
import {
  consolePaths,
  hasDbus,
  hasVnc,
  headOf,
  pluggedDevices,
} from "../../src/adapters/display/display_facts.ts";
import { MAX_HEADS } from "../../src/base/limits.ts";
import { readViewFacts } from "../../src/controls/perception/display/display_facts.ts";
import { readRegistersBody, readVgaPlace } from "../../src/controls/perception/sources/vga_answers.ts";
import { MemoryCanvas } from "../../src/display/canvas.ts";
import { PpmPainter } from "../../src/display/screendump/ppm_picture.ts";
import { fuzz } from "./harness.ts";

function ppm(width: number, height: number, head = `P6\n${width} ${height}\n255\n`): Uint8Array {
  const text = new TextEncoder().encode(head);
  const bytes = new Uint8Array(text.length + 3 * width * height).fill(0x7f);
  bytes.set(text);
  return bytes;
}

const painter = new PpmPainter();
const file = createMemfd("dump", 0);
fuzz({
  name: "a screendump, painted",
  corpus: () => [ppm(3, 2), ppm(17, 5), ppm(1, 1), ppm(2, 2, "P6 # QEMU\n2 2\n255\n")],
  largest: 1200,
  words: ["P6", "\n255\n", "16384", "1", "#"],
  // Two system calls and a file's pages each.
  share: 300,
  decode: (input, random) => {
    ftruncate(file.fd, 0);
    if (input.length > 0) pwriteFrom(file.fd, input, 0, input.length, 0);
    const canvas = new MemoryCanvas();
    // What was told of the length may not be so any more.
    const told = random.oneIn(4) ? random.below(2 * input.length + 2) : input.length;
    const painted = painter.paint(file.fd, told, canvas);
    if (!painted.ok) {
      assert(painted.why.length < 100);
      return "none";
    }
    canvas.commit(1);
    const [x, y, width, height] = canvas.lastDamage;
    assert(x === 0 && y === 0 && width === canvas.width && height === canvas.height, "a new size is whole");
    assert(width * height * 3 < told, "there is no more of it than there are bytes");
    return "painted";
  },
  after: () => file.close(),
  mustMeet: ["none", "painted"],
});

/** What the answers' decoders have in common. */
const ANSWER = {
  largest: 4096,
  words: [[0xa1], [0x82], [0xf6], [0xfb], "heads", "registers", "pid"],
  openers: [[0x81], [0xa1, 0x61, 0x61]],
};

fuzz({
  name: "the display adapter's answer about displays",
  ...ANSWER,
  corpus: () => [
    encode({ display: "auto", heads: [{ device: "gpu" }, { device: "" }], vnc: true, dbus: false, pid: 7 }),
  ],
  decode: (input) => {
    const { heads, pid, display } = readViewFacts(input);
    assert(heads.length <= MAX_HEADS && typeof pid === "number" && typeof display === "string");
    return "facts";
  },
  mustMeet: ["facts", "fault:protocol-error"],
});

fuzz({
  name: "the display adapter's answer about a card's place",
  ...ANSWER,
  corpus: () => [encode({ pid: 7, uid: 0, address: 1 << 30, bytes: 1 << 24, vga: true, registers: [1] })],
  decode: (input) => {
    const { pid, uid, address, bytes } = readVgaPlace(input);
    assert([pid, uid, address, bytes].every((each) => typeof each === "number"));
    return "place";
  },
  mustMeet: ["place", "fault:protocol-error"],
});

fuzz({
  name: "the display adapter's answer about a card's registers",
  ...ANSWER,
  corpus: () => [
    encode({ registers: [0xb0c5, 1, 2, 3, 4, 5, 6, 7, 8, 9, 256] }),
    encode({ registers: [] }),
  ],
  decode: (input) => readRegistersBody(input) === undefined ? "none" : "registers",
  mustMeet: ["registers", "none", "fault:protocol-error"],
});

const decoder = new TextDecoder();
fuzz({
  name: "QEMU's answers about its displays",
  corpus: () => [
    '[{"name":"type","type":"string"},{"name":"console[0]","type":"child<qemu-console>"},{"name":"console[11]"}]',
    '["/machine/peripheral/gpu",1]',
    '["/machine/unattached/device[8]",0]',
    '{"enabled":true,"type":"dbus","p2p":true}',
    '[{"devices":[{"qdev_id":"v","class_info":{"class":896}},{"qdev_id":"","class_info":{"class":1540},"pci_bridge":{"devices":[{"qdev_id":"w","class_info":{"class":768}}]}}]}]',
  ],
  largest: 2048,
  words: ["console[", '"name"', "/machine/peripheral/", "/", "null", "true", "1e9", "-1"],
  openers: ["[", '{"a":'],
  decode: (input) => {
    let value: unknown;
    try {
      value = JSON.parse(decoder.decode(input));
    } catch {
      return "no JSON";
    }
    assert(consolePaths(value).length <= 64);
    const [device, number] = Array.isArray(value) ? value : [value, value];
    const head = headOf(device, number, false);
    assert(head === undefined || (head.deviceHead < MAX_HEADS && !head.device.includes("/")));
    const plugged = pluggedDevices(value, []);
    assert(plugged.length <= MAX_HEADS && plugged.every((each) => !each.device.includes("/")));
    if (plugged.length > 0) return "plugged";
    const isServed = hasVnc(value) || hasDbus(value);
    return head !== undefined
      ? "head"
      : isServed
      ? "served"
      : consolePaths(value).length > 0
      ? "consoles"
      : "nothing";
  },
  mustMeet: ["no JSON", "plugged", "head", "served", "consoles", "nothing"],
});
