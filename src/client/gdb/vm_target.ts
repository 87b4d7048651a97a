/**
 * A whole VM for GDB: its virtual processors are the threads, its memory is that of the guest's kernel.
 * @module
 */
import { Fault } from "../../base/fault.ts";
import { VCPU_STATE } from "../../event/body_layout.ts";
import { KIND } from "../../event/kind.ts";
import { VCPU_STATE_BYTES } from "../../event/kinds/vcpu_kinds.ts";
import type { GuestOs } from "../../guest/guest_os.ts";
import { LinuxGuest } from "../../guest/linux/linux_guest.ts";
import type { ClientEvent } from "../client_event.ts";
import { unexpectedAnswer } from "../command_fault.ts";
import type { GdbThread } from "./gdb_target.ts";
import { GuestTarget, type TargetSpace } from "./guest_target.ts";
import { RegisterLayout, type RegisterValues, valuesOfVcpu } from "./x86_registers.ts";

const OP = { COUNT: 0, REGISTERS: 1 } as const;

/** A VM. */
export class VmTarget extends GuestTarget {
  /** Its registers. */
  readonly layout: RegisterLayout = new RegisterLayout(true);

  /** Its threads. */
  async threads(): Promise<readonly GdbThread[]> {
    const answer = await this.#ask(OP.COUNT, 0);
    const count = answer.view.getUint32(VCPU_STATE.at.count, true);
    return Array.from({ length: count }, (_, i) => ({ id: i + 1, name: `CPU ${i}` }));
  }

  /** Registers of a thread; unknown ones are omitted. */
  async registers(id: number): Promise<RegisterValues> {
    const { body } = await this.#ask(OP.REGISTERS, id - 1);
    if (body.length !== VCPU_STATE_BYTES) {
      throw new Fault("protocol-error", `Cannot read the registers of CPU ${id - 1}: they are not complete`);
    }
    return valuesOfVcpu(body);
  }

  /** The auxiliary vector of a process. */
  auxv(): undefined {
    return undefined;
  }

  /** The offset of the kernel from its link address. */
  offset(): bigint | undefined {
    const { os } = this.contexts.view();
    return os instanceof LinuxGuest ? BigInt(os.note.kernelOffset) : undefined;
  }

  /** The address space. */
  protected spaceOf(os: GuestOs): TargetSpace {
    return { space: os.kernel };
  }

  async #ask(op: number, cpu: number): Promise<ClientEvent> {
    const { client, endpoint, name } = this.contexts;
    const what = `ask for the registers of ${name}`;
    if (!client.knowsKind(KIND.CMD_VCPU)) {
      throw new Fault("not-supported", `Cannot ${what}: the daemon is older than this command; update it`);
    }
    const answer = await client.command(KIND.CMD_VCPU, endpoint, what, (event) => {
      event.words[0] = op;
      event.words[1] = cpu;
    });
    if (answer.kind !== KIND.VCPU_STATE) throw unexpectedAnswer(what, answer.kindName);
    return answer;
  }
}
