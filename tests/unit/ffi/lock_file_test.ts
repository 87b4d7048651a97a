import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { Fault } from "../../../src/base/fault.ts";
import { LockFile } from "../../../ffi/lock_file.ts";
import { OsError } from "../../../ffi/os_error.ts";
import { inFolder } from "./in_folder.ts";
import "./loaded_shim.ts";

const purpose = "do it";

Deno.test("who holds a lock is told by its pid, to nobody else's eyes; it is removed on the way out", () =>
  inFolder((folder) => {
    const path = `${folder}/lock`;
    const lock = LockFile.take(path, { purpose });
    assertEquals((Deno.statSync(path).mode ?? 0) & 0o777, 0o600);
    assert(lock.isThere);
    const error = assertThrows(() => LockFile.take(path, { purpose }), Fault);
    assertEquals(error.code, "busy");
    assertMatch(error.message, new RegExp(`^Cannot do it: process ${Deno.pid} holds ${path}; `));
    lock[Symbol.dispose]();
    lock[Symbol.dispose]();
    assertThrows(() => Deno.statSync(path), Deno.errors.NotFound);
    LockFile.take(path, { purpose })[Symbol.dispose]();
  }));

Deno.test("a file that a crash left is taken over, and one that was removed under its holder is not removed again", () =>
  inFolder((folder) => {
    const path = `${folder}/lock`;
    Deno.writeTextFileSync(path, "4711\n\nmore than a pid");
    using lock = LockFile.take(path, { purpose });
    assertEquals(Deno.readTextFileSync(path), `${Deno.pid}\n`);
    Deno.removeSync(path);
    assert(!lock.isThere);
    using next = LockFile.take(path, { purpose });
    lock[Symbol.dispose]();
    assert(next.isThere, "the next one's stays");
  }));

Deno.test("a link, a folder, a pipe and a missing folder are told and not touched", () =>
  inFolder((folder) => {
    const target = `${folder}/target`;
    Deno.writeTextFileSync(target, "precious");
    Deno.symlinkSync(target, `${folder}/link`);
    Deno.mkdirSync(`${folder}/folder`);
    new Deno.Command("mkfifo", { args: [`${folder}/pipe`] }).outputSync();
    for (
      const [name, why] of [["link", /symbolic link/], ["folder", /folder/], [
        "pipe",
        /not a plain file/,
      ]] as const
    ) {
      const error = assertThrows(() => LockFile.take(`${folder}/${name}`, { purpose }), Fault);
      assertEquals(error.code, "refused", name);
      assertMatch(error.message, why);
    }
    assertEquals(Deno.readTextFileSync(target), "precious");
    assertThrows(() => LockFile.take(`${folder}/none/lock`, { purpose }), OsError, "ENOENT");
  }));

Deno.test("waiting for a lock ends when its holder lets go", () =>
  inFolder(async (folder) => {
    const path = `${folder}/lock`;
    const holder = new Deno.Command("flock", {
      args: [path, "sh", "-c", "echo held; cat"],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    const reader = holder.stdout.getReader();
    await reader.read();
    assertThrows(() => LockFile.take(path, { purpose, waitMs: 30 }), Fault, "another process holds");
    const stdin = holder.stdin.getWriter();
    await stdin.close();
    LockFile.take(path, { purpose, waitMs: 20_000 })[Symbol.dispose]();
    await reader.cancel();
    await holder.status;
  }));
