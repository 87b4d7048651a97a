// The main thread's side of the scanner: its worker comes with the first request and goes when there are
// none.
import "../ffi/loaded_shim.ts";
import { assert, assertEquals } from "@std/assert";
import { EventFd } from "../../../ffi/event_fd.ts";
import { SILENT } from "../../../src/base/log.ts";
import { SharedRing } from "../../../src/context/shared_ring.ts";
import type { ScanCall } from "../../../src/daemon/scan_client.ts";
import { INBOX } from "../../../src/daemon/plan.ts";
import { ScanHost } from "../../../src/daemon/scan_host.ts";
import { until } from "../../fixtures/daemon_process.ts";

/** A request for RAM that is not there: answered as failed. */
function call(id: number): ScanCall {
  const file = { fd: 1_000_000, dev: 1, ino: 1, sizeBytes: 4096, huge: false, hostAddress: 0 };
  const pieces = [{ gpa: 0, fileOffset: 0, sizeBytes: 4096, backend: 0 }];
  const request = {
    name: "vm",
    pid: 1,
    started: "",
    files: [file],
    pieces,
    guest: "auto",
    liveRoot: 0,
    liveInUserMode: false,
  } as const;
  return { id, request };
}

Deno.test("a worker comes with the first request, answers each, goes when it rests, and comes again", async () => {
  using bell = EventFd.create();
  const inbox = SharedRing.create(1 << 16, bell.fd);
  using host = new ScanHost(inbox, SILENT, 50);
  assertEquals(host.hasWorker, false);
  const answered: number[] = [];
  const take = (): boolean => {
    inbox.drain((tag, message) => {
      assertEquals(tag, INBOX.SCANNED);
      const { id, answer } = JSON.parse(new TextDecoder().decode(message)) as {
        id: number;
        answer: { outcome: string };
      };
      assertEquals(answer.outcome, "failed");
      answered.push(id);
    });
    return !host.hasWorker;
  };
  for (let id = 1; id <= 3; id++) host.take(call(id));
  assert(host.hasWorker);
  await until("the worker has gone", take);
  assertEquals(answered, [1, 2, 3]);
  host.take(call(4));
  assert(host.hasWorker);
  await until("it has gone again", take);
  assertEquals(answered, [1, 2, 3, 4]);
});
