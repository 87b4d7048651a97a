/**
 * A std VGA's memory as a display source. What is not a linear picture there (text, planes, a card that is
 * off) is shown by screendumps until it is one again.
 * @module
 */
import { monotonicClock } from "../../../../ffi/clock.ts";
import { CODE } from "../../../base/codes.ts";
import { DISPLAY_OP, FRAME_SOURCE } from "../../../event/body_number.ts";
import { VideoMemory } from "../../../display/vga/video_memory.ts";
import { wideningOf } from "../../../display/vga/pixel_rows.ts";
import { failureOf } from "./source_failure.ts";
import type { SourceRow } from "./source_row.ts";
import { readVgaPlace } from "./vga_answers.ts";
import { VramDisplay } from "./vram_display.ts";

/** The row. */
export const VRAM_ROW: SourceRow = {
  kind: "vram",
  number: FRAME_SOURCE.VRAM,
  costsIdle: false,
  isAutomatic: true,
  unfit: (_facts, head) => head > 0 ? "only head 0 of one std VGA is read" : "",
  open: (context, opened) =>
    context.ask({ op: DISPLAY_OP.VGA }, ({ code, words, body }) => {
      if (code !== CODE.ok) {
        return opened({ ok: false, code, why: words || "QEMU does not describe its display card" });
      }
      try {
        const place = readVgaPlace(body);
        // Whoever may let its reader wait (userfaultfd) would stop the pictures of all VMs.
        if (place.uid !== 0 && place.uid !== Deno.uid()) {
          return opened({ ok: false, code: CODE.refused, why: "its QEMU runs as another user" });
        }
        const { pid, address, bytes, vga, uid, qemu } = place;
        const memory = VideoMemory.open({ pid, started: "", address, sizeBytes: bytes, monitorUid: uid });
        const display = new VramDisplay(
          context,
          memory,
          { isVga: vga, searchFirst: true, widening: wideningOf(qemu) },
          monotonicClock,
        );
        opened({ ok: true, source: display });
      } catch (error) {
        opened({ ok: false, ...failureOf(error) });
      }
    }),
};
