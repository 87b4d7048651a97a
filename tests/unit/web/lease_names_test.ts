/** Refusals on the page of `vmsig web` call the owner of a lease as its header does, and not by a uid. */
import "../ffi/loaded_shim.ts";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { Fault } from "../../../src/base/fault.ts";
import { InputSeat } from "../../../src/client/vnc/input_seat.ts";
import { LeaseNames, type Names } from "../../../src/web/lease_names.ts";
import { DaemonProcess } from "../../fixtures/daemon_process.ts";

const NAMES: Names = {
  whoIs: ({ control }, name = `control ${control}`) => Promise.resolve(`somebody, ${name}`),
};

Deno.test("web: who is refused a lease is told whose it is by the name that the page has for them", async () => {
  await using daemon = await DaemonProcess.start({ stubs: 1 });
  await using owner = await daemon.connect("nightly");
  await using page = await daemon.connect("page");
  const leases = new LeaseNames(page, NAMES);
  for (const className of ["input", "power"] as const) {
    await using _lease = await owner.acquire("stub0", className);
    const refused = await assertRejects(() => leases.acquire("stub0", className, {}), Fault);
    assertEquals(
      [refused.code, refused.message],
      ["busy", `Cannot acquire ${className} of stub0: somebody, nightly has it`],
    );
  }
  await using lease = await leases.acquire("stub0", "input", {});
  assertEquals(lease.owned, true);
  const { owner: mine } = await owner.leaseStatus("stub0", "input");
  assert(mine !== undefined);
  assertEquals(await leases.of("stub0", "input", mine), "somebody, page");

  // And so for the keyboard that a viewer asks for.
  const told = Promise.withResolvers<string>();
  await using seat = new InputSeat({
    client: owner,
    ref: "stub0",
    takeBy: "asked",
    idleMs: 3_600_000,
    size: () => ({ width: 1, height: 1 }),
    whoIs: (holder) => new LeaseNames(owner, NAMES).of("stub0", "input", holder),
    onChange: (_owner, why) => told.resolve(why),
  });
  const viewer = { note: "", bell() {}, end() {} } as never;
  seat.onEnter(viewer);
  seat.take(viewer);
  assertEquals(await told.promise, "somebody, page has keyboard and mouse");
});
