/**
 * MEMWRITE on a real guest: what is allowed arrives in the guest's program, whole and once; what is not is
 * refused by its own code and leaves no byte behind.
 * @module
 */
import "../unit/ffi/loaded_shim.ts";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { OPEN, reopen } from "../../ffi/memfd.ts";
import { CODE, codeName } from "../../src/base/codes.ts";
import { hexOfBytes } from "../../src/base/hex.ts";
import { findLinux } from "../../src/guest/linux/find_linux.ts";
import { openMemsegs } from "../../src/ram/memseg_ram.ts";
import { CAP } from "../../src/event/capability.ts";
import { ALL_CAPS } from "../../src/event/capability.ts";
import type { TransferEvent } from "../../src/event/transfer_event.ts";
import type { GuestProcess } from "./guest_process.ts";
import { type Listener, MemctxRig, memwrite, type Told } from "./memctx_rig.ts";
import { patternWord } from "./pattern.ts";
import type { Qemu } from "./qemu.ts";
import { startSavedGuest } from "./saved_guest.ts";

const SEED = 7;
const PAGE = 4096;

/** The extents that the tests allow: a window of the program's memory, and a little of the kernel's image. */
interface Setting {
  readonly vm: Qemu;
  readonly rig: MemctxRig;
  readonly control: Listener;
  readonly program: GuestProcess;
  /** Where the program's memory starts. */
  readonly base: number;
  /** The program's root. */
  readonly root: number;
  /** The kernel's linux_banner: read-only data. */
  readonly banner: number;
  /** The kernel's root as MEMCTX told it. */
  readonly kcr3: number;
  ask(line: string): Promise<string>;
  write(at: number, bytes: Uint8Array, options?: Parameters<typeof memwrite>[3]): Promise<string>;
}

const unsigned = (address: number): bigint => BigInt.asUintN(64, BigInt(address));

function look(told: Told, pid: number): { root: number; banner: number; utsname: number } {
  const fds = (told.event?.fds ?? []).map((fd) => reopen(fd, OPEN.READ_ONLY));
  using memory = openMemsegs(told.body, fds, "RAM of a test");
  for (const fd of fds) fd.close();
  memory.refresh();
  const found = findLinux(memory);
  assert(found.found);
  const banner = found.os.symbol("linux_banner");
  const utsname = found.os.symbol("init_uts_ns");
  const root = found.os.process(pid)?.root;
  assert(banner !== undefined && utsname !== undefined && root !== undefined);
  return { root, banner, utsname };
}

async function withProgram(
  options: Parameters<typeof startSavedGuest>[0] & { noExtents?: boolean },
  body: (setting: Setting) => Promise<void>,
): Promise<void> {
  await using vm = await startSavedGuest({ programs: ["pattern"], ...options });
  const program = await vm.agent.start("pattern", "1", `${SEED}`);
  const [, address = ""] = await program.lineMatching(/^ready \d+ (0x[0-9a-f]+) \d+/);
  const base = Number(address);
  // The upper half of the program's MiB is nobody's to write; the kernel's half is, for the test of read-only
  // pages.
  const extents = options.noExtents === true ? [] : [
    { endpoint: "vm", space: "process" as const, from: base, to: base + 2 ** 19 },
    { endpoint: "other", space: "process" as const, from: base, to: base + 2 ** 20 },
    { endpoint: "*", space: "kernel" as const, from: -(2 ** 47), to: -1 },
  ];
  await using rig = new MemctxRig(vm.qmpPath, { extents });
  const control = rig.join();
  const told = await rig.event(control, "MEMCTX");
  const { root, banner } = look(told, program.pid);
  const setting: Setting = {
    vm,
    rig,
    control,
    program,
    base,
    root,
    banner,
    kcr3: Number(told.fields["kcr3"]),
    ask: async (line) => {
      await rig.during(program.write(`${line}\n`));
      return await rig.during(program.line()) ?? "";
    },
    write: async (at, bytes, more) =>
      codeName(
        await rig.write(control, (event) => memwrite(event, unsigned(at), bytes, { cr3: root, ...more })),
      ),
  };
  await body(setting);
}

