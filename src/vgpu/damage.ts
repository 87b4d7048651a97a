/**
 * A frame's damage: a hint from the guest about what changed, made safe to compute with.
 * @module
 */
import type { FrameInfo } from "./snapshots.ts";

/** Damage is a hint from the guest: clipped to the frame; what is empty or outside means the whole frame. */
export function clipDamage(info: FrameInfo): void {
  const left = Math.max(0, info.damageX);
  const top = Math.max(0, info.damageY);
  const right = Math.min(info.width, info.damageX + info.damageW);
  const bottom = Math.min(info.height, info.damageY + info.damageH);
  const whole = info.damageW <= 0 || info.damageH <= 0 || right <= left || bottom <= top;
  info.damageX = whole ? 0 : left;
  info.damageY = whole ? 0 : top;
  info.damageW = whole ? info.width : right - left;
  info.damageH = whole ? info.height : bottom - top;
}
