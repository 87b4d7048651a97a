/**
 * Keys for a guest that has only a PS/2 keyboard and reads it slowly, or not at all for a while: nothing that
 * QEMU acknowledged is lost, and no key stays held. The guest is a boot sector that notes each byte it reads.
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { InputAdapter } from "../../src/adapters/input/input_adapter.ts";
import { QmpInputDriver } from "../../src/adapters/input/qmp_input_driver.ts";
import { CODE } from "../../src/base/codes.ts";
import { INPUT_KIND, LEASE_CLASS } from "../../src/event/body_number.ts";
import { QmpLink } from "../../src/qemu/monitor/qmp_link.ts";
import { AdapterRig, type InputRecord } from "../fixtures/adapter_rig.ts";
import { startFirmware } from "./qemu.ts";
import { TestQmp } from "./test_qmp.ts";

const { KEY } = INPUT_KIND;
/** Where the guest notes what it has read, and where it looks whether it may read. */
const NOTES = 0x8000;
const GATE = 0x7e00;
/**
 * cli; ds = 0; di = NOTES; then for ever: wait a while; if the byte at GATE is 0 and one waits (port 0x64,
 * bit 0), read it (port 0x60), note it at di++.
 */
const READER = [
  ...[0xfa, 0x31, 0xc0, 0x8e, 0xd8, 0xbf, 0x00, 0x80], // cli; xor ax,ax; mov ds,ax; mov di,0x8000
  ...[0xbb, 0x08, 0x00], // 8: mov bx,8
  ...[0xb9, 0xff, 0xff, 0xe2, 0xfe, 0x4b, 0x75, 0xf8], // 11: mov cx,-1; loop $; dec bx; jnz 11
  ...[0x80, 0x3e, 0x00, 0x7e, 0x00, 0x75, 0xee], // 19: cmp byte [0x7e00],0; jnz 8
  ...[0xe4, 0x64, 0xa8, 0x01, 0x74, 0xe8], // 26: in al,0x64; test al,1; jz 8
  ...[0xe4, 0x60, 0x88, 0x05, 0x47, 0xeb, 0xe1], // 32: in al,0x60; mov [di],al; inc di; jmp 8
];

interface Machine {
  readonly rig: AdapterRig;
  readonly qmp: TestQmp;
  /** The scan codes that the guest has read. */
  read(count: number): Promise<number[]>;
}

async function withReader(body: (machine: Machine) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "vmsig-ps2-" });
  try {
    const image = new Uint8Array(1_474_560);
    image.set(READER);
    image.set([0x55, 0xaa], 510);
    await Deno.writeFile(`${dir}/boot.img`, image);
    const drive = `file=${dir}/boot.img,format=raw,if=floppy,readonly=on`;
    await using vm = await startFirmware({
      machine: "pc",
      memory: "none",
      qmpSockets: 2,
      extraArgs: ["-drive", drive, "-boot", "a"],
    });
    await using qmp = await TestQmp.connect(vm.qmpPaths[1] ?? "");
    const human = async (line: string) =>
      String(await qmp.execute("human-monitor-command", { "command-line": line }));
    while (!/EIP=00007c/.test(await human("info registers"))) await new Promise((go) => setTimeout(go, 50));
    using rig = new AdapterRig((loop) =>
      new InputAdapter(new QmpInputDriver(new QmpLink({ path: vm.qmpPaths[0] ?? "", loop })))
    ).open();
    await rig.event("SEAM_UP");
    const read = async (count: number) => {
      const text = await human(`xp /${count}xb ${NOTES}`);
      return [...text.matchAll(/ 0x([0-9a-f]{2})(?=[\s])/g)].map(([, hex]) => parseInt(hex ?? "0", 16));
    };
    await body({ rig, qmp, read });
    await rig.close();
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** evdev codes of a to j, which are their scan codes in set 1 as well. */
const LETTERS = [30, 48, 46, 32, 18, 33, 34, 35, 23, 36];
const SHIFT = 42;

const key = (code: number, value: number): InputRecord => ({ kind: KEY, code, value });

Deno.test("a guest that reads a byte each few milliseconds gets every key down and up, in order", async () => {
  await withReader(async ({ rig, read }) => {
    const records = [key(SHIFT, 1)];
    for (let round = 0; round < 6; round++) {
      for (const letter of LETTERS) records.push(key(letter, 1), key(letter, 0));
    }
    records.push(key(SHIFT, 0));
    const expected = records.map(({ code, value }) => code + (value === 0 ? 0x80 : 0));
    const frames: number[] = [];
    for (let at = 0; at < records.length; at += 40) frames.push(rig.input(...records.slice(at, at + 40)));
    for (const ticket of frames) assertEquals((await rig.answered(ticket)).code, CODE.ok);
    const startedMs = performance.now();
    let got = await read(expected.length);
    while (got.at(-1) !== expected.at(-1) && performance.now() - startedMs < 180_000) {
      await rig.forMs(50);
      got = await read(expected.length);
    }
    assertEquals(got, expected);
  });
});

Deno.test("a guest that stops reading: releases that did not fit come when it reads again", async () => {
  await withReader(async ({ rig, qmp, read }) => {
    const gate = (value: number) => setGate(qmp, value);
    await gate(1);
    const records = LETTERS.map((letter) => key(letter, 1));
    assertEquals((await rig.answered(rig.input(...records))).code, CODE.ok);
    let isFinal = false;
    // The owner goes: its keys are released, into a queue that has no room for them.
    rig.adapter.finalize?.(LEASE_CLASS.INPUT, () => isFinal = true);
    await rig.until("the release", () => isFinal);
    await gate(0);
    const releases = () => LETTERS.map((letter) => letter + 0x80);
    let got = await read(64);
    const startedMs = performance.now();
    while (!releases().every((code) => got.includes(code)) && performance.now() - startedMs < 180_000) {
      await rig.forMs(50);
      got = await read(64);
    }
    assert(
      releases().every((code) => got.includes(code)),
      `the guest has read ${got.map((c) => c.toString(16))}`,
    );
  });
});

/** Writes a byte of guest memory, with the debugger's stub of QEMU that no guest notices. */
async function setGate(qmp: TestQmp, value: number): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "vmsig-gdb-" });
  try {
    const path = `${dir}/gdb`;
    await qmp.execute("human-monitor-command", {
      "command-line": `gdbserver unix:${path},server=on,wait=off`,
    });
    const connection = await Deno.connect({ transport: "unix", path });
    const packet = async (body: string) => {
      const sum = [...body].reduce((total, c) => (total + c.charCodeAt(0)) & 0xff, 0);
      await connection.write(new TextEncoder().encode(`+$${body}#${sum.toString(16).padStart(2, "0")}`));
      await connection.read(new Uint8Array(4096));
    };
    await packet(`M${GATE.toString(16)},1:${value.toString(16).padStart(2, "0")}`);
    await packet("D");
    connection.close();
    await qmp.execute("human-monitor-command", { "command-line": "gdbserver none" });
    await qmp.execute("cont");
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}
