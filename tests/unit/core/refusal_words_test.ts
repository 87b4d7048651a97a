/**
 * What a VM says to a refused command reaches whoever sent it, right before the answer, which stays the only
 * one.
 */
import { assert, assertEquals } from "@std/assert";
import { CODE } from "../../../src/base/codes.ts";
import { VM_OP } from "../../../src/event/body_number.ts";
import { readText, textParts } from "../../../src/event/inline_text.ts";
import { KIND } from "../../../src/event/kind.ts";
import { PRIO } from "../../../src/event/priority.ts";
import { SOURCE } from "../../../src/event/source.ts";
import { CoreRig, type Seen, type TestControl } from "./core_rig.ts";

function textOf({ words }: Seen): string {
  return readText(new Uint8Array(new Uint32Array(words).buffer), 8, 40);
}

/** Sends one command that the VM refuses with these words. */
function refuse(rig: CoreRig, control: TestControl, words: string): { corr: number; seen: Seen[] } {
  const [host] = rig.attach(3, SOURCE.VMHOST);
  assert(host !== undefined);
  host.answers = "later";
  const corr = control.send(KIND.CMD_VM, 3, [VM_OP.CONT]);
  rig.settle();
  host.at.ack(host.tickets[0] as number, CODE.refused, 0, 0, words);
  rig.settle();
  return { corr, seen: control.of("ERROR", "ACT_ACK") };
}

Deno.test("the words of a refusal come before it, to its sender alone, and are not an answer themselves", () => {
  const rig = new CoreRig();
  const [control, other] = [rig.join(), rig.join()];
  const { corr, seen } = refuse(rig, control, "Unable to wake up: guest is not in suspended state");
  assertEquals(seen.map(({ kind, corr, endpoint, prio }) => [kind, corr, endpoint, prio]), [
    ["ERROR", 0, 3, PRIO.NORMAL],
    ["ERROR", 0, 3, PRIO.NORMAL],
    ["ACT_ACK", corr, 3, PRIO.NORMAL],
  ]);
  const errors = seen.slice(0, 2);
  assertEquals(errors.map(({ words, source }) => [words[0], words[1], source]), [
    [CODE.refused, corr, SOURCE.VMHOST],
    [CODE.refused, corr, SOURCE.VMHOST],
  ]);
  assertEquals(errors.map(textOf).join(""), "Unable to wake up: guest is not in suspended state");
  assertEquals(control.answer(corr), CODE.refused);
  assertEquals(control.handle.outstanding, 0, "the words are not counted as an answer");
  assertEquals(other.of("ERROR", "ACT_ACK"), []);
  rig.end();
});

Deno.test("the words are outside text: escaped, and cut with a sign that they are", () => {
  const rig = new CoreRig();
  const { seen } = refuse(rig, rig.join(), `\x1b[2J\n${"é".repeat(500)}`);
  const parts = seen.filter(({ kind }) => kind === "ERROR").map(textOf);
  assertEquals(parts.length, 3);
  const text = parts.join("");
  assert(text.startsWith("\\x1b[2J\\x0aé"), text);
  assert(text.endsWith("é…"), text);
  assert(new TextEncoder().encode(text).length <= 120);
  assert(!text.includes("\ufffd"), "it is cut between characters");
  rig.end();
});

Deno.test("text in parts: each fits, together they are the text, and one that is cut says so", () => {
  for (const text of ["", "a", "a".repeat(40), "a".repeat(41), "é".repeat(60), "𝄞".repeat(30)]) {
    const parts = textParts(text, 40, 3);
    assertEquals(parts.join(""), text);
    assert(parts.every((part) => new TextEncoder().encode(part).length <= 40 && part !== ""));
  }
  const cut = textParts("𝄞".repeat(31), 40, 3);
  assertEquals(cut.length, 3);
  assert(cut.every((part) => new TextEncoder().encode(part).length <= 40));
  assertEquals(cut.join(""), "𝄞".repeat(29) + "…");
});
