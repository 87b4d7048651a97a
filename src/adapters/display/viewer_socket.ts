/**
 * A connection to a display server inside QEMU: a pair of sockets, one end for QEMU by getfd and add_client,
 * the other for the control that asked.
 * @module
 */
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { setSendBufferBytes, SOCKET, socketPair } from "../../../ffi/unix_socket.ts";
import { SECOND } from "../../base/clock.ts";
import { PICTURE_SOCKET_BYTES } from "../../base/limits.ts";
import type { QmpReply } from "../../qemu/protocol/qmp_client.ts";
import type { QmpLink } from "../../qemu/monitor/qmp_link.ts";

const ANSWER_NS = 5 * SECOND;
/** Names of descriptors in QEMU: each is used once. */
let lastName = 0;

/** Which server. */
export type ViewerProtocol = "vnc" | "dbus";

/**
 * Opens a connection.
 *
 * @param link the monitor, up
 * @param done told once: our end, owned by the listener, or what QEMU answered instead
 * @throws {OsError} when no descriptor can be had
 */
export function openViewer(
  link: QmpLink,
  protocol: ViewerProtocol,
  done: (socket: OwnedFd | undefined, reply: QmpReply) => void,
): void {
  const [own, other] = socketPair(SOCKET.STREAM);
  const fdname = `vmsig-viewer-${++lastName}`;
  const fail = (reply: QmpReply): void => {
    own.close();
    done(undefined, reply);
  };
  try {
    // D-Bus pictures come over a socket of their own.
    if (protocol === "vnc") setSendBufferBytes(other.fd, PICTURE_SOCKET_BYTES);
    link.execute("getfd", { fdname }, (got) => {
      if (got.outcome !== "done") return fail(got);
      link.execute("add_client", argumentsOf(protocol, fdname), (added) => {
        if (added.outcome === "done") return done(own, added);
        // What QEMU did not take is still in its table.
        link.execute("closefd", { fdname }, () => {}, { timeoutNs: ANSWER_NS });
        fail(added);
      }, { timeoutNs: ANSWER_NS });
    }, { timeoutNs: ANSWER_NS, fds: [other.fd] });
  } catch (error) {
    own.close();
    throw error;
  } finally {
    other.close();
  }
}

/** A VNC password is not asked of us: it guards the server's own port, and who has the monitor has the VM. */
function argumentsOf(protocol: ViewerProtocol, fdname: string): object {
  return protocol === "vnc"
    ? { protocol: "vnc", fdname, skipauth: true }
    : { protocol: "@dbus-display", fdname };
}
