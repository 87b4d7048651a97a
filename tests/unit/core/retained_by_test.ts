/** Kinds of which several events of one endpoint are kept, told apart by a field; what is forgotten when. */
import type { ControlId, EndpointId } from "../../../src/base/ids.ts";
import { assertEquals } from "@std/assert";
import { Retained, type RetainedKind } from "../../../src/core/retained.ts";
import { KIND, type Kind } from "../../../src/event/kind.ts";
import { MAX_KEPT_BY } from "../../../src/event/kind_row.ts";
import { SOURCE } from "../../../src/event/source.ts";
import { EventPool, type TransferEvent } from "../../../src/event/transfer_event.ts";
import { CoreRig } from "./core_rig.ts";

/** FRAME_RING by its third word, as if that were a head; VGPU_STATUS as it is. */
const KINDS: readonly RetainedKind[] = [
  { kind: KIND.FRAME_RING, source: SOURCE.FRAME, word: 2 },
  { kind: KIND.VGPU_STATUS, source: SOURCE.FRAME, word: -1 },
];

class Shelf {
  readonly pool = new EventPool();
  readonly retained = new Retained(KINDS);

  note(kind: number, head: number, stamp = 0, endpoint = 0, publisher = 0): void {
    const event = this.pool.acquire();
    event.kind = kind as Kind;
    event.source = SOURCE.FRAME;
    event.endpoint = endpoint as EndpointId;
    event.publisher = publisher as ControlId;
    event.words[0] = 1;
    event.words[2] = head;
    event.words[3] = stamp;
    this.retained.note(event);
    event.release();
  }

  /** Kind, endpoint, head and stamp of what a late subscriber gets, in order. */
  get replayed(): number[][] {
    const all: number[][] = [];
    this.retained.replay((event: TransferEvent) =>
      all.push([event.kind, event.endpoint, event.words[2] as number, event.words[3] as number])
    );
    return all;
  }

  end(): void {
    this.retained.clear();
    assertEquals(this.pool.live, 0);
  }
}

const RING = KIND.FRAME_RING;

Deno.test("the newest of each head is kept, of each endpoint for itself", () => {
  const shelf = new Shelf();
  shelf.note(RING, 0, 1);
  shelf.note(RING, 1, 2);
  shelf.note(RING, 0, 3, 5);
  shelf.note(RING, 0, 4);
  shelf.note(KIND.VGPU_STATUS, 0, 5);
  shelf.note(KIND.VGPU_STATUS, 1, 6);
  assertEquals(shelf.replayed, [
    [RING, 0, 1, 2],
    [RING, 0, 0, 4],
    [RING, 5, 0, 3],
    [KIND.VGPU_STATUS, 0, 1, 6],
  ]);
  shelf.retained.forget(0 as EndpointId);
  assertEquals(shelf.replayed, [[RING, 5, 0, 3]]);
  shelf.end();
});

Deno.test("a ninth head takes the place of the oldest", () => {
  const shelf = new Shelf();
  for (let head = 0; head < MAX_KEPT_BY; head++) shelf.note(RING, head);
  // Told anew, it is not the oldest any more.
  shelf.note(RING, 0, 1);
  shelf.note(RING, 100);
  assertEquals(shelf.replayed.map(([, , head]) => head), [2, 3, 4, 5, 6, 7, 0, 100]);
  for (let head = 1000; head < 11_000; head++) shelf.note(RING, head);
  assertEquals(shelf.replayed.length, MAX_KEPT_BY);
  assertEquals(shelf.pool.live, MAX_KEPT_BY, "what made place was let go");
  shelf.end();
});

Deno.test("what a control has published goes with it, what the seam has told goes with the seam", () => {
  const shelf = new Shelf();
  shelf.note(RING, 0, 0, 0, 7);
  shelf.note(RING, 1, 0, 0, 8);
  shelf.note(RING, 2);
  shelf.note(RING, 0, 1, 1);
  shelf.note(KIND.VGPU_STATUS, 0, 0, 0, 7);
  shelf.retained.dropOf(7 as never);
  assertEquals(shelf.replayed.map(([, endpoint, head]) => [endpoint, head]), [[0, 1], [0, 2], [1, 0]]);
  shelf.note(KIND.SEAM_DOWN, 0);
  assertEquals(shelf.replayed.map(([, endpoint, head]) => [endpoint, head]), [[0, 1], [1, 0]]);
  shelf.end();
});

Deno.test("a seam that goes down takes back what still waits to be told and would be kept", () => {
  const rig = new CoreRig();
  const [frame] = rig.attach(0, SOURCE.FRAME);
  rig.settle();
  const { at } = frame!;
  at.emit(at.event(KIND.FRAME_RING));
  const status = at.event(KIND.VGPU_STATUS);
  status.words[0] = 1;
  at.emit(status);
  rig.settle();
  assertEquals(rig.join().of("FRAME_RING", "VGPU_STATUS").length, 2);
  const watcher = rig.join();
  at.emit(at.event(KIND.FRAME_RING));
  at.down(0);
  rig.settle();
  assertEquals(watcher.kinds, ["FRAME_RING", "VGPU_STATUS", "SEAM_DOWN"], "the second ring is not told");
  assertEquals(rig.join().kinds, []);
  rig.end();
});

Deno.test("of two publishers of one kind the newer one's event stays, whoever leaves", () => {
  const rig = new CoreRig();
  rig.attach(0, SOURCE.VMHOST);
  const [older, newer] = [rig.join(), rig.join()];
  const status = (control: typeof older, state: number) =>
    control.publish(KIND.VGPU_STATUS, 0, (event) => event.words[0] = state);
  status(older, 1);
  status(newer, 2);
  rig.settle();
  older.control.leave();
  rig.settle();
  assertEquals(rig.join().of("VGPU_STATUS").map(({ words }) => words[0]), [2]);
  // And what it has only just published is kept for nobody.
  status(newer, 3);
  newer.control.leave();
  rig.settle();
  assertEquals(rig.join().of("VGPU_STATUS"), []);
  rig.end();
});
