/**
 * The display sources, the best first: `auto` takes the first that is fit and can be opened. A new source is
 * one file beside this one, and one row here. A guest's own producer (vgpu_source.ts) comes before all of
 * them, and is not a row: it is not asked for, it is there or not.
 * @module
 */
import type { SourceRow } from "./source_row.ts";
import { DBUS_ROW } from "./dbus_row.ts";
import { SCREENDUMP_ROW } from "./screendump_row.ts";
import { VNC_ROW } from "./vnc_row.ts";
import { VRAM_ROW } from "./vram_row.ts";

/** All of them. */
const SOURCE_ROWS: readonly SourceRow[] = [VRAM_ROW, DBUS_ROW, VNC_ROW, SCREENDUMP_ROW];

/**
 * Those that an endpoint's config allows, the best first.
 *
 * @param display the config's word
 */
export function rowsFor(display: string): readonly SourceRow[] {
  if (display === "auto") return SOURCE_ROWS.filter((row) => row.isAutomatic);
  return SOURCE_ROWS.filter((row) => row.kind === display);
}
