/**
 * VNC as a display source: over a socket of ours that QEMU's VNC server is given, beside its other clients.
 * @module
 */
import { monotonicClock } from "../../../../ffi/clock.ts";
import { FRAME_SOURCE } from "../../../event/body_number.ts";
import { VncSource } from "../../../display/vnc/vnc_source.ts";
import { openByAdapter } from "./opened_socket.ts";
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
  open: (context, opened) =>
    openByAdapter(context, FRAME_SOURCE.VNC, opened, (socket) => {
      const { canvas, listener } = context;
      const address = { kind: "descriptor", socket } as const;
      return new VncSource({ address, canvas, listener, nowNs: monotonicClock.nowNs() });
    }),
};
