/**
 * QEMU's D-Bus display as a source, peer to peer. Only where the config says so: a second peer ends the first
 * one's connection, and nothing tells whether there is one.
 * @module
 */
import { monotonicClock } from "../../../../ffi/clock.ts";
import { FRAME_SOURCE } from "../../../event/body_number.ts";
import { DBusSource } from "../../../display/dbus/dbus_source.ts";
import { openByAdapter } from "./opened_socket.ts";
import type { SourceRow } from "./source_row.ts";

/** The row. */
export const DBUS_ROW: SourceRow = {
  kind: "dbus",
  number: FRAME_SOURCE.DBUS,
  costsIdle: true,
  isAutomatic: false,
  unfit: ({ hasDbus }) => hasDbus ? "" : "QEMU has no D-Bus display for peers (-display dbus,p2p=on)",
  open: (context, opened) =>
    openByAdapter(context, FRAME_SOURCE.DBUS, opened, (socket) => {
      const { canvas, listener, head } = context;
      return new DBusSource({
        socket,
        uid: Deno.uid() ?? 0,
        head,
        canvas,
        listener,
        nowNs: monotonicClock.nowNs(),
      });
    }),
};
