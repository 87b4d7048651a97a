/** What a receive took, as events with the descriptors that came along. */
import "../ffi/loaded_shim.ts";
import { assert, assertEquals } from "@std/assert";
import { ReceiveBatch, sendOne } from "../../../ffi/datagram.ts";
import { createMemfd } from "../../../ffi/memfd.ts";
import { openFdCount, type OwnedFd } from "../../../ffi/owned_fd.ts";
import { SOCKET, socketPair } from "../../../ffi/unix_socket.ts";
import { KIND, KIND_MAX } from "../../../src/event/kind.ts";
import { EventPool, type TransferEvent } from "../../../src/event/transfer_event.ts";
import { handOnReceived, receivedDefect, receivedKind } from "../../../src/protocol/received.ts";
import { type RawFrame, rawFrame } from "../controls/raw_frame.ts";

/** Sends packets through a real socket and hands the batch on. */
function through(
  packets: readonly (readonly [packet: RawFrame | Uint8Array<ArrayBuffer>, fds: number])[],
  body: (batch: ReceiveBatch, count: number, pool: EventPool) => void,
): void {
  const before = openFdCount();
  const [near, far] = socketPair(SOCKET.SEQPACKET);
  const batch = new ReceiveBatch(8, 96 + 4096, 2);
  const pool = new EventPool();
  const file = createMemfd("frames", 0);
  for (const [packet, fds] of packets) {
    const bytes = packet instanceof Uint8Array ? packet : rawFrame(packet);
    assert(sendOne(near.fd, bytes, 0, bytes.length, new Array(fds).fill(file.fd)) > 0);
  }
  body(batch, batch.receive(far.fd), pool);
  assertEquals(pool.live, 0, "every event went back");
  batch[Symbol.dispose]();
  for (const fd of [near, far, file]) fd.close();
  assertEquals(openFdCount(), before, "no descriptor is left");
}

Deno.test("events in order, each with its body and its own descriptors, which are the listener's", () => {
  const packets = [
    [{ kind: 80, dir: 0, seq: 1, endpoint: 3, words: [2] }, 0],
    [{ kind: 77, dir: 0, seq: 2, fds: 2, body: Uint8Array.of(1, 2, 3) }, 2],
    [{ kind: 83, dir: 0, seq: 3, fds: 1 }, 1],
  ] as const;
  through(packets, (batch, count, pool) => {
    const seen: unknown[] = [];
    const kept: OwnedFd[] = [];
    const onEvent = (event: TransferEvent, fds: readonly OwnedFd[]) => {
      seen.push([event.kind, event.seq, [...event.bodyView()], fds.length]);
      kept.push(...fds);
    };
    assertEquals(receivedKind(batch, 1), 77);
    assertEquals(handOnReceived(batch, count, pool, { onEvent }), "");
    assertEquals(seen, [[80, 1, [], 0], [77, 2, [1, 2, 3], 2], [83, 3, [], 1]]);
    assertEquals(new Set(kept.map((fd) => fd.fd)).size, 3);
    for (const fd of kept) fd.close();
  });
});

Deno.test("a packet that was cut, lost descriptors or is not a frame ends the batch; what it brought is closed", () => {
  const defects: [packet: RawFrame | Uint8Array<ArrayBuffer>, fds: number, defect: string][] = [
    [new Uint8Array(95), 0, "short frame"],
    [{ kind: KIND_MAX, dir: 0 }, 0, "unknown kind"],
    [{ kind: 84, dir: 0, format: 2, body: new Uint8Array(5000) }, 0, "body length does not match"],
    [{ kind: 77, dir: 0, fds: 3 }, 3, "number of fds does not match"],
    [{ kind: 77, dir: 0, fds: 2 }, 1, "number of fds does not match"],
    // A kind that does not travel.
    [{ kind: KIND.RECONNECTED, dir: 0 }, 0, "unknown kind"],
    [{ kind: 112, dir: 0 }, 0, "wrong direction for the kind"],
  ];
  for (const [packet, fds, defect] of defects) {
    through([[{ kind: 80, dir: 0 }, 0], [packet, fds], [{ kind: 80, dir: 0 }, 0]], (batch, count, pool) => {
      let seen = 0;
      assertEquals(handOnReceived(batch, count, pool, { onEvent: () => seen++ }), defect);
      assertEquals([seen, receivedDefect(batch, 0)], [1, ""], defect);
    });
  }
});

Deno.test("what a listener throws leaves nothing behind", () => {
  through([[{ kind: 77, dir: 0, fds: 1 }, 1], [{ kind: 77, dir: 0, fds: 1 }, 1]], (batch, count, pool) => {
    let caught = "";
    try {
      handOnReceived(batch, count, pool, {
        onEvent: (_event, fds) => {
          for (const fd of fds) fd.close();
          throw new Error("the listener's");
        },
      });
    } catch (error) {
      caught = String(error);
    }
    assertEquals(caught, "Error: the listener's");
  });
});
