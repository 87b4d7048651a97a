/**
 * The keys and buttons that controls hold down in a guest, from INPUT_HELD.
 * @module
 */
import { INPUT_HELD } from "../event/body_layout.ts";
import { INPUT_HELD_ENTRIES, INPUT_HELD_TRUNC } from "../event/body_number.ts";
import type { ClientEvent } from "./client_event.ts";

/** What is held down. */
export interface HeldInput {
  /** Keys and buttons: `kind` as in `INPUT_KIND`, `code` evdev's. */
  readonly entries: readonly { readonly kind: number; readonly code: number }[];
  /** Whether more are held than are listed. */
  readonly truncated: boolean;
}

/** Reads an INPUT_HELD; undefined for any other event. */
export function heldInputOf(event: ClientEvent): HeldInput | undefined {
  const held = event.as("INPUT_HELD");
  if (held === undefined) return undefined;
  const { view } = event;
  const entries = Array.from({ length: Math.min(held.count, INPUT_HELD_ENTRIES) }, (_, i) => ({
    kind: view.getUint16(INPUT_HELD.at.entries + 4 * i, true),
    code: view.getUint16(INPUT_HELD.at.entries + 4 * i + 2, true),
  }));
  return { entries, truncated: (held.flags & INPUT_HELD_TRUNC) !== 0 };
}
