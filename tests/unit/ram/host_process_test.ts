// A process is known once, its files by the kernel's own numbers, and whose files they may be.
import "../ffi/loaded_shim.ts";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { createMemfd, FILE_SYSTEM, fileSystemOf, OPEN, reopen, statFd } from "../../../ffi/memfd.ts";
import { Mapping } from "../../../ffi/mapping.ts";
import { openFdCount } from "../../../ffi/owned_fd.ts";
import { Fault } from "../../../src/base/fault.ts";
import { fileOwners, mayOwn } from "../../../src/ram/file_owner.ts";
import {
  deviceName,
  FilePlaces,
  ownDescriptorInfo,
  parseDescriptorInfo,
  parseMounts,
} from "../../../src/ram/file_place.ts";
import { HostProcess, startOf } from "../../../src/ram/host_process.ts";
import { parseHostMaps } from "../../../src/ram/process_maps.ts";

Deno.test("a process is the one that was meant, or none", async () => {
  const before = openFdCount();
  {
    using own = HostProcess.open(Deno.pid);
    using again = HostProcess.open(Deno.pid, own.started);
    assertEquals(again.started, own.started);
    assertThrows(() => HostProcess.open(Deno.pid, "1"), Fault, "another one has its number");
    assertEquals(
      own.uids(),
      [Deno.uid(), Deno.uid(), Deno.uid(), Deno.uid()] as unknown as ReturnType<typeof own.uids>,
    );
    const child = new Deno.Command("sleep", { args: ["60"] }).spawn();
    using held = HostProcess.open(child.pid);
    child.kill("SIGKILL");
    await child.status;
    for (
      const look of [() => held.read("maps"), () => held.descriptors(), () => held.pin(0), () => held.uids()]
    ) {
      const fault = assertThrows(look, Fault);
      assertEquals(fault.code, "no-endpoint");
    }
    assertEquals(assertThrows(() => HostProcess.open(child.pid), Fault).code, "no-endpoint");
  }
  assertEquals(openFdCount(), before);
});

Deno.test("the start stands behind a name that may hold anything", () => {
  const fields = Array.from({ length: 40 }, (_, i) => `${i + 3}`).join(" ");
  assertEquals(startOf(`12 (a) b) 1 2 3 () ${fields}`.replace("() ", "(x) ")), "22");
  assertEquals(startOf("nothing"), "");
});

Deno.test("what is pinned stays the same file, and nothing is opened by that", () => {
  const path = Deno.makeTempDirSync({ prefix: "vmsig-pin-" });
  try {
    assert(new Deno.Command("mkfifo", { args: [`${path}/fifo`] }).outputSync().success);
    using fifo = reopen(`${path}/fifo`, OPEN.READ_WRITE | OPEN.NONBLOCK);
    using own = HostProcess.open(Deno.pid);
    using mark = own.pin(fifo.fd);
    assertEquals([statFd(mark.fd).ino, statFd(mark.fd).isRegular], [statFd(fifo.fd).ino, false]);
    assert((ownDescriptorInfo(mark.fd).flags & OPEN.PATH) !== 0);
  } finally {
    Deno.removeSync(path, { recursive: true });
  }
});

Deno.test("a file's place is the one that maps name, in memory and on disk", () => {
  using own = HostProcess.open(Deno.pid);
  const path = Deno.makeTempFileSync({ prefix: "vmsig-place-" });
  try {
    Deno.truncateSync(path, 4096);
    using file = reopen(path, OPEN.READ_WRITE);
    using memory = createMemfd("vmsig-place", 4096);
    assertEquals(fileSystemOf(memory.fd), FILE_SYSTEM.TMPFS);
    for (const [fd, nameless] of [[file, false], [memory, true]] as const) {
      using mapping = Mapping.map(fd.fd, 0, 4096, { write: true });
      using mark = own.pin(fd.fd);
      const place = new FilePlaces(own).of(mark);
      const mapped = parseHostMaps(own.read("maps")).find(({ start }) => start === mapping.address);
      assertEquals([place.device, place.inode, place.nameless], [mapped?.device, mapped?.inode, nameless]);
      assertEquals([mapped?.shared, mapped?.writable], [true, true]);
    }
  } finally {
    Deno.removeSync(path);
  }
});

Deno.test("device numbers, mounts and descriptors as the kernel writes them", () => {
  assertEquals([deviceName(0xfe00), deviceName(1), deviceName(0x10_0823)], ["254:0", "0:1", "8:291"]);
  assertEquals(deviceName(2 ** 44 + 1), "4096:1");
  const mounts = parseMounts(
    "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n40 27 0:55 / /mnt\\040x rw shared:3 master:1 - fuse.sshfs a:/b rw\nnonsense\n",
  );
  assertEquals([...mounts], [[27, { device: "254:0", type: "ext4" }], [40, {
    device: "0:55",
    type: "fuse.sshfs",
  }]]);
  assertEquals(parseDescriptorInfo("pos:\t0\nflags:\t012100000\nmnt_id:\t27\nino:\t99\n"), {
    flags: 0o12100000,
    mount: 27,
    inode: 99,
  });
  assertEquals(parseDescriptorInfo("pos:\t0\nflags:\t02\nmnt_id:\t27\n").inode, undefined);
  assertEquals(parseDescriptorInfo("").mount, -1);
});

Deno.test("whose files may be RAM: the process's own, and root's only if root made the monitor", () => {
  const owners = (uids: number[], monitor: number | undefined) =>
    fileOwners(7, uids as unknown as [number, number, number, number], monitor);
  const all = (uid: number) => [uid, uid, uid, uid];
  const may = (uid: number, monitor: number | undefined) =>
    [0, 4242, 5000].filter((file) => mayOwn(owners(all(uid), monitor), file));
  assertEquals(may(4242, 4242), [4242]);
  assertEquals(may(4242, 0), [0, 4242], "it has dropped its rights (-runas)");
  assertEquals(may(4242, undefined), [0, 4242], "named by its number: nothing is given on");
  assertEquals(may(0, 0), [0, 4242, 5000]);
  for (const [uids, monitor] of [[[4242, 0, 0, 0], 4242], [[0, 4242, 0, 4242], 0]] as const) {
    assertThrows(() => owners([...uids], monitor), Fault, "set-uid program");
  }
  assertThrows(() => owners(all(0), 4242), Fault, "its monitor was made by user 4242");
  assertThrows(() => owners(all(5000), 4242), Fault, "its monitor was made by user 4242");
  assertThrows(() => owners(all(4242), -1), Fault, "its monitor was made by user -1");
});
