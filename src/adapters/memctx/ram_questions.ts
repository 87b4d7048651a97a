/**
 * What MEMCTX asks a monitor before RAM is opened: the flat view, which backends are those of memory devices,
 * and where QEMU has each block (`gpa2hva`): with that the file behind each is known, and not guessed by its
 * size (src/ram/told_memory.ts). Half a millisecond a question, when the map may have changed.
 * @module
 */
import { NEVER } from "../../base/clock.ts";
import { flatBlocks } from "../../ram/flat_view.ts";
import {
  addressQuestion,
  type BlockAddress,
  readBlockAddress,
  readMemoryDevices,
  type ToldMemory,
} from "../../ram/told_memory.ts";
import { HMP_COMMAND } from "../../qemu/protocol/hmp.ts";
import type { QmpLink } from "../../qemu/monitor/qmp_link.ts";
import type { QmpReply } from "../../qemu/protocol/qmp_client.ts";

/** What became of the questions. */
export type RamTold =
  | { readonly outcome: "told"; readonly told: ToldMemory }
  /** The first reply that does not answer its question. */
  | { readonly outcome: "failed"; readonly reply: QmpReply };

// A QEMU that answers nothing is given up by the link.
const UNLIMITED = { timeoutNs: NEVER } as const;

/**
 * Asks.
 *
 * @param link the monitor
 * @param isStale whether the answer is not wanted any more: nothing more is asked then, and nobody told
 * @param done told once, unless stale, maybe before this returns
 */
export function askRam(
  link: Pick<QmpLink, "execute">,
  isStale: () => boolean,
  done: (told: RamTold) => void,
): void {
  const ask = (command: string, args: object | undefined, handler: (reply: QmpReply) => void): void =>
    link.execute(command, args, (reply) => {
      if (!isStale()) handler(reply);
    }, UNLIMITED);
  const line = (text: string, handler: (reply: QmpReply) => void): void =>
    ask(HMP_COMMAND, { "command-line": text }, handler);
  line("info mtree -f", (map) => {
    if (map.outcome !== "done" || typeof map.value !== "string") {
      return done({ outcome: "failed", reply: map });
    }
    const flatView = map.value;
    const questions = flatBlocks(flatView);
    const blocks: BlockAddress[] = [];
    const next = (devices: readonly string[]): void => {
      const block = questions.shift();
      if (block === undefined) return done({ outcome: "told", told: { flatView, devices, blocks } });
      line(addressQuestion(block), (reply) => {
        if (isUnanswered(reply)) return done({ outcome: "failed", reply });
        const text = reply.outcome === "done" && typeof reply.value === "string" ? reply.value : "";
        const address = readBlockAddress(block, text);
        if (address !== undefined) blocks.push(address);
        next(devices);
      });
    };
    ask("query-memory-devices", undefined, (reply) => {
      if (isUnanswered(reply)) return done({ outcome: "failed", reply });
      // A QEMU without the command has no such devices.
      next(reply.outcome === "done" ? readMemoryDevices(reply.value) : []);
    });
  });
}

/** Whether QEMU itself has said nothing. */
export function isUnanswered(reply: QmpReply): boolean {
  return reply.outcome === "closed" || reply.outcome === "timed-out" || reply.outcome === "unsent";
}
