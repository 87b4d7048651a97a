/** A temporary folder for one test, which must close every descriptor that it opens. */
import { assertEquals } from "@std/assert";
import { openFdCount } from "../../../ffi/owned_fd.ts";

/** Calls `use` with an empty folder, which is removed afterwards. */
export async function inFolder(use: (folder: string) => void | Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  const before = openFdCount();
  try {
    await use(folder);
    assertEquals(openFdCount(), before, "every descriptor is closed again");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
