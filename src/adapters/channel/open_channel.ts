/**
 * Opens the host's end of a byte channel: a unix socket that QEMU serves, or a terminal of the host's.
 *
 * QEMU says itself where the end is, so who is there is asked of the kernel: the socket's server and the
 * terminal's owner must be the user that runs QEMU. Else a VM of one user would have the daemon read, and
 * type into, another user's terminal.
 * @module
 */
import { FILE_SYSTEM, fileSystemOf, OPEN, reopen, statFd } from "../../../ffi/memfd.ts";
import { isOsError, OsError } from "../../../ffi/os_error.ts";
import type { OwnedFd } from "../../../ffi/owned_fd.ts";
import { connectUnix, peerCredentials, SOCKET } from "../../../ffi/unix_socket.ts";
import { CODE, type Code } from "../../base/codes.ts";
import { messageOf } from "../../base/fault.ts";
import type { LoopPort } from "../../core/adapter_port.ts";
import { ByteStream, type StreamUser } from "../../core/byte_stream.ts";
import { pathFromHereSync } from "../../qemu/other_root.ts";
import type { VmWays } from "../../qemu/monitor/vm_ways.ts";
import type { Channel, ChannelPlace } from "./channel_listing.ts";

/** An end that could not be opened. */
export interface ChannelRefusal {
  /** The protocol's code. */
  readonly code: Code;
  /** What is in the way, and what to do. */
  readonly why: string;
}

/**
 * Opens an end.
 *
 * @param place where, as QEMU says
 * @param uid who runs QEMU, by the kernel's word; -1 = not known, and then nothing is opened
 * @param pid its process, whose mounts the path is of; 0 unknown
 * @returns the refusal when it cannot be had
 */
export function openChannel(
  place: ChannelPlace,
  { uid, pid, loop, user }: {
    readonly uid: number;
    readonly pid: number;
    readonly loop: LoopPort;
    readonly user: StreamUser;
  },
): ByteStream | ChannelRefusal {
  if (place.kind === "other") return { code: CODE["not-supported"], why: place.why };
  if (uid < 0) return { code: CODE["not-supported"], why: "it is not known which user runs the VM" };
  try {
    const file = place.kind === "unix"
      ? connectTo(pathFromHereSync(pid, place.path), uid)
      : openTerminal(place.path, uid);
    return "code" in file ? file : new ByteStream(file, loop, user, "the VM");
  } catch (error) {
    if (!(error instanceof OsError)) throw error;
    const code = isOsError(error, "EACCES") ? CODE.refused : CODE["seam-down"];
    return { code, why: messageOf(error) };
  }
}

/**
 * The same, and where it cannot be had so, by the manager of the VM.
 *
 * @param ways the manager's; undefined: there is none
 * @param done told once, maybe before this returns
 */
export function openChannelOrAsk(
  { label, place }: Channel,
  options: Parameters<typeof openChannel>[1],
  ways: VmWays | undefined,
  done: (opened: ByteStream | ChannelRefusal) => void,
): void {
  const opened = openChannel(place, options);
  if (!("code" in opened) || ways === undefined) return done(opened);
  ways.openConsole(label, (result) => {
    const { loop, user } = options;
    if (result.ok) done(new ByteStream(result.socket, loop, user, "the VM"));
    else done({ code: result.code, why: `${opened.why}; ${result.why}` });
  });
}

function connectTo(path: string, uid: number): OwnedFd | ChannelRefusal {
  const socket = connectUnix(path, SOCKET.STREAM);
  const peer = peerCredentials(socket.fd);
  if (peer.uid === uid) return socket;
  socket.close();
  return { code: CODE.refused, why: `uid ${peer.uid} listens on ${path}, and uid ${uid} runs the VM` };
}

function openTerminal(path: string, uid: number): OwnedFd | ChannelRefusal {
  const file = reopen(path, OPEN.READ_WRITE | OPEN.NONBLOCK | OPEN.NOCTTY);
  const { isCharacterDevice, uid: owner } = statFd(file.fd);
  if (isCharacterDevice && owner === uid && fileSystemOf(file.fd) === FILE_SYSTEM.DEVPTS) return file;
  file.close();
  return {
    code: CODE.refused,
    why: `${path} is not a terminal of uid ${uid}, who runs the VM, but of uid ${owner}`,
  };
}
