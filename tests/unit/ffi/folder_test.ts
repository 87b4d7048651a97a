/** The names in a folder, piece by piece. */
import "./loaded_shim.ts";
import { assert, assertEquals, assertGreater, assertThrows } from "@std/assert";
import { folderNames } from "../../../ffi/folder.ts";
import { OsError } from "../../../ffi/os_error.ts";
import { openFdCount } from "../../../ffi/owned_fd.ts";

Deno.test("a folder's names come in pieces, each name once, of whatever length", async () => {
  const folder = await Deno.makeTempDir({ prefix: "vmsig-folder-" });
  try {
    assertEquals([...folderNames(folder)].flat(), []);
    const names = Array.from({ length: 300 }, (_, i) => `${i}-${"é".repeat(i % 100)}`).sort();
    for (const name of names) await Deno.writeTextFile(`${folder}/${name}`, "");
    const before = openFdCount();
    const pieces = [...folderNames(folder)];
    assertGreater(pieces.length, 2);
    assertEquals(pieces.flat().sort(), names);
    for (const some of folderNames(folder)) {
      assert(some.length > 0);
      break;
    }
    assertEquals(openFdCount(), before, "also when it is left early");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("no folder, and what is none, are told", () => {
  for (const path of ["/nonexistent", "/dev/null"]) assertThrows(() => [...folderNames(path)], OsError);
});
