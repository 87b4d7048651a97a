/**
 * A source over a socket that the display adapter opens to a server inside QEMU.
 * @module
 */
import type { OwnedFd } from "../../../../ffi/owned_fd.ts";
import { CODE } from "../../../base/codes.ts";
import { DISPLAY_OP, type FrameSourceNumber } from "../../../event/body_number.ts";
import type { DisplaySource } from "../../../display/display_source.ts";
import { failureOf } from "./source_failure.ts";
import type { Opened, SourceContext } from "./source_row.ts";

/**
 * Opens it.
 *
 * @param source which server
 * @param opened told once
 * @param make makes the source; the socket is its own from then on
 */
export function openByAdapter(
  context: SourceContext,
  source: FrameSourceNumber,
  opened: (result: Opened) => void,
  make: (socket: OwnedFd) => DisplaySource,
): void {
  context.ask({ op: DISPLAY_OP.OPEN, source }, ({ code, words, fds }) => {
    const [socket] = fds;
    if (socket === undefined) {
      const why = words === "" ? "QEMU does not connect its display" : words;
      return opened({ ok: false, code: code === CODE.ok ? CODE.refused : code, why });
    }
    try {
      opened({ ok: true, source: make(socket) });
    } catch (error) {
      opened({ ok: false, ...failureOf(error) });
    }
  });
}
