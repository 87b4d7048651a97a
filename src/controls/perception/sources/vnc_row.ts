/**
 * VNC as a display source: over a socket of ours that QEMU's VNC server is given, beside its other clients.
 * @module
 */
import { monotonicClock } from "../../../../ffi/clock.ts";
import { CODE } from "../../../base/codes.ts";
import { DISPLAY_OP, FRAME_SOURCE } from "../../../event/body_number.ts";
import { VncSource } from "../../../display/vnc/vnc_source.ts";
import { failureOf } from "./source_failure.ts";
import type { SourceRow } from "./source_row.ts";

/** The row. */
export const VNC_ROW: SourceRow = {
  kind: "vnc",
  number: FRAME_SOURCE.VNC,
  costsIdle: true,
  isAutomatic: true,
  // Without a server QEMU takes the socket all the same, and nothing ever speaks on it.
  unfit: (facts, head) =>
    !facts.hasVnc ? "QEMU runs no VNC server" : head > 0 ? "its VNC server shows head 0" : "",
  open: ({ canvas, listener, ask }, opened) =>
    ask({ op: DISPLAY_OP.OPEN, source: FRAME_SOURCE.VNC }, ({ code, words, fds }) => {
      const [socket] = fds;
      if (socket === undefined) {
        return opened({
          ok: false,
          code: code === CODE.ok ? CODE.refused : code,
          why: words || "QEMU refuses",
        });
      }
      try {
        const address = { kind: "descriptor", socket } as const;
        const source = new VncSource({ address, canvas, listener, nowNs: monotonicClock.nowNs() });
        opened({ ok: true, source });
      } catch (error) {
        opened({ ok: false, ...failureOf(error) });
      }
    }),
};
