/**
 * What `vmsig probe` says about a VM's screen: its card, and the source with which the daemon would show it,
 * as far as the command line tells. With several cards, or a producer in the guest, it may differ: `vmsig
 * doctor` asks the daemon.
 * @module
 */
import type { FrameSourceName } from "../../event/body_number.ts";
import type { ProbedVm } from "../../roster/host_probe.ts";

/** Cards whose memory can be read from QEMU's process. */
const READ_CARDS = /^(?:std|VGA|bochs-display)$/i;

/**
 * The card, and the source that `display = "auto"` would choose: "std (vram)"; "none" without a card.
 *
 * @param ownUid of the user who asks, as whom a daemon would run
 */
export function screenOf({ display, viewers, uid }: ProbedVm, ownUid: number): string {
  const [card = ""] = display.split("/");
  if (card === "none" || card === "") return "none";
  return `${card} (${sourceOf(card, viewers, uid === 0 || uid === ownUid)})`;
}

function sourceOf(card: string, viewers: readonly string[], isTrusted: boolean): FrameSourceName {
  if (READ_CARDS.test(card) && isTrusted) return "vram";
  return viewers.some((viewer) => viewer.startsWith("vnc ")) ? "vnc" : "screendump";
}
