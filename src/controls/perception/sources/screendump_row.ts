/**
 * Screendump as a display source: QEMU writes into a memfd of ours, which the display adapter hands it.
 * @module
 */
import { monotonicClock } from "../../../../ffi/clock.ts";
import { DISPLAY_OP, FRAME_SOURCE } from "../../../event/body_number.ts";
import { ScreendumpSource } from "../../../display/screendump/screendump_source.ts";
import type { SourceContext, SourceRow } from "./source_row.ts";

/** The row. */
export const SCREENDUMP_ROW: SourceRow = {
  kind: "screendump",
  number: FRAME_SOURCE.SCREENDUMP,
  costsIdle: false,
  isAutomatic: true,
  unfit: () => "",
  open: (context, opened) => opened({ ok: true, source: openScreendump(context) }),
};

/** A screendump source over an endpoint's display adapter. */
export function openScreendump(context: SourceContext): ScreendumpSource {
  const { canvas, listener, ask, onChanged } = context;
  const source: ScreendumpSource = new ScreendumpSource(canvas, {
    onLost: (code, why) => listener.onLost(code, why),
    onPicture: () => listener.onPicture(),
    dump: (fd) =>
      ask({ op: DISPLAY_OP.DUMP, ...fd < 0 ? {} : { fd } }, ({ code, words }) => {
        source.onDumped(code, words, monotonicClock.nowNs());
        onChanged();
      }),
  });
  return source;
}
