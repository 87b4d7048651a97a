/** Frames as they are, for who needs no events made of them: the same order, the same faults. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { createMemfd } from "../../../ffi/memfd.ts";
import type { Fault } from "../../../src/base/fault.ts";
import { Link, type LinkHost } from "../../../src/client/link.ts";
import { openSocket } from "../../../src/client/open_socket.ts";
import { KIND, kindName } from "../../../src/event/kind.ts";
import { FRAME } from "../../../src/protocol/frame.ts";
import { until } from "../../fixtures/daemon_process.ts";
import { FakeDaemon } from "./fake_daemon.ts";

/** Notes what comes, and how. */
class Host implements LinkHost {
  readonly came: string[] = [];
  fault: Fault | undefined;
  onWelcome(): void {}
  mayRead(): boolean {
    return true;
  }
  onFrame(view: DataView, bytes: Uint8Array, at: number, length: number): void {
    const kind = view.getUint16(at + FRAME.kind, true);
    this.came.push(`frame ${kindName(kind)} ${length} ${bytes[at + FRAME.inline]}`);
  }
  onEvent(event: Parameters<LinkHost["onEvent"]>[0]): void {
    this.came.push(`event ${event.kindName} ${event.fdCount}`);
    event[Symbol.dispose]();
  }
  onLinkEnd(_link: unknown, fault: Fault | undefined): void {
    this.fault = fault;
  }
}

Deno.test("who takes frames gets events alone with descriptors and of errors, all in order", async () => {
  await using daemon = new FakeDaemon();
  const host = new Host();
  const link = new Link(await openSocket(daemon.path, 5000), daemon.path, host);
  await link.greet({ name: "frames", sub: {}, timeoutMs: 5000 });
  const { peer } = daemon;
  using memfd = createMemfd("x", 4096);
  for (let i = 1; i < 100; i++) peer.send(KIND.VM_LIFECYCLE, (event) => event.words[0] = i);
  peer.send(KIND.MEMCTX, (event) => event.words[0] = 1, [memfd.fd]);
  peer.error(0, 1, 0, "words");
  peer.send(KIND.VM_LIFECYCLE, (event) => event.words[0] = 100);
  await until("all came", () => host.came.length >= 102);
  assertEquals(host.came, [
    ...Array.from({ length: 99 }, (_, i) => `frame VM_LIFECYCLE 96 ${i + 1}`),
    "event MEMCTX 1",
    "event ERROR 0",
    "frame VM_LIFECYCLE 96 100",
  ]);
  peer.send(KIND.OVERRUN, (event) => event.words[0] = 3);
  peer.seq += 3;
  peer.send(KIND.VM_LIFECYCLE);
  peer.seq += 1;
  peer.send(KIND.VM_LIFECYCLE);
  await until("the gap ended it", () => host.fault !== undefined);
  assertStringIncludes(host.fault?.message ?? "", "OVERRUN");
  assertEquals(host.came.length, 104);
  await link.close();
});
