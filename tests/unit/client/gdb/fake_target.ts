/**
 * A target of a GDB session without a VM: two threads, 256 bytes of memory, leases that can be refused.
 * @module
 */
import { Fault } from "../../../../src/base/fault.ts";
import type { GdbTarget, GdbThread } from "../../../../src/client/gdb/gdb_target.ts";
import { RegisterLayout, type RegisterValues } from "../../../../src/client/gdb/x86_registers.ts";

/** Where its memory begins. */
export const BASE = 0x1000;

/** A target that keeps a record of what it was told. */
export class FakeTarget implements GdbTarget {
  readonly layout: RegisterLayout = new RegisterLayout(true);
  readonly memory: Uint8Array = Uint8Array.from({ length: 256 }, (_, i) => i);
  /** What was done, in order. */
  readonly log: string[] = [];
  running = true;
  /** Leases are another's. */
  isRefused = false;
  count = 2;

  threads(): Promise<readonly GdbThread[]> {
    return Promise.resolve(
      Array.from({ length: this.count }, (_, i) => ({ id: i + 1, name: `CPU ${i} <&"` })),
    );
  }

  registers(id: number): Promise<RegisterValues> {
    return Promise.resolve(new Map([["rax", BigInt(id)], ["rip", 0xffff_ffff_8100_0000n]]));
  }

  read(address: number, length: number): Promise<Uint8Array> {
    const at = address - BASE;
    const have = at < 0 || at >= 256 ? 0 : Math.min(length, 256 - at);
    return Promise.resolve(this.memory.slice(Math.max(at, 0), Math.max(at, 0) + have));
  }

  write(address: number, bytes: Uint8Array): Promise<void> {
    this.#lease("write");
    if (address < BASE || address + bytes.length > BASE + 256) {
      throw new Fault("not-mapped", "Cannot write there");
    }
    this.memory.set(bytes, address - BASE);
    return Promise.resolve();
  }

  isRunning(): Promise<boolean> {
    return Promise.resolve(this.running);
  }

  async stop(): Promise<void> {
    await Promise.resolve();
    this.#lease("stop");
    this.running = false;
  }

  async cont(): Promise<void> {
    await Promise.resolve();
    this.#lease("cont");
    this.running = true;
  }

  auxv(): Uint8Array | undefined {
    return undefined;
  }

  offset(): bigint | undefined {
    return 0x2000_0000n;
  }

  leave(): Promise<void> {
    this.log.push("leave");
    this.running = true;
    return Promise.resolve();
  }

  #lease(what: string): void {
    if (this.isRefused) throw new Fault("busy", `Cannot ${what}: another control owns the lease`);
    this.log.push(what);
  }
}
