/**
 * CMD_VCPU: how many virtual processors a VM has, and the registers of one, asked of its monitor. QEMU
 * stops nothing for it: a processor tells them between two blocks of its code.
 * @module
 */
import { CODE, type Code } from "../../base/codes.ts";
import { SECOND } from "../../base/clock.ts";
import { MAX_VCPUS } from "../../base/limits.ts";
import type { Seat } from "../../core/adapter_port.ts";
import { VCPU_REQUEST, VCPU_STATE } from "../../event/body_layout.ts";
import { KIND } from "../../event/kind.ts";
import { BODY, type TransferEvent } from "../../event/transfer_event.ts";
import { HMP_COMMAND, hmpReplyOf } from "../../qemu/protocol/hmp.ts";
import type { QmpReply } from "../../qemu/protocol/qmp_client.ts";
import { parseRegisters } from "./vcpu_registers.ts";
import type { QmpLink } from "../../qemu/monitor/qmp_link.ts";

const ANSWER_NS = 10 * SECOND;
const MAX_TEXT_CHARS = 65_536;
const OP = { COUNT: 0, REGISTERS: 1 } as const;

/** How a request is answered. */
export interface VcpuAnswer {
  /** The seat still is the adapter's. */
  isOpen(): boolean;
  /** Answers by a code, with QEMU's words. */
  refuse(code: Code, words?: string): void;
  /** The code of a reply of QEMU's. */
  codeOf(reply: QmpReply): Code;
}

/** Carries out a CMD_VCPU; it is answered once, now or when QEMU has answered. */
export function askVcpu(link: QmpLink, seat: Seat, event: TransferEvent, answer: VcpuAnswer): void {
  const op = event.view.getUint32(VCPU_REQUEST.at.op, true);
  const cpu = event.view.getUint32(VCPU_REQUEST.at.cpu, true);
  const { ticket } = event;
  if (op !== OP.COUNT && op !== OP.REGISTERS) return answer.refuse(CODE["bad-argument"]);
  link.execute("query-cpus-fast", undefined, (reply) => {
    if (!answer.isOpen()) return;
    if (reply.outcome !== "done") return answer.refuse(answer.codeOf(reply), wordsOf(reply));
    const count = Array.isArray(reply.value) ? Math.min(reply.value.length, MAX_VCPUS) : 0;
    if (count === 0) return answer.refuse(CODE["protocol-error"]);
    if (op === OP.COUNT) return tell(seat, ticket, cpu, count);
    if (cpu >= count) return answer.refuse(CODE["bad-argument"], `there are ${count} virtual processors`);
    askRegisters(link, cpu, (registers, code, words) => {
      if (!answer.isOpen()) return;
      if (registers === undefined) return answer.refuse(code, words);
      tell(seat, ticket, cpu, count, registers);
    }, answer);
  }, { timeoutNs: ANSWER_NS });
}

function askRegisters(
  link: QmpLink,
  cpu: number,
  done: (registers: Uint8Array<ArrayBuffer> | undefined, code: Code, words: string) => void,
  { codeOf }: VcpuAnswer,
): void {
  const line = { "command-line": "info registers", "cpu-index": cpu };
  link.execute(HMP_COMMAND, line, (reply) => {
    const told = hmpReplyOf(reply, MAX_TEXT_CHARS);
    if (told.outcome !== "text") return done(undefined, codeOf(reply), wordsOf(reply));
    const registers = parseRegisters(told.text);
    done(registers, CODE["not-supported"], "QEMU does not print its registers in the form of x86-64");
  }, { timeoutNs: ANSWER_NS });
}

function tell(
  seat: Seat,
  ticket: number,
  cpu: number,
  count: number,
  registers?: Uint8Array<ArrayBuffer>,
): void {
  const reply = seat.event(KIND.VCPU_STATE);
  reply.view.setUint32(VCPU_STATE.at.cpu, cpu, true);
  reply.view.setUint32(VCPU_STATE.at.count, count, true);
  if (registers !== undefined) reply.setBody(BODY.RAW, registers);
  seat.reply(ticket, reply);
}

function wordsOf(reply: QmpReply): string {
  return reply.outcome === "error" ? reply.errorText : "";
}
