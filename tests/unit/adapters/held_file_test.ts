/**
 * The file of the held record: there from the first key until nothing is held, readable by nobody else, and
 * never through what somebody left at its place.
 * @module
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { openFdCount } from "../../../ffi/owned_fd.ts";
import { HeldFile } from "../../../src/adapters/input/held_file.ts";
import { Log } from "../../../src/base/log.ts";
import "../ffi/loaded_shim.ts";

interface Scratch extends Disposable {
  readonly path: string;
  readonly lines: string[];
  open(): HeldFile;
}

function scratch(): Scratch {
  const folder = Deno.makeTempDirSync({ prefix: "vmsig-held-" });
  const before = openFdCount();
  const lines: string[] = [];
  const path = `${folder}/held-vm.bin`;
  return {
    path,
    lines,
    open: () => new HeldFile(path, new Log("test", "warn", (line) => lines.push(line), false)),
    [Symbol.dispose]() {
      Deno.removeSync(folder, { recursive: true });
      assertEquals(openFdCount(), before);
    },
  };
}

function exists(path: string): boolean {
  try {
    return Deno.lstatSync(path).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

Deno.test("there is no file before the first key, and none when nothing is held at the end", () => {
  using at = scratch();
  const first = at.open();
  assertEquals(first.load().length, 0);
  assert(!exists(at.path));
  first.close(false);
  const second = at.open();
  second.save(new Uint8Array([1, 2, 3, 4]), 3);
  assertEquals((Deno.statSync(at.path).mode ?? 0) & 0o777, 0o600);
  second.close(true);
  const third = at.open();
  assertEquals([...third.load()], [1, 2, 3]);
  third.close(false);
  assert(!exists(at.path));
  assertEquals(at.lines, []);
});

Deno.test("a folder that is gone, or a symlink in its place: told once, and input goes on without", () => {
  using at = scratch();
  const kept = at.open();
  kept.save(new Uint8Array([1]), 1);
  Deno.removeSync(at.path);
  kept.close(false);
  assertEquals(at.lines, []);
  Deno.symlinkSync("/etc/hostname", at.path);
  const linked = at.open();
  assertEquals(linked.load().length, 0);
  linked.save(new Uint8Array([1]), 1);
  linked.close(false);
  assertEquals(at.lines.length, 1);
  assertMatch(at.lines[0] ?? "", /cannot be kept for the next daemon .*ELOOP|symbolic/);
  assert(Deno.lstatSync(at.path).isSymlink, "what is not ours stays");
});
