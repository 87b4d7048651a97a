/**
 * How MEMCTX takes RAM that was opened for it elsewhere: the answer may come when nobody wants it any more.
 * What is done with real RAM is tested on guests.
 * @module
 */
import { assertEquals, assertThrows } from "@std/assert";
import { createMemfd, OPEN, reopen, statFd } from "../../../../ffi/memfd.ts";
import { OsError } from "../../../../ffi/os_error.ts";
import { closeFd, openFdCount, type OwnedFd } from "../../../../ffi/owned_fd.ts";
import { MemctxAdapter } from "../../../../src/adapters/memctx/memctx_adapter.ts";
import { openSharedRam } from "../../../../src/adapters/memctx/open_shared_ram.ts";
import type { OpenedRam, RamAnswer, RamRequest } from "../../../../src/adapters/memctx/scan_port.ts";
import type { QmpLink, QmpLinkUser } from "../../../../src/qemu/monitor/qmp_link.ts";
import { CODE } from "../../../../src/base/codes.ts";
import { SEAM_REASON } from "../../../../src/event/body_number.ts";
import type { QmpReplyHandler } from "../../../../src/qemu/protocol/qmp_client.ts";
import { hasEnded } from "../../../../src/ram/process_end.ts";
import { AdapterRig } from "../../../fixtures/adapter_rig.ts";

const BYTES = 1 << 20;
const FLAT_VIEW = "FlatView";

/**
 * The adapter over a monitor that answers at once, or is silent, and an opener that answers when the test
 * says so.
 */
class Bench implements Disposable {
  /** When set, the monitor answers nothing by itself: its questions. */
  silent: QmpReplyHandler[] | null = null;
  /** Whether the process at the monitor's other end lives. */
  lives = true;
  readonly files: OwnedFd[] = [createMemfd("ram", BYTES), createMemfd("other", BYTES)];
  readonly asked: { request: RamRequest; done: (answer: RamAnswer) => void }[] = [];
  readonly rig: AdapterRig;
  user!: QmpLinkUser;

  constructor() {
    const lives = (): boolean => this.lives;
    const link = {
      monitorUid: 4242,
      get processLives() {
        return lives();
      },
      use: (user: QmpLinkUser) => (this.user = user),
      leave: () => {},
      execute: (_command: string, _args: unknown, handler: QmpReplyHandler) => {
        if (this.silent !== null) this.silent.push(handler);
        else handler({ outcome: "done", value: FLAT_VIEW }, 0);
      },
    } as unknown as QmpLink;
    const scanner = {
      scan: () => {},
      closeRam: (fds: readonly number[]) => fds.forEach(closeFd),
      openRam: (request: RamRequest, done: (answer: RamAnswer) => void) => this.asked.push({ request, done }),
    };
    this.rig = new AdapterRig(() => new MemctxAdapter({ link, scanner, guest: "none", memory: "memfd" }));
    this.rig.open();
  }

  /** Answers the oldest request with fresh descriptors of a file; their numbers. */
  answer(file: number): number[] {
    const fds = [reopen((this.files[file] as OwnedFd).fd, OPEN.READ_ONLY).release()];
    const ram: OpenedRam = {
      pid: 7,
      started: "1",
      backends: [{
        id: "ram0",
        kind: "memfd",
        memfd: true,
        sealed: true,
        sizeBytes: BYTES,
        fileOffset: 0,
        hostAddress: 0,
      }],
      fds,
      pieces: [{ gpa: 0, fileOffset: 0, sizeBytes: BYTES, backend: 0 }],
      missing: [],
    };
    this.asked.shift()?.done({ outcome: "open", ram });
    return fds;
  }

  get kinds(): string[] {
    return this.rig.events.splice(0).map(({ kind }) => kind);
  }

  [Symbol.dispose](): void {
    for (const file of this.files) file.close();
    this.rig[Symbol.dispose]();
  }
}

function assertClosed(fds: readonly number[]): void {
  for (const fd of fds) assertThrows(() => statFd(fd), OsError, "EBADF");
}

Deno.test("RAM that is opened when it is not wanted any more is closed, and nothing is said", async () => {
  const before = openFdCount();
  {
    using bench = new Bench();
    bench.user.onLinkUp("running", 7);
    assertEquals(bench.asked[0]?.request, {
      name: "test",
      pid: 7,
      monitorUid: 4242,
      flatView: FLAT_VIEW,
      devices: [],
      blocks: [],
      wanted: "memfd",
    });
    bench.user.onLinkDown({ reason: 2, code: 0, text: "", remedy: "" });
    bench.kinds;
    assertClosed(bench.answer(0));
    bench.user.onLinkUp("running", 7);
    await bench.rig.close();
    assertClosed(bench.answer(0));
    assertEquals(bench.kinds, []);
  }
  assertEquals(openFdCount(), before);
});

Deno.test("the same RAM once more is closed again; other RAM ends the context and begins one", async () => {
  const before = openFdCount();
  {
    using bench = new Bench();
    bench.user.onLinkUp("running", 7);
    const first = bench.answer(0);
    assertEquals(bench.kinds, ["SEAM_UP", "MEMCTX"]);
    const changed = () => bench.user.onQmpEvent?.({ name: "DEVICE_DELETED", data: {} });
    changed();
    assertClosed(bench.answer(0));
    assertEquals(bench.kinds, []);
    changed();
    const second = bench.answer(1);
    assertEquals(bench.kinds, ["MEMCTX_INVALIDATED", "MEMCTX"]);
    assertClosed(first);
    await bench.rig.close();
    assertClosed(second);
  }
  assertEquals(openFdCount(), before);
});

