/**
 * When a VNC client asks for what: pace, one picture as of now with requests that the server merges or does
 * not, another size.
 * @module
 */
import { assertEquals } from "@std/assert";
import { MS, NEVER, SECOND } from "../../../src/base/clock.ts";
import { UpdateRequests } from "../../../src/display/vnc/update_requests.ts";

/** Asks what is to be asked. */
function ask(requests: UpdateRequests, nowNs: number): string | undefined {
  const request = requests.next(nowNs);
  if (request !== undefined) requests.asked(request, nowNs);
  return request;
}

/** One that has the whole picture already, without anything asked. */
function settled(): UpdateRequests {
  const requests = new UpdateRequests();
  requests.once();
  assertEquals(ask(requests, 0), "everything");
  assertEquals(requests.answered(true), { isAsked: true, isPicture: true });
  return requests;
}

Deno.test("nobody looks: nothing is asked", () => {
  const requests = new UpdateRequests();
  assertEquals([ask(requests, 5), requests.nextNs, requests.certainNs], [undefined, NEVER, NEVER]);
  assertEquals([requests.isWanted, settled().isWanted], [false, false]);
});

Deno.test("the first picture is everything, and then what has changed, at the pace that is wanted", () => {
  const requests = new UpdateRequests();
  requests.demand(10);
  assertEquals(ask(requests, 0), "everything");
  assertEquals([ask(requests, SECOND), requests.certainNs], [undefined, 0]);
  assertEquals(requests.answered(true), { isAsked: true, isPicture: false });
  // The request was long ago: the next one is due.
  assertEquals(ask(requests, SECOND), "changes");
  assertEquals([ask(requests, 2 * SECOND), requests.nextNs, requests.certainNs], [undefined, NEVER, NEVER]);
  requests.answered(true);
  assertEquals([ask(requests, SECOND + 99 * MS), requests.nextNs], [undefined, SECOND + 100 * MS]);
  assertEquals(ask(requests, SECOND + 100 * MS), "changes");
  requests.answered(false);
  // A faster viewer does not wait for a slow one's time.
  requests.demand(60);
  assertEquals(ask(requests, SECOND + 101 * MS), "changes");
  requests.answered(true);
  requests.demand(0);
  assertEquals([ask(requests, 9 * SECOND), requests.nextNs], [undefined, NEVER]);
});

Deno.test("one picture of a whole one: everything that has changed, and a pixel in any case", () => {
  const requests = settled();
  requests.once();
  assertEquals([ask(requests, 5), ask(requests, 6)], ["now", undefined]);
  assertEquals(requests.answered(true), { isAsked: true, isPicture: true });
  assertEquals(requests.answered(true), { isAsked: false, isPicture: false });
});

Deno.test("one picture while a request stands: asked again behind an update that may be an earlier one", () => {
  const requests = settled();
  requests.demand(30);
  assertEquals(ask(requests, 2 * SECOND), "changes");
  requests.once();
  assertEquals([ask(requests, 2 * SECOND + 1), ask(requests, 2 * SECOND + 2)], ["now", undefined]);
  // It may have been on its way when the picture was asked for, or have answered both.
  assertEquals(requests.answered(true), { isAsked: true, isPicture: false });
  assertEquals(ask(requests, 2 * SECOND + 3), "now");
  assertEquals(requests.answered(true), { isAsked: true, isPicture: true });
});

Deno.test("one picture while a request stands: an update without the pixel is an earlier one for certain", () => {
  const requests = settled();
  requests.demand(30);
  assertEquals(ask(requests, 2 * SECOND), "changes");
  requests.once();
  assertEquals(ask(requests, 2 * SECOND + 1), "now");
  assertEquals(requests.answered(false), { isAsked: true, isPicture: false });
  assertEquals([ask(requests, 2 * SECOND + 2), requests.certainNs], [undefined, 2 * SECOND + 1]);
  assertEquals(requests.answered(false), { isAsked: true, isPicture: false });
  assertEquals(requests.answered(true), { isAsked: true, isPicture: true });
});

Deno.test("what was answered twice is not taken for the next picture, and forgotten after a second", () => {
  const requests = settled();
  requests.once();
  assertEquals(ask(requests, 1), "now");
  // Another size; the request of before stands, and the next one as well.
  requests.resized();
  assertEquals([requests.certainNs, ask(requests, 2), ask(requests, 3)], [NEVER, "everything", undefined]);
  assertEquals(requests.answered(true), { isAsked: true, isPicture: true });
  requests.once();
  assertEquals(ask(requests, 4), "now");
  // The answer to the second: before the picture was asked for.
  assertEquals(requests.answered(true), { isAsked: true, isPicture: false });
  assertEquals(ask(requests, 5), "now");
  assertEquals(requests.answered(true).isPicture, true);
  requests.once();
  assertEquals(ask(requests, 2 * SECOND), "now");
  assertEquals(requests.answered(true).isPicture, true);
});

Deno.test("another size while a picture is awaited: everything is asked for, and either answer will do", () => {
  const requests = settled();
  requests.once();
  assertEquals(ask(requests, 1), "now");
  requests.resized();
  assertEquals(ask(requests, 2), "everything");
  assertEquals(requests.answered(true).isPicture, true);
  assertEquals(ask(requests, 3), undefined);
});

Deno.test("what nobody asked for is shown at the pace of the rest, and not while nobody looks", () => {
  const requests = settled();
  assertEquals(requests.showNs, NEVER);
  requests.demand(10);
  assertEquals(requests.showNs <= 0, true);
  requests.shown(SECOND);
  assertEquals([requests.showNs, ask(requests, SECOND)], [SECOND + 100 * MS, undefined]);
});
