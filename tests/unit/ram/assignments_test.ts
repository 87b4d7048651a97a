/**
 * Which of a QEMU's files are which backend, when only the command line tells.
 * @module
 */
import { assertEquals } from "@std/assert";
import type { BackendOption } from "../../../src/ram/qemu_command_line.ts";
import { type AssignableFile, assignFiles } from "../../../src/ram/assignments.ts";

const MIB = 2 ** 20;

function backend(type: string, id: string, rest: Partial<BackendOption> = {}): BackendOption {
  return {
    type: `memory-backend-${type}`,
    id,
    sizeBytes: 128 * MIB,
    share: true,
    path: undefined,
    fileOffset: 0,
    ...rest,
  };
}

function file(target: string, mib: number, offset = 0): AssignableFile {
  const memfd = target.startsWith("/memfd:");
  const mapping = {
    start: 0x7000_0000,
    sizeBytes: mib * MIB,
    shared: true,
    writable: true,
    offset,
    device: "0:1",
    inode: 7,
    path: target,
  };
  return { target, memfd, sizeBytes: mib * MIB, mapping };
}

Deno.test("one file may be two backends, each from an offset of its own; never twice from one", () => {
  const path = "/var/ram";
  const shared = file(path, 256);
  const [a, b] = [backend("file", "a", { path }), backend("file", "b", { path, fileOffset: 128 * MIB })];
  assertEquals(assignFiles([a, b], [a, b], [shared]), { choices: [[shared, shared]], lacking: undefined });
  const again = { ...a, id: "c" };
  assertEquals(assignFiles([a, again], [a, again], [shared]).choices, []);
});

Deno.test("a backend that would end behind its file's end is not that file's", () => {
  const path = "/var/ram";
  const a = backend("file", "a", { path, fileOffset: 192 * MIB });
  assertEquals(assignFiles([a], [a], [file(path, 256)]), { choices: [], lacking: "a" });
});

Deno.test("POSIX shared memory is a memory-backend-shm, or a memory-backend-ram where no memfd is to be had", () => {
  const [shm, memfd] = [
    file("/dev/shm/qemu-0-7 (deleted)", 128),
    file("/memfd:memory-backend-memfd (deleted)", 128),
  ];
  const a = backend("shm", "a");
  assertEquals(assignFiles([a], [a], [memfd, shm]).choices, [[shm]]);
  assertEquals(assignFiles([a], [a], [memfd]).lacking, "a");
  const ram = backend("ram", "r");
  assertEquals(assignFiles([ram], [ram], [shm]).choices, [[shm]]);
  assertEquals(assignFiles([ram], [ram], [memfd]).choices, [[memfd]]);
});
