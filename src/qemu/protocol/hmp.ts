/**
 * The human monitor (HMP) through QMP's `human-monitor-command`: one line, answered with text for people.
 * QEMU has no errors there: what went wrong is text inside a success, and who asks must know what to look
 * for. QEMU's own docs/interop/qmp-ref describes the command, and says that its texts change between
 * versions.
 * @module
 */
import type { QmpReply } from "./qmp_client.ts";

/** The QMP command that carries a line. */
export const HMP_COMMAND = "human-monitor-command";

/** Characters of an answer that are handed on unless the caller asks for more or fewer. */
export const HMP_TEXT_CHARS = 65_536;

/**
 * An answer. `text`: QEMU ran the line; line ends are "\n", and the text is outside words, hostile as a
 * guest's. Everything else: it did not, as {@linkcode QmpReply} says.
 */
export type HmpReply =
  | {
    readonly outcome: "text";
    readonly text: string;
    /** It was longer than was asked for. */
    readonly isCut: boolean;
  }
  | Exclude<QmpReply, { readonly outcome: "done" }>;

/** Told the answer to a line, exactly once. */
export type HmpReplyHandler = (reply: HmpReply) => void;

/**
 * The reply to an HMP command as text.
 *
 * @param maxChars characters that are handed on
 */
export function hmpReplyOf(reply: QmpReply, maxChars: number): HmpReply {
  if (reply.outcome !== "done") return reply;
  if (typeof reply.value !== "string") {
    return {
      outcome: "error",
      errorClass: "GenericError",
      errorText: "QEMU answers a line with something else than text",
    };
  }
  // Cut first: what is past it costs nothing more.
  const isCut = reply.value.length > maxChars;
  const text = (isCut ? reply.value.slice(0, maxChars) : reply.value).replaceAll("\r\n", "\n");
  return { outcome: "text", text, isCut };
}
