/**
 * A series of queries to a VM's monitor, such as for its displays, that ends when the monitor is lost, so
 * that answers of one QEMU are not mixed with those of its successor.
 * @module
 */
import { SECOND } from "../../base/clock.ts";
import type { QmpLink } from "./qmp_link.ts";

/** Time limit of one answer, ns. */
const ANSWER_NS = 10 * SECOND;

/**
 * Sends one query of a series.
 *
 * @param then called with the value; with undefined if QEMU answered with an error, which means that there is
 *   no such thing: a device that was unplugged meanwhile, a path that this QEMU does not have
 */
export type AskMonitor = (
  command: string,
  args: object | undefined,
  then: (value: unknown) => void,
) => void;

/**
 * Begins a series.
 *
 * @param link the monitor, which must be up
 * @param onLost called instead of `then` if the monitor was lost, or did not answer; the series ends
 * @param onReply called first with each reply
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
