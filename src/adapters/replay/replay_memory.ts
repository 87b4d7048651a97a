/**
 * A recorded memory context, told anew: its descriptor is the copy of the RAM beside the recording, opened
 * for reading.
 * @module
 */
import type { Prio } from "../../event/priority.ts";
import { OPEN, reopen, statFd } from "../../../ffi/memfd.ts";
import { closeFd } from "../../../ffi/owned_fd.ts";
import { Fault } from "../../base/fault.ts";
import type { Seat } from "../../core/adapter_port.ts";
import { MEMCTX } from "../../event/body_layout.ts";
import { KIND } from "../../event/kind.ts";
import type { RecordedMemory } from "../../event/recorded_picture.ts";
import type { RecordedEvent } from "../../event/recording.ts";
import type { PayloadOwner } from "../../event/transfer_event.ts";

const CLOSE_FDS: PayloadOwner = {
  releasePayload: (event) => {
    for (const fd of event.fds) closeFd(fd);
  },
};

/**
 * Tells a context over its copy.
 *
 * @param folder where the recording is
 * @throws {Fault} `refused` when the copy is not the plain file that it was
 * @throws {OsError} when it does not open
 */
export function tellMemory(
  seat: Seat,
  recorded: RecordedEvent,
  memory: RecordedMemory,
  folder: string,
): void {
  const path = `${folder}/${memory.file}`;
  using file = reopen(path, OPEN.READ_ONLY | OPEN.NOFOLLOW | OPEN.NONBLOCK);
  const { isRegular, sizeBytes } = statFd(file.fd);
  if (!isRegular || sizeBytes !== memory.bytes) {
    const is = isRegular ? `has ${sizeBytes} bytes instead of ${memory.bytes}` : "is not a plain file";
    throw new Fault("refused", `${path} ${is}`);
  }
  const event = seat.event(KIND.MEMCTX);
  event.prio = recorded.prio as Prio;
  event.inline.set(recorded.inline);
  event.view.setUint32(MEMCTX.at.nfd, 1, true);
  event.copyBody(recorded.bodyFormat, recorded.body, 0, recorded.body.length);
  event.own([file.release()], CLOSE_FDS);
  seat.emit(event);
}
