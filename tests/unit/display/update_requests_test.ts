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
  assertEquals(requests.answered(), { isAsked: true, isPicture: true });
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
  assertEquals(requests.answered(), { isAsked: true, isPicture: false });
  // The request was long ago: the next one is due.
  assertEquals(ask(requests, SECOND), "changes");
  assertEquals([ask(requests, 2 * SECOND), requests.nextNs, requests.certainNs], [undefined, NEVER, NEVER]);
  requests.answered();
  assertEquals([ask(requests, SECOND + 99 * MS), requests.nextNs], [undefined, SECOND + 100 * MS]);
  assertEquals(ask(requests, SECOND + 100 * MS), "changes");
  requests.answered();
  // A faster viewer does not wait for a slow one's time.
  requests.demand(60);
  assertEquals(ask(requests, SECOND + 101 * MS), "changes");
  requests.answered();
  requests.demand(0);
  assertEquals([ask(requests, 9 * SECOND), requests.nextNs], [undefined, NEVER]);
});

Deno.test("one picture of a whole one: everything that has changed, and a pixel in any case", () => {
  const requests = settled();
  requests.once();
  assertEquals([ask(requests, 5), ask(requests, 6)], ["now", undefined]);
  assertEquals(requests.answered(), { isAsked: true, isPicture: true });
  assertEquals(requests.answered(), { isAsked: false, isPicture: false });
});

Deno.test("one picture while a request stands: the second update from then on, asked again in between", () => {
  const requests = settled();
  requests.demand(30);
  assertEquals(ask(requests, SECOND), "changes");
  requests.once();
  assertEquals([ask(requests, SECOND + 1), ask(requests, SECOND + 2)], ["now", undefined]);
  // It may have been on its way when the picture was asked for, or have answered both.
  assertEquals(requests.answered(), { isAsked: true, isPicture: false });
  assertEquals(ask(requests, SECOND + 3), "now");
  assertEquals(requests.answered(), { isAsked: true, isPicture: true });
  assertEquals(requests.answered(), { isAsked: false, isPicture: false });
});

Deno.test("one picture that is wanted while another is on its way is asked for on its own", () => {
  const requests = settled();
  requests.once();
  assertEquals(ask(requests, 1), "now");
  requests.once();
  assertEquals(ask(requests, 2), undefined);
  assertEquals(requests.answered().isPicture, false);
  assertEquals(ask(requests, 3), "now");
  assertEquals(requests.answered().isPicture, true);
});

Deno.test("another size: everything is asked for anew, and a picture that was awaited is still", () => {
  const requests = settled();
  requests.once();
  assertEquals(ask(requests, 1), "now");
  requests.resized();
  assertEquals(requests.certainNs, NEVER);
  assertEquals(requests.answered(), { isAsked: false, isPicture: false });
  assertEquals([ask(requests, 2), ask(requests, 3)], ["everything", undefined]);
  assertEquals(requests.answered(), { isAsked: true, isPicture: true });
});

Deno.test("what nobody asked for is shown at the pace of the rest, and not while nobody looks", () => {
  const requests = settled();
  assertEquals(requests.showNs, NEVER);
  requests.demand(10);
  assertEquals(requests.showNs <= 0, true);
  requests.shown(SECOND);
  assertEquals([requests.showNs, ask(requests, SECOND)], [SECOND + 100 * MS, undefined]);
});
