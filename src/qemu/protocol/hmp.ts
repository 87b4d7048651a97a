/**
 * The human monitor (HMP) through QMP's `human-monitor-command`: one line, answered with text for people. HMP
 * has no errors: a failure is text in a successful reply, which the caller must recognise. QEMU's
 * docs/interop/qmp-ref describes the command, and says that its texts change between versions.
 * @module
 */
import type { QmpReply } from "./qmp_client.ts";

/** The QMP command that carries a line. */
export const HMP_COMMAND = "human-monitor-command";

/** Default limit of characters of an answer. */
export const HMP_TEXT_CHARS = 65_536;

/**
 * An answer. `text`: QEMU ran the line; line ends are "\n", and the text is outside text, as hostile as a
 * guest's. Any other outcome: it did not, as in {@linkcode QmpReply}.
 */
export type HmpReply =
  | {
    readonly outcome: "text";
    readonly text: string;
    /** Whether it was longer than the limit. */
    readonly isCut: boolean;
  }
  | Exclude<QmpReply, { readonly outcome: "done" }>;

/** Called with the answer to a line, exactly once. */
export type HmpReplyHandler = (reply: HmpReply) => void;

/**
 * The reply to an HMP command as text.
 *
 * @param maxChars limit of characters
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
  // Cut first, so that the rest costs nothing more.
  const isCut = reply.value.length > maxChars;
  const text = (isCut ? reply.value.slice(0, maxChars) : reply.value).replaceAll("\r\n", "\n");
  return { outcome: "text", text, isCut };
}
