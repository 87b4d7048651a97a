/**
 * A series of questions to a VM's monitor, such as for its displays, that ends when the monitor is lost: what
 * was asked of one QEMU must not be mixed with what its successor answers.
 * @module
 */
import { SECOND } from "../../base/clock.ts";
import type { QmpLink } from "./qmp_link.ts";

/** How long one answer may take. */
const ANSWER_NS = 10 * SECOND;

/**
 * Asks one question of a series.
 *
 * @param then called with the value; with undefined when QEMU answered with an error, which says that there
 *   is no such thing: a device that was unplugged meanwhile, a folder that this QEMU does not have
 */
export type AskMonitor = (
  command: string,
  args: object | undefined,
  then: (value: unknown) => void,
) => void;

/**
 * Begins a series.
 *
 * @param link the monitor, up
 * @param onLost called instead of `then` when the monitor was lost, or did not answer; the series ends
 * @param onReply called with each reply, before anything else
 */
export function questionsTo(link: QmpLink, onLost: () => void, onReply: () => void = () => {}): AskMonitor {
  const { generation } = link;
  return (command, args, then) =>
    link.execute(
      command,
      args,
      (reply) => {
        onReply();
        const isAnswer = reply.outcome === "done" || reply.outcome === "error";
        if (link.generation !== generation || !isAnswer) return onLost();
        then(reply.outcome === "done" ? reply.value : undefined);
      },
      { timeoutNs: ANSWER_NS },
    );
}
