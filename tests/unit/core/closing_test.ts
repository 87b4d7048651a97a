/** An endpoint that goes: each of its adapters is closed, once, in order. What a seat says of its seam. */
import { assertEquals, assertThrows } from "@std/assert";
import { AssertionFault } from "../../../src/base/assert.ts";
import type { EndpointId } from "../../../src/base/ids.ts";
import { SILENT } from "../../../src/base/log.ts";
import { Core } from "../../../src/core/core.ts";
import { SEAM_REASON } from "../../../src/event/body_number.ts";
import { SOURCE, type Source } from "../../../src/event/source.ts";
import { ManualLoop } from "../../fixtures/manual_loop.ts";
import { CoreRig } from "./core_rig.ts";
import { FakeAdapter } from "./fake_adapter.ts";

/** Attaches an endpoint to a core of its own; what is closed is noted in `order`. */
function attached(closingOrder: readonly Source[] | undefined, ...sources: Source[]) {
  const loop = new ManualLoop();
  const core = new Core({
    loop,
    log: SILENT,
    ...closingOrder === undefined ? {} : { closingOrder },
  });
  const order: Source[] = [];
  const adapters = sources.map((source) => {
    const adapter = new FakeAdapter(source);
    const close = adapter.close.bind(adapter);
    adapter.close = (reason, closed) => {
      order.push(source);
      close(reason, closed);
    };
    return adapter;
  });
  core.attach({ id: 0 as EndpointId, name: "web", vmid: 0, adapters });
  return { core, loop, order, adapters };
}

const { FRAME, INPUT, VMHOST, MEMCTX } = SOURCE;

Deno.test("adapters close in the order that the core was given, one after the other", () => {
  const { core, loop, order, adapters } = attached(
    [INPUT, MEMCTX, VMHOST, FRAME],
    MEMCTX,
    FRAME,
    VMHOST,
    INPUT,
  );
  let done = 0;
  for (const adapter of adapters) adapter.closes = "later";
  core.detach(0 as EndpointId, "detached", () => done++);
  for (let i = 1; i <= 4; i++) {
    assertEquals([order.length, done], [i, 0]);
    adapters.find(({ source }) => source === order.at(-1))?.closing.shift()?.();
  }
  assertEquals([order, done], [[INPUT, MEMCTX, VMHOST, FRAME], 1]);
  loop.settle();
  core.dispose();
});

Deno.test("without an order, who was opened last closes first", () => {
  const { core, loop, order } = attached(undefined, MEMCTX, INPUT, VMHOST, FRAME);
  core.detach(0 as EndpointId, "detached", () => {});
  assertEquals(order, [FRAME, VMHOST, INPUT, MEMCTX]);
  loop.settle();
  core.dispose();
});

Deno.test("an adapter without a place in the order is not attached: it would never be closed", () => {
  assertThrows(
    () => attached([INPUT, MEMCTX], INPUT, VMHOST),
    AssertionFault,
    "a place in the closing order",
  );
});

Deno.test("an adapter that says twice that it is closed is found out", () => {
  const { core, adapters } = attached(undefined, INPUT, VMHOST);
  adapters[1]!.closes = "later";
  core.detach(0 as EndpointId, "detached", () => {});
  const closed = adapters[1]!.closing[0]!;
  closed();
  assertThrows(closed, AssertionFault, "says once that it is closed");
});

Deno.test("an adapter that fails as it closes is closed all the same, and says so in vain later", () => {
  const { core, loop, order, adapters } = attached(undefined, INPUT, VMHOST);
  let late = () => {};
  adapters[1]!.close = (_reason, closed) => {
    late = closed;
    throw new RangeError("it is odd");
  };
  let done = 0;
  core.detach(0 as EndpointId, "detached", () => done++);
  late();
  assertEquals([order, done, core.faults.total], [[INPUT], 1, 1]);
  loop.settle();
  core.dispose();
});

Deno.test("a seat tells that its seam is up or down once each, with the VM's process", () => {
  const rig = new CoreRig();
  const [host] = rig.attach(0, VMHOST);
  const { at } = host!;
  rig.settle();
  const control = rig.join();
  const told = () => {
    rig.settle();
    return control.seen.splice(0).filter(({ source }) => source === VMHOST).map(({ kind, words }) =>
      `${kind} ${words[0]} ${words[1]}`
    );
  };
  assertEquals(at.isUp, true);
  assertThrows(() => at.up(), AssertionFault);
  at.down(SEAM_REASON.PEER_CLOSED);
  at.down(SEAM_REASON.PROTOCOL_ERROR);
  assertEquals([at.isUp, told()], [false, [`SEAM_DOWN ${SEAM_REASON.PEER_CLOSED} 0`]]);
  at.up(4711);
  assertEquals([at.isUp, told()], [true, ["SEAM_UP 0 4711"]]);
  assertEquals(rig.core.endpoint(0)?.pid, 4711);
  at.down(SEAM_REASON.PROCESS_GONE);
  at.up();
  at.down(SEAM_REASON.PROCESS_GONE, 12);
  assertEquals(told(), [
    `SEAM_DOWN ${SEAM_REASON.PROCESS_GONE} 4711`,
    "SEAM_UP 0 0",
    `SEAM_DOWN ${SEAM_REASON.PROCESS_GONE} 12`,
  ]);
  rig.end();
});
