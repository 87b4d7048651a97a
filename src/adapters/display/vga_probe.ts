/**
 * Asks a VM's monitor where a std VGA's memory is: two questions of the human monitor, when somebody begins
 * to read its picture from there; its registers where they are not found in QEMU's memory.
 * @module
 */
import { SECOND } from "../../base/clock.ts";
import { CODE, type Code } from "../../base/codes.ts";
import {
  type DisplayCard,
  isLinearCard,
  parseDisplayCards,
  parseHostPlace,
  parseRegisters,
  registersCommand,
} from "../../display/vga/monitor_texts.ts";
import type { QmpLink } from "../../qemu/monitor/qmp_link.ts";
import type { QmpReply } from "../../qemu/protocol/qmp_client.ts";
import { codeOf } from "../vmhost/qmp_verdict.ts";

const ANSWER_NS = 5 * SECOND;

/** Where a card is. */
export interface VgaPlace {
  /** The card's memory in QEMU's process. */
  readonly address: number;
  /** Its bytes. */
  readonly sizeBytes: number;
  /** Whether it is a VGA; else a bochs-display. */
  readonly isVga: boolean;
}

/** What a question came to. */
export type VgaAnswer<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly code: Code; readonly why: string };

/** Asks for the place of a VM's one display card. */
export function probeVga(link: QmpLink, done: (answer: VgaAnswer<VgaPlace>) => void): void {
  const fail = (why: string): void => done({ ok: false, code: CODE["not-supported"], why });
  ask(link, "info pci", done, (text) => {
    const cards = parseDisplayCards(text);
    const [card] = cards;
    if (card === undefined) return fail("there is no display card on its PCI bus");
    if (cards.length > 1) return fail("it has several display cards");
    if (!isLinearCard(card)) return fail("its display card is not a std VGA");
    const { memory } = card;
    if (memory === undefined) {
      return done({
        ok: false,
        code: CODE.busy,
        why: "the guest has not mapped its display card's memory yet",
      });
    }
    ask(link, `gpa2hva 0x${memory.gpa.toString(16)}`, done, (hostText) => {
      const place = parseHostPlace(hostText);
      if (place === undefined) return fail("its card's memory was not found in QEMU");
      // Its registers are not asked for with that: to read them moves the guest's own index of them.
      const { address, region } = place;
      const isVga = !region.startsWith("bochs-display");
      done({ ok: true, value: { address, sizeBytes: memory.sizeBytes, isVga } });
    });
  });
}

/** Asks for the registers of a VM's one display card: where they are may have changed, too. */
export function probeRegisters(
  link: QmpLink,
  done: (answer: VgaAnswer<Uint16Array | undefined>) => void,
): void {
  ask(link, "info pci", done, (text) => {
    const [card] = parseDisplayCards(text);
    if (card === undefined) done({ ok: true, value: undefined });
    else askRegisters(link, card, done);
  });
}

function askRegisters(
  link: QmpLink,
  card: DisplayCard,
  done: (answer: VgaAnswer<Uint16Array | undefined>) => void,
): void {
  if (card.registers === undefined) return done({ ok: true, value: undefined });
  ask(
    link,
    registersCommand(card.registers),
    done,
    (text) => done({ ok: true, value: parseRegisters(text) }),
  );
}

function ask<T>(
  link: QmpLink,
  line: string,
  done: (answer: VgaAnswer<T>) => void,
  then: (text: string) => void,
): void {
  link.execute("human-monitor-command", { "command-line": line }, (reply: QmpReply) => {
    if (reply.outcome === "done" && typeof reply.value === "string") return then(reply.value);
    const why = reply.outcome === "error" ? reply.errorText : "the monitor does not answer";
    done({ ok: false, code: reply.outcome === "done" ? CODE["protocol-error"] : codeOf(reply), why });
  }, { timeoutNs: ANSWER_NS });
}
