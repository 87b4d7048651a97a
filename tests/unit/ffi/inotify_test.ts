import { assert, assertEquals, assertThrows } from "@std/assert";
import { decodeInotify, INOTIFY, Inotify, type InotifyEvent } from "../../../ffi/inotify.ts";
import { OsError } from "../../../ffi/os_error.ts";
import { IN, Poller } from "../../../ffi/poller.ts";
import "./loaded_shim.ts";

async function inFolder(use: (folder: string) => void): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("what happens in a folder is told in order, with names", () =>
  inFolder((folder) => {
    using inotify = Inotify.create();
    using poller = new Poller();
    poller.add(inotify.fd, IN, 1);
    const wd = inotify.watch(folder, INOTIFY.CLOSE_WRITE | INOTIFY.MOVED_TO | INOTIFY.DELETE);
    assertEquals(inotify.read(), []);
    assertEquals(poller.wait(0), 0);
    Deno.writeTextFileSync(`${folder}/new.toml`, "x");
    Deno.writeTextFileSync(`${folder}/.tmp`, "y");
    Deno.renameSync(`${folder}/.tmp`, `${folder}/größer.toml`);
    Deno.removeSync(`${folder}/new.toml`);
    assertEquals(poller.wait(-1), 1);
    assertEquals(inotify.read(), [
      { wd, mask: INOTIFY.CLOSE_WRITE, name: "new.toml" },
      { wd, mask: INOTIFY.CLOSE_WRITE, name: ".tmp" },
      { wd, mask: INOTIFY.MOVED_TO, name: "größer.toml" },
      { wd, mask: INOTIFY.DELETE, name: "new.toml" },
    ]);
    assertEquals(poller.wait(0), 0);
  }));

Deno.test("a watch that ends says IGNORED, and ending it twice is nothing", () =>
  inFolder((folder) => {
    using inotify = Inotify.create();
    const wd = inotify.watch(folder, INOTIFY.CREATE);
    inotify.unwatch(wd);
    assertEquals(inotify.read(), [{ wd, mask: INOTIFY.IGNORED, name: "" }]);
    inotify.unwatch(wd);
    Deno.writeTextFileSync(`${folder}/unseen`, "");
    assertEquals(inotify.read(), []);
  }));

Deno.test("a folder that goes is told", () =>
  inFolder((folder) => {
    using inotify = Inotify.create();
    Deno.mkdirSync(`${folder}/sub`);
    const wd = inotify.watch(`${folder}/sub`, INOTIFY.DELETE_SELF | INOTIFY.ONLYDIR);
    Deno.removeSync(`${folder}/sub`);
    assertEquals(inotify.read().map((event) => event.mask), [INOTIFY.DELETE_SELF, INOTIFY.IGNORED]);
    assert(wd > 0);
  }));

Deno.test("a real overflow of the kernel's queue comes through as Q_OVERFLOW", () =>
  inFolder((folder) => {
    using inotify = Inotify.create();
    inotify.watch(folder, INOTIFY.CREATE | INOTIFY.DELETE | INOTIFY.CLOSE_WRITE);
    const limit = Number(Deno.readTextFileSync("/proc/sys/fs/inotify/max_queued_events"));
    assert(limit > 0);
    // Three events a turn, none equal to the one before it (equal neighbours are merged).
    for (let i = 0; i <= limit; i += 3) {
      Deno.writeTextFileSync(`${folder}/f`, "");
      Deno.removeSync(`${folder}/f`);
    }
    const events: InotifyEvent[] = [];
    for (let more = inotify.read(); more.length > 0; more = inotify.read()) events.push(...more);
    const overflows = events.filter((event) => (event.mask & INOTIFY.Q_OVERFLOW) !== 0);
    assertEquals(overflows, [{ wd: -1, mask: INOTIFY.Q_OVERFLOW, name: "" }]);
    assertEquals(events.at(-1), overflows[0]);
    assertEquals(events.length, limit + 1);
  }));

Deno.test("decoding: several events, padded names, an overflow, a cut end", () => {
  const bytes = new Uint8Array(16 + 16 + 16 + 7);
  const view = new DataView(bytes.buffer);
  view.setInt32(0, 3, true);
  view.setUint32(4, INOTIFY.CREATE | INOTIFY.ISDIR, true);
  view.setUint32(12, 16, true);
  bytes.set(new TextEncoder().encode("name"), 16);
  view.setInt32(32, -1, true);
  view.setUint32(36, INOTIFY.Q_OVERFLOW, true);
  assertEquals(decodeInotify(bytes), [
    { wd: 3, mask: INOTIFY.CREATE | INOTIFY.ISDIR, name: "name" },
    { wd: -1, mask: INOTIFY.Q_OVERFLOW, name: "" },
  ]);
});

Deno.test("watching what is not there is an error with its name", () => {
  using inotify = Inotify.create();
  assertThrows(
    () => inotify.watch("/nonexistent", INOTIFY.CREATE),
    OsError,
    "inotify_add_watch /nonexistent",
  );
});
