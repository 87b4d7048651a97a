/**
 * The end of a memory context overtakes the context, being urgent: no control is told, and nothing is
 * retained, of a context that has ended; neither in the core nor in the queue of a control that is slow.
 * @module
 */
import type { EndpointId } from "../../../src/base/ids.ts";
import "../ffi/loaded_shim.ts";
import { assertEquals } from "@std/assert";
import { SendBatch } from "../../../ffi/datagram.ts";
import { SOCKET, socketPair } from "../../../ffi/unix_socket.ts";
import { ReceiveBatch } from "../../../ffi/datagram.ts";
import { SendQueue } from "../../../src/controls/socket/send_queue.ts";
import { FRAME } from "../../../src/protocol/frame.ts";
import { KIND, type Kind, kindName } from "../../../src/event/kind.ts";
import { PRIO, type Prio } from "../../../src/event/priority.ts";
import { SOURCE } from "../../../src/event/source.ts";
import { EventPool, type TransferEvent } from "../../../src/event/transfer_event.ts";
import { CoreRig } from "./core_rig.ts";

const EPOCH_WORD = 6;

Deno.test("a context and its end of one turn: the end alone is told, and nothing is retained", () => {
  const rig = new CoreRig();
  const [memory] = rig.attach(0, SOURCE.MEMCTX);
  rig.attach(1, SOURCE.MEMCTX);
  const control = rig.join();
  const emit = (kind: number, word: number, value: number): void => {
    const event = memory!.at.event(kind as Kind);
    event.words[word] = value;
    memory!.at.emit(event);
  };
  emit(KIND.MEMCTX, EPOCH_WORD, 1);
  const other = rig.adapters.get(1)![0]!.at;
  other.emit(other.event(KIND.MEMCTX));
  emit(KIND.MEMCTX_INVALIDATED, 0, 1);
  rig.settle();
  assertEquals(control.of("MEMCTX", "MEMCTX_INVALIDATED").map(({ kind, endpoint }) => [kind, endpoint]), [
    ["MEMCTX_INVALIDATED", 0],
    ["MEMCTX", 1],
  ]);
  const late = rig.join();
  rig.settle();
  assertEquals(late.of("MEMCTX").map(({ endpoint }) => endpoint), [1]);
  // The next one is told as ever.
  emit(KIND.MEMCTX, EPOCH_WORD, 2);
  rig.settle();
  assertEquals(control.of("MEMCTX").at(-1)?.words[EPOCH_WORD], 2);
  rig.end();
});

Deno.test("a context that waits for a slow control is not sent behind its end", () => {
  const pool = new EventPool();
  const queue = new SendQueue(16, pool);
  const push = (kind: number, endpoint: number, prio: number): void => {
    const event: TransferEvent = pool.acquire();
    event.kind = kind as Kind;
    event.source = SOURCE.MEMCTX;
    event.endpoint = endpoint as EndpointId;
    event.prio = prio as Prio;
    queue.push(event);
    event.release();
  };
  push(KIND.MEMCTX, 0, PRIO.NORMAL);
  push(KIND.VM_LIFECYCLE, 0, PRIO.NORMAL);
  push(KIND.MEMCTX, 1, PRIO.NORMAL);
  push(KIND.MEMCTX_INVALIDATED, 0, PRIO.URGENT);
  assertEquals(queue.count, 3);
  const [near, far] = socketPair(SOCKET.SEQPACKET);
  using _near = near;
  using _far = far;
  using sending = new SendBatch(8, 4096, 8);
  using receiving = new ReceiveBatch(8, 4096, 8);
  assertEquals(queue.flush(near.fd, sending), "empty");
  const seen: [string, number, number][] = [];
  for (let n = receiving.receive(far.fd); n > 0; n = receiving.receive(far.fd)) {
    for (let i = 0; i < n; i++) {
      const at = receiving.offset(i);
      seen.push([
        kindName(receiving.view.getUint16(at + FRAME.kind, true)),
        receiving.view.getUint32(at + FRAME.endpoint, true),
        receiving.view.getUint32(at + FRAME.seq, true),
      ]);
    }
  }
  assertEquals(seen, [["MEMCTX_INVALIDATED", 0, 1], ["VM_LIFECYCLE", 0, 2], ["MEMCTX", 1, 3]]);
  assertEquals(pool.live, 0);
});
