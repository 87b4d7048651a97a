/**
 * Descriptors that go with commands over the shared monitor of a real QEMU: each command's are its own, in
 * the order of the commands, whatever else is under way and whatever becomes of the sender's.
 * @module
 */
import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { createMemfd, OPEN, reopen, statFd } from "../../ffi/memfd.ts";
import { openFdCount, type OwnedFd } from "../../ffi/owned_fd.ts";
import { preadInto } from "../../ffi/stream.ts";
import { QmpLink } from "../../src/qemu/monitor/qmp_link.ts";
import { Fault } from "../../src/base/fault.ts";
import { MAX_QMP_FDS, MAX_QMP_INFLIGHT } from "../../src/base/limits.ts";
import type { QmpReply } from "../../src/qemu/protocol/qmp_client.ts";
import { AdapterRig } from "../fixtures/adapter_rig.ts";
import { openFilesOf } from "../fixtures/holdings.ts";
import { VmhostAdapter } from "../../src/adapters/vmhost/vmhost_adapter.ts";
import { startFirmware } from "./qemu.ts";

const TIMEOUT_NS = 60e9;

interface Bench {
  readonly rig: AdapterRig;
  readonly link: QmpLink;
  readonly pid: number;
  /** Sends a command, and has its reply. */
  run(command: string, args?: object, fds?: readonly number[]): Promise<QmpReply>;
  /** Which of QEMU's descriptors are memfds whose name begins so. */
  held(prefix: string): string[];
}

async function withLink(body: (bench: Bench) => Promise<void>): Promise<void> {
  const before = openFdCount();
  await using qemu = await startFirmware();
  {
    let made: QmpLink | undefined;
    using rig = new AdapterRig((loop) => new VmhostAdapter(made = new QmpLink({ path: qemu.qmpPath, loop })));
    rig.open();
    await rig.event("SEAM_UP");
    assert(made !== undefined);
    const link = made;
    await body({
      rig,
      link,
      pid: qemu.pid,
      async run(command, args, fds) {
        let reply: QmpReply | undefined;
        link.execute(command, args, (answer) => reply = answer, {
          timeoutNs: TIMEOUT_NS,
          ...fds === undefined ? {} : { fds },
        });
        await rig.until(`the reply to ${command}`, () => reply !== undefined);
        assert(reply !== undefined);
        return reply;
      },
      held: (prefix) => memfdsOf(qemu.pid).filter((name) => name.startsWith(prefix)),
    });
    await rig.close();
  }
  assertEquals(openFdCount(), before, "no descriptor is left");
}

function memfdsOf(pid: number): string[] {
  return openFilesOf(pid).flatMap(({ target }) => /^\/memfd:(.*) \(deleted\)$/.exec(target)?.[1] ?? [])
    .sort();
}

const done = (value: unknown = {}): QmpReply => ({ outcome: "done", value });

Deno.test("getfd and closefd: QEMU has the file under its name, and gives it back", async () => {
  await withLink(async ({ run, held }) => {
    using file = createMemfd("vmsig-t-one", 0);
    assertEquals(await run("getfd", { fdname: "one" }, [file.fd]), done());
    assertEquals(held("vmsig-t-"), ["vmsig-t-one"]);
    assertEquals(await run("closefd", { fdname: "one" }), done());
    assertEquals(held("vmsig-t-"), []);
    const none = await run("getfd", { fdname: "two" });
    assertEquals(none.outcome, "error", "the next command has none of the one before it");
  });
});

Deno.test("add-fd, screendump to the set, remove-fd: the picture is in the sender's file", async () => {
  await withLink(async ({ run, held }) => {
    using file = createMemfd("vmsig-t-dump", 0);
    using writeEnd = reopen(file.fd, OPEN.WRITE_ONLY);
    const added = await run("add-fd", {}, [writeEnd.fd]);
    assert(added.outcome === "done");
    const setId = (added.value as Record<string, unknown>)["fdset-id"];
    assertEquals(await run("screendump", { filename: `/dev/fdset/${setId}` }), done());
    assert(statFd(file.fd).sizeBytes > 640 * 400 * 3);
    const head = new Uint8Array(2);
    preadInto(file.fd, head, 0, 2, 0);
    assertEquals(new TextDecoder().decode(head), "P6");
    assertEquals(await run("remove-fd", { "fdset-id": setId }), done());
    assertEquals(held("vmsig-t-"), []);
  });
});

Deno.test("thirty commands with descriptors at once, among others and closed by their sender meanwhile: each its own", async () => {
  await withLink(async ({ rig, link, pid, run }) => {
    const count = 30;
    const fdOf = new Map<number, number>();
    let others = 0;
    const reply = (answer: QmpReply, tag: number) => {
      assert(answer.outcome === "done", `${tag}: ${JSON.stringify(answer)}`);
      fdOf.set(tag, Number((answer.value as Record<string, unknown>)["fd"]));
    };
    for (let tag = 0; tag < count; tag++) {
      using file = createMemfd(`vmsig-t-${tag}`, 0);
      link.execute("add-fd", { "fdset-id": 100 + tag }, reply, {
        tag,
        timeoutNs: TIMEOUT_NS,
        fds: [file.fd],
      });
      link.execute("query-status", undefined, () => others++, { timeoutNs: TIMEOUT_NS });
    }
    assert(link.load > MAX_QMP_INFLIGHT, "some wait");
    await rig.until("the replies", () => fdOf.size === count && others === count);
    for (const [tag, fd] of fdOf) {
      assertEquals(Deno.readLinkSync(`/proc/${pid}/fd/${fd}`), `/memfd:vmsig-t-${tag} (deleted)`);
    }
    for (let tag = 0; tag < count; tag++) {
      assertEquals((await run("remove-fd", { "fdset-id": 100 + tag })).outcome, "done");
    }
    assertEquals(memfdsOf(pid).filter((name) => name.startsWith("vmsig-t-")), []);
  });
});

Deno.test("several descriptors with one command: QEMU uses the first and keeps none of the others", async () => {
  await withLink(async ({ run, held, link }) => {
    const files: OwnedFd[] = [];
    for (let i = 0; i <= MAX_QMP_FDS; i++) {
      files.push(createMemfd(`vmsig-t-${String(i).padStart(2, "0")}`, 0));
    }
    const fds = files.map(({ fd }) => fd);
    assertEquals(await run("getfd", { fdname: "first" }, fds.slice(0, MAX_QMP_FDS)), done());
    assertEquals(held("vmsig-t-"), ["vmsig-t-00"]);
    const before = openFdCount();
    const refused = assertThrows(() => {
      link.execute("getfd", { fdname: "x" }, () => {}, { timeoutNs: TIMEOUT_NS, fds });
    }, Fault);
    assertMatch(refused.message, /17 descriptors .* takes 16/);
    assertEquals(openFdCount(), before);
    for (const file of files) file.close();
  });
});
