/**
 * The tool by which a model asks a person. It blocks until somebody answers (`vmsig ask`, the page of
 * `vmsig web`) or takes keyboard and mouse.
 * @module
 */
import { aborted } from "../base/aborted.ts";
import { z } from "zod";
import { Fault } from "../base/fault.ts";
import { printable } from "../base/printable.ts";
import type { EndpointId } from "../base/ids.ts";
import { MOST_CHOICES, MOST_QUESTION } from "../client/asks.ts";
import { pause } from "../client/pause.ts";
import { text, type Tool, tool, VM } from "./tool.ts";
import type { Seat } from "./seat.ts";

const MOST_WAIT_S = 3600;
/**
 * How often the owner of keyboard and mouse is asked for, ms: the bus sends no event when another control
 * takes them.
 */
const LOOK_MS = 300;

/** `ask_person`. */
export const askPerson: Tool = tool({
  name: "ask_person",
  description:
    "Asks a person about a VM, and blocks until somebody answers or takes keyboard and mouse over. Yours are " +
    "given back for that time. Use it for what only a person can decide or knows, such as a password.",
  needs: ["ROSTER"],
  changes: "nothing",
  args: {
    vm: VM,
    question: z.string().min(1).max(MOST_QUESTION),
    choices: z.array(z.string().min(1).max(100)).max(MOST_CHOICES).optional()
      .describe("The possible answers (default: any text)"),
    timeout_s: z.number().min(1).max(MOST_WAIT_S).optional().describe("Seconds (default 600)"),
  },
  run: async ({ vm, question, choices, timeout_s = 600 }, { seat, signal }) => {
    const endpoint = await seat.endpoint(vm);
    const { asks } = seat;
    if (asks === undefined) {
      throw new Fault("not-supported", "Cannot ask a person: this server has no folder for questions");
    }
    await seat.giveBack(endpoint);
    const ending = new AbortController();
    const either = AbortSignal.any([signal, ending.signal]);
    const taken = takenOver(seat, endpoint, either);
    const name = seat.client.roster.nameOf(endpoint);
    seat.tell(`a model asks a person about ${printable(name)}; vmsig ask shows it`);
    const asked = asks.ask({ vm: name, question, choices, timeoutMs: timeout_s * 1000, signal: either });
    try {
      const first = await Promise.race([asked, taken.then((who) => ({ who }))]);
      if ("who" in first) {
        if (first.who === undefined) throw new Fault("interrupted", "Cannot go on: the call was cancelled");
        return text(
          `${first.who} has taken keyboard and mouse over instead of an answer. Call lease_take with wait_s to wait ` +
            "for your turn, then take a screenshot.",
        );
      }
      return text(`${printable(first.by, 64)} answers: ${printable(first.text, 4000)}`);
    } finally {
      ending.abort();
      await Promise.allSettled([asked, taken]);
    }
  },
});

/**
 * Resolves to the control that took keyboard and mouse, once they were free and are owned again; undefined
 * when the wait is given up.
 */
async function takenOver(seat: Seat, endpoint: EndpointId, signal: AbortSignal): Promise<string | undefined> {
  for (let wasFree = false; !signal.aborted; await pause(LOOK_MS, signal)) {
    try {
      const { busy } = await seat.client.leaseStatus(endpoint, "input");
      if (busy && wasFree) return await seat.owner(endpoint);
      wasFree = !busy;
    } catch (error) {
      // A session that may not ask for the owner waits for the answer alone.
      if (!(error instanceof Fault)) throw error;
      if (error.code === "no-capability") break;
    }
  }
  await aborted(signal);
  return undefined;
}