Deno.test("RAM that cannot be opened takes the seam down with the reason, once; the next map may bring it back", async () => {
  using bench = new Bench();
  bench.user.onLinkUp("running", 7);
  const fail = () =>
    bench.asked.shift()?.done({ outcome: "failed", code: "not-supported", detail: "it is private" });
  fail();
  const [down, error] = bench.rig.events;
  assertEquals([down?.kind, error?.kind, error?.fields["code"]], [
    "SEAM_DOWN",
    "ERROR",
    CODE["not-supported"],
  ]);
  bench.kinds;
  bench.user.onQmpEvent?.({ name: "DEVICE_DELETED", data: {} });
  fail();
  assertEquals(bench.kinds, ["ERROR"]);
  bench.user.onQmpEvent?.({ name: "DEVICE_DELETED", data: {} });
  bench.answer(0);
  assertEquals(bench.kinds, ["SEAM_UP", "MEMCTX"]);
  await bench.rig.close();
});

Deno.test("a QEMU that dies while it is asked, or while its RAM is opened: the seam tells that, and not that something is forbidden", async () => {
  const gone = { reason: SEAM_REASON.PROCESS_GONE, code: 0, text: "", remedy: "" } as const;
  for (const outcome of ["closed", "timed-out", "unsent"] as const) {
    using bench = new Bench();
    bench.silent = [];
    bench.user.onLinkUp("running", 7);
    bench.silent.shift()?.({ outcome }, 0);
    assertEquals(bench.kinds, [], outcome);
    bench.user.onLinkDown(gone);
    assertEquals(bench.rig.events[0]?.fields["reason"], SEAM_REASON.PROCESS_GONE);
    assertEquals(bench.kinds, ["SEAM_DOWN", "ERROR"]);
    await bench.rig.close();
  }
  using bench = new Bench();
  bench.user.onLinkUp("running", 7);
  bench.asked.shift()?.done({ outcome: "failed", code: "no-endpoint", detail: "QEMU 7 has ended" });
  assertEquals(bench.rig.events[0]?.fields["reason"], SEAM_REASON.PROCESS_GONE);
  bench.user.onLinkDown(gone);
  assertEquals(bench.kinds, ["SEAM_DOWN", "ERROR"]);
  await bench.rig.close();
});

Deno.test("a question that the monitor's queue had no place for is asked again", async () => {
  using bench = new Bench();
  bench.silent = [];
  bench.user.onLinkUp("running", 7);
  bench.silent.shift()?.({ outcome: "unsent" }, 0);
  bench.silent = null;
  await bench.rig.until("it is asked again", () => bench.asked.length > 0);
  bench.answer(0);
  assertEquals(bench.kinds, ["SEAM_UP", "MEMCTX"]);
  await bench.rig.close();
});

Deno.test("a QEMU that did not let itself be looked at, or whose file is held, is tried again later", async () => {
  for (const [code, armed] of [["timed-out", 1], ["busy", 1], ["refused", 0]] as const) {
    using bench = new Bench();
    bench.user.onLinkUp("running", 7);
    bench.asked.shift()?.done({ outcome: "failed", code, detail: "not now" });
    assertEquals(bench.kinds, ["SEAM_DOWN", "ERROR"]);
    assertEquals(bench.rig.loop.armed, armed, code);
    (bench.rig.adapter as MemctxAdapter).onTimer();
    bench.answer(0);
    assertEquals(bench.kinds, ["SEAM_UP", "MEMCTX"]);
    await bench.rig.close();
    assertEquals(bench.rig.loop.armed, 0);
  }
});

Deno.test("what was opened of a number whose process has ended is closed: it may be another's", async () => {
  using bench = new Bench();
  bench.user.onLinkUp("running", 7);
  bench.lives = false;
  assertClosed(bench.answer(0));
  assertEquals(bench.rig.events[0]?.fields["reason"], SEAM_REASON.PROCESS_GONE);
  assertEquals(bench.kinds, ["SEAM_DOWN"]);
  await bench.rig.close();
});

Deno.test("a process that is dead and not yet waited for has ended, and so has one that is not there", async () => {
  const command = new Deno.Command("sh", { args: ["-c", "true & echo $!; exec sleep 60"], stdout: "piped" });
  await using child = command.spawn();
  const output = child.stdout.getReader();
  const { value } = await output.read();
  const zombie = Number(new TextDecoder().decode(value));
  await output.cancel();
  while (!hasEnded(zombie)) await new Promise((resolve) => setTimeout(resolve, 1));
  const answer = openSharedRam({
    name: "vm",
    pid: zombie,
    monitorUid: 0,
    flatView: FLAT_VIEW,
    devices: [],
    blocks: [],
    wanted: "auto",
  });
  assertEquals(answer.outcome === "failed" && answer.code, "no-endpoint");
  assertEquals(hasEnded(Deno.pid), false);
  child.kill();
  await child.status;
  assertEquals(hasEnded(child.pid), true);
});