Deno.test("MEMWRITE: allowed writes of every size and form arrive in the guest, whole", async () => {
  await withProgram({}, async ({ rig, control, base, ask, write, root }) => {
    assertEquals(await write(base, new Uint8Array(4)), "no-lease");
    await rig.lease(control);
    for (const [i, size] of [1, 2, 3, 4, 7, 8, 13, 24, 25, 64, 4096].entries()) {
      const at = 0x1000 + i * 0x3000 + (i % 2) * 5;
      const bytes = Uint8Array.from({ length: size }, (_, k) => (k * 7 + size) & 0xff);
      assertEquals(await write(base + at, bytes), "ok");
      assertEquals(await ask(`peek ${at} ${size}`), `peek ${hexOfBytes(bytes)}`);
    }
    // Across a page border, which is two frames, and as a body though it would fit inline.
    const across = new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8]);
    assertEquals(await write(base + 0x40000 - 4, across, { payload: true }), "ok");
    assertEquals(await ask(`peek ${0x40000 - 4} 8`), "peek 0102030405060708");
    // A live CR3 has flags in its low bits.
    assertEquals(await write(base + 0x50000, new Uint8Array([0xaa]), { cr3: root + 0x18 }), "ok");
    assertEquals(await ask(`peek ${0x50000} 1`), "peek aa");
    // Under a sequence word: it moves by two, and the source is right behind it.
    const word = Number.parseInt(
      (await ask(`peek ${0x60000} 4`)).slice(5).match(/../g)!.reverse().join(""),
      16,
    );
    assertEquals(await write(base + 0x60000, new Uint8Array([9, 8, 7, 6, 5]), { seqlock: true }), "ok");
    const after = ((word + 1 | 1) + 1) >>> 0;
    const hex = hexOfBytes(new Uint8Array(new Uint32Array([after]).buffer));
    assertEquals(await ask(`peek ${0x60000} 9`), `peek ${hex}0908070605`);
    assertEquals(after % 2, 0);
  });
});

Deno.test("MEMWRITE: what may not be written is refused by its own code, and no byte of it arrives", async () => {
  await withProgram({}, async ({ rig, control, base, banner, kcr3, ask, write }) => {
    await rig.lease(control);
    const bytes = new Uint8Array(16).fill(0xee);
    const half = 2 ** 19;
    const raw = async (fill: (event: TransferEvent) => void) => codeName(await rig.write(control, fill));
    // Extents: behind the end, across the end, before the beginning, the right address without the process's
    // root.
    assertEquals(await write(base + half, bytes), "outside-extent");
    assertEquals(await write(base + half - 8, bytes), "outside-extent");
    assertEquals(await write(base - 8, bytes), "outside-extent");
    assertEquals(await raw((e) => memwrite(e, unsigned(base), bytes)), "outside-extent");
    // Pages: unmapped in the middle of the write, read-only, read-only in the kernel.
    assertEquals(await ask(`unmap ${0x11000} ${PAGE}`), "unmapped");
    assertEquals(await write(base + 0x11000 - 8, bytes), "not-mapped");
    assertEquals(await ask(`protect ${0x20000} ${PAGE} r`), "protected");
    assertEquals(await write(base + 0x20000 - 8, bytes), "refused");
    assertEquals(await write(base + 0x21000 - 8, bytes), "refused");
    assertEquals(await raw((e) => memwrite(e, unsigned(banner), bytes)), "refused");
    // Forms: no bytes, too many, too many for the inline zone, both and neither source, an unknown flag, a
    // body of another length, an odd sequence word, past the end of all addresses, no canonical address, no
    // root.
    assertEquals(await write(base, new Uint8Array(0)), "bad-argument");
    assertEquals(await write(base, new Uint8Array(4097), { payload: true }), "too-large");
    const flags = (value: number, length = 8) => (event: TransferEvent) => {
      memwrite(event, unsigned(banner), new Uint8Array(8));
      event.view.setUint32(8, length, true);
      event.view.setUint32(12, value, true);
      event.view.setUint32(16, 0x1000, true);
    };
    assertEquals(await raw(flags(1, 33)), "too-large");
    assertEquals(await raw(flags(5, 25)), "too-large");
    for (const value of [0, 3, 0x11, 0x80000001]) assertEquals(await raw(flags(value)), "bad-argument");
    assertEquals(await raw(flags(2, 9)), "bad-argument");
    assertEquals(
      await raw((e) => memwrite(e, 0xffff_8880_0000_0002n, bytes, { seqlock: true })),
      "bad-argument",
    );
    assertEquals(await raw((e) => memwrite(e, 0xffff_ffff_ffff_fff8n, bytes)), "bad-argument");
    assertEquals(await raw((e) => memwrite(e, 0x8000_0000_0000_0000n, bytes)), "bad-argument");
    assertEquals(await write(base, bytes, { cr3: 0 }), "bad-argument");
    assertEquals(await write(base, bytes, { cr3: 2 ** 40 }), "not-mapped");
    // A page that the guest made up is no root of its kernel's.
    assertEquals(await write(base, bytes, { cr3: 0x10_0000 }), "bad-argument");
    assertEquals(await write(base, bytes, { cr3: kcr3 }), "not-mapped");
    // Not one byte of all this has arrived.
    for (const at of [0, half - 8, half, 0x11000 - 8, 0x20000 - 8, 0x20000, 0x21000 - 8]) {
      const first = Math.floor(at / 4);
      const expected = new Uint8Array(
        new Uint32Array([patternWord(SEED, first), patternWord(SEED, first + 1)]).buffer,
      );
      assertEquals(await ask(`peek ${at} 8`), `peek ${hexOfBytes(expected)}`);
    }
    assertEquals(await write(base + 0x30000, bytes), "ok", "the lease and the rest still work");
  });
});

