/**
 * QEMU's D-Bus display as a source, peer to peer. Only where the config says so: a second peer ends the first
 * one's connection. One that seems to be there already is left alone, also when it has ended ours.
 * @module
 */
import { monotonicClock } from "../../../../ffi/clock.ts";
import { CODE, type Code } from "../../../base/codes.ts";
import { FRAME_SOURCE } from "../../../event/body_number.ts";
import { DBusSource } from "../../../display/dbus/dbus_source.ts";
import { otherDBusPeer } from "../../../display/dbus/other_peer.ts";
import { openByAdapter } from "./opened_socket.ts";
import { failureOf } from "./source_failure.ts";
import type { SourceRow } from "./source_row.ts";

/** The row. */
export const DBUS_ROW: SourceRow = {
  kind: "dbus",
  number: FRAME_SOURCE.DBUS,
  costsIdle: true,
  isAutomatic: false,
  unfit: ({ hasDbus }) => hasDbus ? "" : "QEMU has no D-Bus display for peers (-display dbus,p2p=on)",
  open: (context, opened) => {
    const other = otherPeer(context.facts.pid);
    if (other !== undefined) return opened({ ok: false, ...other });
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
    });
  },
};

/** Why it is not opened for the sake of somebody else; undefined when nobody is there. */
function otherPeer(pid: number): { readonly code: Code; readonly why: string } | undefined {
  try {
    const fd = otherDBusPeer(pid, Deno.pid);
    if (fd === undefined) return undefined;
    return {
      code: CODE.busy,
      why:
        `another client seems to be connected to QEMU's D-Bus display (QEMU's descriptor ${fd}), and would be disconnected`,
    };
  } catch (error) {
    return failureOf(error);
  }
}
