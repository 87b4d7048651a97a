/**
 * Which virtual CPU bears witness to a kernel, out of QEMU's register dump.
 * @module
 */
import { assertEquals } from "@std/assert";
import { liveVcpu, parseVcpus } from "../../../../src/adapters/memctx/vcpu_state.ts";

const cpu = (n: number, cr0: string, cr3: string, efer: string, cpl: number) =>
  `\r\nCPU#${n}\r\nRAX=0000000000000000 RBX=0000000000000000\r\nRIP=ffffffff8100 RFL=00000246 [---Z-P-] CPL=${cpl} II=0\r\n` +
  `CR0=${cr0} CR2=0000000000000000 CR3=${cr3} CR4=000006f0\r\nEFER=${efer}\r\n`;

Deno.test("firmware, protected mode and 32-bit paging are no long mode", () => {
  // Before the first instruction, SeaBIOS, a 32-bit kernel, long mode.
  const text = cpu(0, "60000010", "00000000", "0000000000000000", 0) +
    cpu(1, "00000011", "00000000", "0000000000000000", 0) +
    cpu(2, "80050033", "000000000012a000", "0000000000000000", 0) +
    cpu(3, "80050033", "800000001f2b4006", "0000000000000d01", 3);
  assertEquals(parseVcpus(text).map(({ longMode, userMode }) => [longMode, userMode]), [
    [false, false],
    [false, false],
    [false, false],
    [true, true],
  ]);
  assertEquals(liveVcpu(parseVcpus(text)), { longMode: true, cr3: 0x1f2b4006, userMode: true });
});

Deno.test("a CPU in kernel mode goes before one in user mode; none is none", () => {
  const text = cpu(0, "80050033", "1000", "d01", 3) + cpu(1, "80050033", "2000", "d01", 0);
  assertEquals(liveVcpu(parseVcpus(text)), { longMode: true, cr3: 0x2000, userMode: false });
  assertEquals(liveVcpu(parseVcpus("")), undefined);
  assertEquals(parseVcpus("CPU#0\r\nCR0=80050033\r\n"), [], "a dump that lacks registers is left out");
});

const arm = (n: number, pc: string, pstate: string) =>
  `\r\nCPU#${n}\r\n PC=${pc} X00=0000000000000000 X01=0000000000000000\r\nX02=0000000000000000 SP=ffff80000937be10\r\n` +
  `PSTATE=${pstate} -ZC- EL1h     FPU disabled\r\n`;

Deno.test("an arm64 CPU: in the upper half or in user mode it runs under page tables", () => {
  const firmware = arm(0, "0000000040000000", "400003c5");
  const user = arm(1, "0000aaaabc001234", "60000000");
  const kernel = arm(2, "ffff800008a3cd10", "600000c5");
  const in32Bits = arm(3, "0000000000010000", "60000010");
  const text = firmware + user + kernel + in32Bits;
  assertEquals(parseVcpus(text).map(({ longMode, userMode }) => [longMode, userMode]), [
    [false, false],
    [true, true],
    [true, false],
    [false, true],
  ]);
  const pc = Number(BigInt.asIntN(64, 0xffff_8000_08a3_cd10n));
  assertEquals(liveVcpu(parseVcpus(text)), { longMode: true, pc, userMode: false });
  assertEquals(liveVcpu(parseVcpus(firmware + in32Bits)), undefined);
});