Deno.test("MEMWRITE: an aligned write of 8 bytes is never seen in part by the guest", async () => {
  await withProgram({}, async ({ rig, control, base, program, write }) => {
    await rig.lease(control);
    assertEquals(await write(base + 0x2000, new Uint8Array(8)), "ok");
    await rig.during(program.write(`watch ${0x2000}\n`));
    await rig.during(program.lineMatching(/^watching/));
    for (let i = 1; i <= 200; i++) {
      assertEquals(await write(base + 0x2000, new Uint8Array(8).fill(i)), "ok");
    }
    const last = "0x" + "c8".repeat(8);
    await rig.during(program.lineMatching(new RegExp(`^changed ${0x2000} .* ${last}$`)));
    const seen = [...program.text.matchAll(/^changed \d+ 0x([0-9a-f]+) 0x([0-9a-f]+)$/gm)];
    assert(seen.length > 0);
    for (const [, , now = ""] of seen) assertMatch(now.padStart(16, "0"), /^(..)\1{7}$/);
  });
});

Deno.test("MEMWRITE: no capability, no extent, a lost lease and an ended epoch each say so", async () => {
  await withProgram({ noExtents: true }, async ({ vm, rig, control, base, root, write }) => {
    const poor = rig.join("poor", { caps: ALL_CAPS & ~CAP.MEMWRITE });
    const fill = (event: TransferEvent) => memwrite(event, unsigned(base), new Uint8Array(4), { cr3: root });
    assertEquals(await rig.write(poor, fill), CODE["no-capability"]);
    await rig.lease(control);
    assertEquals(await write(base, new Uint8Array(4)), "outside-extent", "none configured is nowhere");
    const rival = rig.join("rival", { arbPrio: 99 });
    await rig.lease(rival);
    const stale = await rig.write(control, fill);
    assert(stale === CODE["stale-lease"] || stale === CODE["no-lease"], codeName(stale));
    await rig.during(vm.agent.power("reboot"));
    await rig.event(control, "MEMCTX_INVALIDATED");
    assertEquals(await rig.write(rival, fill), CODE["seam-down"]);
  });
});

Deno.test("MEMWRITE: under KPTI and 5 levels, with RAM in a file", async () => {
  for (
    const options of [{ append: "pti=on" }, { cpu: "max" }, {
      memory: "file" as const,
      machine: "pc" as const,
    }]
  ) {
    await withProgram(options, async ({ rig, control, base, root, ask, write }) => {
      await rig.lease(control);
      assertEquals(await write(base + 8, new Uint8Array([1, 2, 3, 4])), "ok");
      // Under KPTI a live CR3 may be the user's half of the pair.
      const live = options.append === undefined ? root : root + 0x1000 + 2;
      assertEquals(await write(base + 12, new Uint8Array([5, 6, 7, 8]), { cr3: live }), "ok");
      assertEquals(await ask("peek 8 8"), "peek 0102030405060708");
    });
  }
});
